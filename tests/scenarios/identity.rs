//! As whom a request reaches the API server: exactly as the permit says, whatever the caller sends beside it.

use adit_identity::{Environment, Tier};
use adit_tests::{
    World, body,
    caller::{PROTOBUF, get, request},
    job, kube, relay, scenario, world,
};
use http::{HeaderValue, Method, StatusCode, header};

mod access;
mod as_others;
mod ceiling;
mod expiry;
mod keys;
mod smuggling;
mod tokens;
mod two;

/// The agent's own credential, and nobody else's.
const OF_THE_AGENT: (&str, &str) = ("authorization", "Bearer canary-service-account-token");

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// What a job is at the API server.
fn of_job(id: u64) -> Vec<(String, String)> {
    let job = id.to_string();
    let user = format!("gitlab:ci_job:{id}");
    pairs(&[
        OF_THE_AGENT,
        ("impersonate-extra-agent.gitlab.com%2fci_job_id", &job),
        ("impersonate-extra-agent.gitlab.com%2fci_pipeline_id", "880"),
        (
            "impersonate-extra-agent.gitlab.com%2fconfig_project_id",
            "150",
        ),
        ("impersonate-extra-agent.gitlab.com%2fid", "1"),
        ("impersonate-extra-agent.gitlab.com%2fproject_id", "150"),
        ("impersonate-extra-agent.gitlab.com%2fusername", "dev1"),
        ("impersonate-group", "gitlab:ci_job"),
        ("impersonate-group", "gitlab:group:25"),
        ("impersonate-group", "gitlab:project:150"),
        ("impersonate-user", &user),
    ])
}

#[test]
fn job_is_impersonated_by_gitlabs_names() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            for answer in [
                world.job.get("/api").await,
                world.job.http1().await.get("/api").await,
            ] {
                assert_eq!(answer.status, StatusCode::OK);
                assert_eq!(world.kube.last().identity(), of_job(9001));
            }
            world.stop().await;
        }
    });
}

#[test]
fn environment_adds_its_names() {
    scenario(async {
        let world = world().await;
        let mut job = job(9001);
        job.environment =
            Some(Environment::named("review/Feature-1", Tier::Development, false).unwrap());
        world.relay.caller(&job, "prod").get("/api").await.echo();
        let came = world.kube.last();
        let slug = job.environment.unwrap().slug().to_owned();
        assert_eq!(
            came.values("impersonate-group"),
            [
                "gitlab:ci_job".to_owned(),
                "gitlab:group:25".to_owned(),
                "gitlab:group_env_tier:25:development".to_owned(),
                "gitlab:project:150".to_owned(),
                format!("gitlab:project_env:150:{slug}"),
                "gitlab:project_env_tier:150:development".to_owned(),
            ]
        );
        assert_eq!(
            came.value("impersonate-extra-agent.gitlab.com%2fenvironment_slug")
                .unwrap(),
            slug
        );
        assert_eq!(
            came.value("impersonate-extra-agent.gitlab.com%2fenvironment_tier")
                .unwrap(),
            "development"
        );
        world.stop().await;
    });
}

#[test]
fn fixed_user_is_impersonated_as_configured() {
    scenario(async {
        let access = "ci_access:
  projects:
  - id: group/sub/app
    access_as:
      impersonate:
        username: robot
        uid: u-1
        groups: [one, two words, Three]
        extra: [{ key: example.com/reason, val: [a, 'b, c'] }]
";
        let world = World::of(kube(), relay().with_agent("prod", access)).await;
        world.job.get("/api").await.echo();
        let expected = pairs(&[
            OF_THE_AGENT,
            ("impersonate-extra-example.com%2freason", "a"),
            ("impersonate-extra-example.com%2freason", "b, c"),
            ("impersonate-group", "one"),
            ("impersonate-group", "two words"),
            ("impersonate-group", "Three"),
            ("impersonate-uid", "u-1"),
            ("impersonate-user", "robot"),
        ]);
        assert_eq!(world.kube.last().identity(), expected);
        world.stop().await;
    });
}

