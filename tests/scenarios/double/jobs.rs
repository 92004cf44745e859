//! What a job is told about itself, and until when.

use adit_identity::Tier;
use adit_tests::{Endpoint, GitLab, JobStatus, Role, gitlab, gitlab::TokenForm, scenario};
use serde_json::json;

use super::{ALLOWED_AGENTS, allowed_agents, ask};

/// A GitLab with the project `group/sub/app` and its agent `prod`.
async fn start() -> GitLab {
    let gitlab = gitlab().start().await;
    {
        let mut world = gitlab.world();
        world.number(20).group("group/sub");
        world.number(150).project("group/sub/app");
        world.member("dev1", "group", Role::Developer);
        world.number(200).agent("group/sub/app", "prod");
    }
    gitlab
}

#[test]
fn the_answer_has_gitlabs_shape() {
    scenario(async {
        let gitlab = start().await;
        let (job, user, token) = {
            let mut world = gitlab.world();
            let id = world
                .job("group/sub/app")
                .environment_of_tier("prod", Tier::Production)
                .run();
            let job = world.job_of(id);
            (job.clone(), job.user, job.token().to_owned())
        };
        let answer = allowed_agents(&gitlab, &token).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        let expected = json!({
            "allowed_agents": [{
                "id": 200,
                "config_project": {
                    "id": 150,
                    "description": null,
                    "name": "app",
                    "name_with_namespace": "group / sub / app",
                    "path": "app",
                    "path_with_namespace": "group/sub/app",
                    "created_at": "2026-01-01T00:00:00.000Z",
                },
                "configuration": {},
            }],
            "job": { "id": job.id },
            "pipeline": { "id": job.pipeline },
            "project": { "id": 150, "groups": [{ "id": 20 }, { "id": 21 }] },
            "user": {
                "id": user,
                "username": "dev1",
                "roles_in_project": ["guest", "planner", "reporter", "developer"],
            },
            "environment": { "slug": "prod", "tier": "production" },
        });
        assert_eq!(answer.json(), expected);
    });
}

#[test]
fn a_job_without_a_stored_environment_has_none_in_its_answer() {
    scenario(async {
        let gitlab = start().await;
        let run = |is_stored: bool| {
            let mut world = gitlab.world();
            let mut job = world.job("group/sub/app");
            if !is_stored {
                job = job.environment("review/x").unpersisted();
            }
            let id = job.run();
            (id, world.job_of(id).token().to_owned())
        };
        for is_stored in [true, false] {
            let (_, token) = run(is_stored);
            let answer = allowed_agents(&gitlab, &token).await.json();
            assert!(answer.get("environment").is_none());
        }
        let (id, token) = run(false);
        gitlab.world().persist_environment(id);
        let answer = allowed_agents(&gitlab, &token).await.json();
        assert_eq!(answer["environment"]["tier"], "development");
        let slug = answer["environment"]["slug"].as_str().unwrap().to_owned();
        assert!(slug.starts_with("review-x-"), "{slug}");
    });
}

#[test]
fn a_project_of_a_users_own_has_no_groups() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let token = {
            let mut world = gitlab.world();
            world.user("alice");
            world.project("alice/tool");
            world.job("alice/tool").run_for_token()
        };
        let answer = allowed_agents(&gitlab, &token).await.json();
        assert_eq!(answer["project"]["groups"], json!([]));
        assert_eq!(answer["user"]["username"], "alice");
        assert_eq!(answer["user"]["roles_in_project"][5], "owner");
    });
}

#[test]
fn a_token_dies_with_its_job() {
    scenario(async {
        let gitlab = start().await;
        for form in [TokenForm::Opaque, TokenForm::Jwt] {
            for status in [
                JobStatus::Success,
                JobStatus::Failed,
                JobStatus::Canceled,
                JobStatus::Erased,
            ] {
                let (job, token) = {
                    let mut world = gitlab.world();
                    let job = world.job("group/sub/app").token(form).run();
                    (job, world.job_of(job).token().to_owned())
                };
                let headers = [("job-token", token.as_str())];
                assert_eq!(allowed_agents(&gitlab, &token).await.status, 200);
                assert_eq!(ask(&gitlab, "/api/v4/job", &headers).await.status, 200);
                gitlab.end_job(job, status).await;
                let answer = allowed_agents(&gitlab, &token).await;
                assert_eq!(answer.status, 401, "{status:?}");
                assert_eq!(answer.json(), json!({ "message": "401 Unauthorized" }));
                assert_eq!(ask(&gitlab, "/api/v4/job", &headers).await.status, 401);
            }
        }
    });
}

