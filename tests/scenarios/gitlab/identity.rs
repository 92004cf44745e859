//! As whom a job acts that shows its `CI_JOB_TOKEN`.

use adit_tests::{Endpoint, gitlab::TokenForm, kube, scenario};

use super::{Place, staging};

#[test]
fn every_form_of_token_acts_as_its_job() {
    scenario(async {
        let place = Place::new().await;
        for (form, prefix) in [
            (TokenForm::Opaque, None),
            (TokenForm::Jwt, None),
            (TokenForm::Opaque, Some("acme")),
            (TokenForm::Jwt, Some("acme")),
        ] {
            place.gitlab.world().settings.token_prefix = prefix.map(str::to_owned);
            let (id, job) = place.job_with(form);
            job.get("/api").await.echo();
            let identity = place.world.kube.last().identity();
            let user = ("impersonate-user".to_owned(), format!("gitlab:ci_job:{id}"));
            assert!(
                identity.contains(&user),
                "{form:?} {prefix:?}: {identity:?}"
            );
        }
        place.stop().await;
    });
}

#[test]
fn a_job_has_gitlabs_groups_in_gitlabs_order() {
    scenario(async {
        let place = Place::new().await;
        let id = {
            let mut world = place.gitlab.world();
            world
                .job("group/sub/app")
                .environment_of_tier("prod", adit_identity::Tier::Production)
                .run()
        };
        place.caller(id).get("/api").await.echo();
        let came = place.world.kube.last();
        let groups = [
            "gitlab:ci_job",
            "gitlab:group:23",
            "gitlab:group_env_tier:23:production",
            "gitlab:group:25",
            "gitlab:group_env_tier:25:production",
            "gitlab:project:150",
            "gitlab:project_env:150:prod",
            "gitlab:project_env_tier:150:production",
        ];
        assert_eq!(came.values("impersonate-group"), groups);
        let extra =
            |name: &str| came.values(&format!("impersonate-extra-agent.gitlab.com%2f{name}"));
        assert_eq!(extra("id"), ["1"]);
        assert_eq!(extra("config_project_id"), ["150"]);
        assert_eq!(extra("project_id"), ["150"]);
        assert_eq!(extra("ci_job_id"), [id.to_string()]);
        assert_eq!(extra("username"), ["dev1"]);
        assert_eq!(extra("environment_slug"), ["prod"]);
        assert_eq!(extra("environment_tier"), ["production"]);
        place.stop().await;
    });
}

#[test]
fn the_grant_without_an_entry_is_the_agents_own_account() {
    scenario(async {
        let place = Place::new().await;
        let other = kube().start().await;
        let agent = staging(&place, &other).await;
        let (id, _) = place.job();
        let token = place.gitlab.world().job_of(id).token().to_owned();
        let job = place.relay().showing(&format!("Bearer ci:2:{token}"));
        job.get("/api").await.echo();
        let identity = other.last().identity();
        let is_impersonated = |name: &str| name.starts_with("impersonate-");
        assert!(
            !identity.iter().any(|(name, _)| is_impersonated(name)),
            "{identity:?}"
        );
        place.stop().await;
        agent.stop().await;
        other.stop().await;
    });
}

#[test]
fn id_tokens_and_job_tokens_reach_one_agent_and_only_gitlabs_are_gitlabs_business() {
    scenario(async {
        let place = Place::new().await;
        place.relay().job(9001).get("/api").await.echo();
        assert_eq!(place.gitlab.calls().total(), 0);
        let (_, job) = place.job();
        job.get("/api").await.echo();
        assert_eq!(place.gitlab.calls().to(Endpoint::AllowedAgents), 1);
        // Spoilt: its issuer is still the relay's to check.
        let spoilt = format!("{}x", place.relay().job(9001).authorization.unwrap());
        let refused = place.relay().showing(&spoilt).get("/api").await.refused();
        assert_eq!(refused.reason, "token_bad_signature");
        assert_eq!(place.gitlab.calls().total(), 1);
        place.stop().await;
    });
}

#[test]
fn what_is_not_gitlabs_stays_out_of_reach_of_its_jobs() {
    scenario(async {
        let place = Place::new().await;
        let (id, _) = place.job();
        let token = {
            let mut world = place.gitlab.world();
            // Somebody's agent at GitLab, under the id of the relay's own.
            world.number(3).agent("group/sub/app", "namesake");
            world.job_of(id).token().to_owned()
        };
        for (agent, reason) in [(3, "not_permitted"), (4, "not_permitted")] {
            let job = place.relay().showing(&format!("Bearer ci:{agent}:{token}"));
            assert_eq!(job.get("/api").await.refused().reason, reason);
        }
        let agent_token = place.gitlab.world().agent_token(1).unwrap();
        let refused = place.showing(&agent_token).get("/api").await.refused();
        assert_eq!(refused.told(), (401, "gitlab_not_accepted", "client", None));
        place.stop().await;
    });
}

#[test]
fn an_agents_token_that_adit_made_is_not_shown_to_gitlab() {
    scenario(async {
        let place = Place::new().await;
        let token = format!("{}{}", adit_authority::token::PREFIX, "x".repeat(38));
        let refused = place.showing(&token).get("/api").await.refused();
        assert_eq!(refused.told(), (401, "gitlab_agent_token", "client", None));
        assert_eq!(place.gitlab.calls().total(), 0);
        place.stop().await;
    });
}