#[test]
fn agents_own_rights_are_used_only_where_configured() {
    scenario(async {
        let access =
            "ci_access:\n  projects:\n  - id: group/sub/app\n    access_as: { agent: {} }\n";
        let world = World::of(kube(), relay().with_agent("prod", access)).await;
        world.job.get("/api").await.echo();
        assert_eq!(world.kube.last().identity(), pairs(&[OF_THE_AGENT]));
        world.stop().await;
    });
}

#[test]
fn ceiling_of_the_agent_holds_whatever_the_relay_says() {
    scenario(async {
        let bounded = |agent: adit_tests::AgentBuilder| {
            agent
                .with("ceiling", "groups", "['gitlab:project:1']")
                .with("ceiling", "agent", "false")
        };
        let world = World::with(kube(), relay(), bounded).await;
        let http2 = world.job.http2().await;
        for form in ["application/json", PROTOBUF] {
            let mut request = get("/api");
            let accept = HeaderValue::from_static(form);
            request.headers_mut().insert(header::ACCEPT, accept);
            let answer = http2.answer(request).await;
            assert_eq!(answer.headers[header::CONTENT_TYPE], form);
            let refused = answer.refused();
            assert_eq!(refused.told(), (403, "beyond_ceiling", "agent", None));
            assert!(
                refused.message.contains("group/sub/app:prod")
                    && refused.message.contains("`ceiling.groups`"),
                "{}",
                refused.message
            );
        }
        let (asked, agent) = (world.relay.metrics().await, world.agent.metrics().await);
        assert_eq!(
            (
                asked.value("adit_relay_refusals_total{reason=\"beyond_ceiling\"}"),
                agent.value("adit_agent_failures_total{kind=\"beyond_ceiling\"}")
            ),
            (2.0, 2.0)
        );
        drop(http2);
        assert_eq!(
            world.kube.request_count(),
            1,
            "only the agent's own question for the version"
        );
        world.stop().await;
    });
}

#[test]
fn callers_credential_never_leaves_the_relay() {
    scenario(async {
        let world = world().await;
        let mut request = get("/api");
        for (name, value) in [
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("x-remote-user", "system:admin"),
            ("x-remote-group", "system:masters"),
            ("x-remote-extra-scopes", "all"),
        ] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        let answer = world.job.http2().await.answer(request).await;
        if answer.status == StatusCode::OK {
            let came = world.kube.last();
            assert_eq!(came.identity(), of_job(9001));
            let token = world
                .job
                .authorization
                .as_ref()
                .unwrap()
                .rsplit(':')
                .next()
                .unwrap();
            assert!(!format!("{came:?}").contains(token));
            assert!(came.value("proxy-authorization").is_none());
        } else {
            assert_eq!(answer.refused().reason, "bad_request");
        }
        world.stop().await;
    });
}

#[test]
fn agent_is_named_by_credential_or_path_and_never_by_both_differently() {
    scenario(async {
        let world = world().await;
        let token = world.relay.issuer().token(&job(9001));
        let bare = world.relay.showing(&format!("Bearer {token}"));
        bare.under("/k8s-proxy/agents/1").get("/api").await.echo();
        assert_eq!(world.kube.last().identity(), of_job(9001));
        world
            .job
            .under("/k8s-proxy/agents/1")
            .get("/api")
            .await
            .echo();
        assert_eq!(bare.get("/api").await.refused().reason, "no_agent_named");
        assert_eq!(
            world
                .job
                .under("/k8s-proxy/agents/2")
                .get("/api")
                .await
                .refused()
                .reason,
            "agents_differ"
        );
        world.stop().await;
    });
}

#[test]
fn identity_is_the_same_with_a_body() {
    scenario(async {
        let world = world().await;
        let upload = request(Method::POST, "/api", body::full("body"));
        assert_eq!(
            world.job.http2().await.answer(upload).await.echo().body(),
            "body"
        );
        assert_eq!(world.kube.last().identity(), of_job(9001));
        world.stop().await;
    });
}