#[test]
fn a_blocked_users_job_and_a_deleted_projects_job_are_refused() {
    scenario(async {
        let gitlab = start().await;
        let (user, token) = {
            let mut world = gitlab.world();
            let id = world.job("group/sub/app").run();
            let job = world.job_of(id);
            (job.user, job.token().to_owned())
        };
        let status = async || allowed_agents(&gitlab, &token).await.status;
        gitlab.world().user_mut(user).is_blocked = true;
        assert_eq!(status().await, 403);
        gitlab.world().user_mut(user).is_blocked = false;
        gitlab.world().project_mut("group/sub/app").is_being_deleted = true;
        assert_eq!(status().await, 401);
    });
}

#[test]
fn tokens_have_gitlabs_forms() {
    scenario(async {
        let gitlab = start().await;
        let run = |form, prefix: Option<&str>| {
            let mut world = gitlab.world();
            world.settings.token_prefix = prefix.map(str::to_owned);
            world.job("group/sub/app").token(form).run_for_token()
        };
        let opaque = run(TokenForm::Opaque, None);
        assert!(opaque.starts_with("glcbt-64_"), "{opaque}");
        let jwt = run(TokenForm::Jwt, None);
        assert!(jwt.starts_with("glcbt-ey"), "{jwt}");
        assert_eq!(jwt.split('.').count(), 3);
        let prefixed = run(TokenForm::Jwt, Some("acme"));
        assert!(prefixed.starts_with("acme-glcbt-ey"), "{prefixed}");
        for (token, status) in [(&opaque, 200), (&prefixed, 200), (&jwt, 401)] {
            let answer = allowed_agents(&gitlab, token).await;
            assert_eq!(answer.status, status, "another prefix ends a JWT only");
        }
    });
}

#[test]
fn a_signed_token_expires_a_little_after_its_job_may_run() {
    scenario(async {
        let gitlab = start().await;
        let token = {
            let mut world = gitlab.world();
            world
                .job("group/sub/app")
                .timeout(std::time::Duration::ZERO)
                .run_for_token()
        };
        let claims = token.split('.').nth(1).unwrap();
        let claims =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
        let claims: serde_json::Value = serde_json::from_slice(&claims.unwrap()).unwrap();
        let left = claims["exp"].as_u64().unwrap()
            - std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs();
        assert!((290..=300).contains(&left), "{left} s");
        let answer = allowed_agents(&gitlab, &token).await;
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn who_asks_without_a_jobs_token_is_told_apart() {
    scenario(async {
        let gitlab = start().await;
        let personal = {
            let mut world = gitlab.world();
            let user = world.user("dev1");
            world.personal_token(user, &["api"])
        };
        let status =
            async |headers: &[(&str, &str)]| ask(&gitlab, ALLOWED_AGENTS, headers).await.status;
        assert_eq!(status(&[]).await, 401);
        assert_eq!(status(&[("job-token", "glcbt-64_invented")]).await, 401);
        assert_eq!(status(&[("private-token", "glpat-invented")]).await, 401);
        let answer = ask(&gitlab, ALLOWED_AGENTS, &[("private-token", &personal)]).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json(), json!({ "message": "404 Job Not Found" }));
        assert_eq!(gitlab.calls().to(Endpoint::AllowedAgents), 4);
    });
}

#[test]
fn a_token_can_be_shown_in_several_ways() {
    scenario(async {
        let gitlab = start().await;
        let token = {
            let mut world = gitlab.world();
            world.job("group/sub/app").run_for_token()
        };
        let pair = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("gitlab-ci-token:{token}"),
        );
        let basic = format!("Basic {pair}");
        let in_query = format!("{ALLOWED_AGENTS}?job_token={token}");
        assert_eq!(ask(&gitlab, &in_query, &[]).await.status, 200);
        let answer = ask(&gitlab, ALLOWED_AGENTS, &[("authorization", &basic)]).await;
        assert_eq!(answer.status, 200);
    });
}
