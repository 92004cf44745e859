//! What only the agent server may ask, proved by a JWT.

use adit_tests::{
    Endpoint, GitLab, Role, gitlab,
    gitlab::{TooManyTokens, Visibility},
    scenario,
};
use serde_json::json;

use super::{allowed_agents, ask, post};

const AGENT_INFO: [&str; 2] = [
    "/api/v4/internal/agents/agentk/agent_info",
    "/api/v4/internal/kubernetes/agent_info",
];

async fn start() -> (GitLab, u64, String) {
    let gitlab = gitlab().start().await;
    let (agent, token) = {
        let mut world = gitlab.world();
        world.project("group/app");
        world.member("dev1", "group", Role::Developer);
        let agent = world.agent("group/app", "prod");
        (agent, world.agent_token(agent).unwrap())
    };
    (gitlab, agent, token)
}

#[test]
fn agent_info_names_the_agent_and_its_repository() {
    scenario(async {
        let (gitlab, agent, token) = start().await;
        let jwt = gitlab.kas_jwt();
        let bearer = format!("Bearer {token}");
        for path in AGENT_INFO {
            for shown in [
                ("authorization", bearer.as_str()),
                ("gitlab-agentk-api-request", &token),
            ] {
                let headers = [("gitlab-kas-api-request", jwt.as_str()), shown];
                let answer = ask(&gitlab, path, &headers).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let info = answer.json();
                assert_eq!(info["agent_id"], agent);
                assert_eq!(info["agent_name"], "prod");
                assert_eq!(info["default_branch"], "main");
                assert_eq!(info["gitaly_info"]["address"], gitlab.gitaly().address);
                let repository = &info["gitaly_repository"];
                assert_eq!(repository["storage_name"], "default");
                assert_eq!(repository["gl_project_path"], "group/app");
            }
        }
        assert_eq!(gitlab.world().agent_of(agent).contacts, 4);
        assert_eq!(gitlab.calls().to(Endpoint::AgentInfo), 2);
        assert_eq!(gitlab.calls().to(Endpoint::OldAgentInfo), 2);
    });
}

#[test]
fn a_revoked_token_is_refused_at_once_and_its_sibling_works_on() {
    scenario(async {
        let (gitlab, agent, first) = start().await;
        let second = {
            let mut world = gitlab.world();
            let second = world.agent_token(agent).unwrap();
            assert_eq!(world.agent_token(agent), Err(TooManyTokens));
            world.revoke_agent_token(&first);
            second
        };
        let jwt = gitlab.kas_jwt();
        let status = async |token: &str| {
            let bearer = format!("Bearer {token}");
            let headers = [
                ("gitlab-kas-api-request", jwt.as_str()),
                ("authorization", &bearer),
            ];
            ask(&gitlab, AGENT_INFO[0], &headers).await.status
        };
        assert_eq!(status(&first).await, 401);
        assert_eq!(status(&second).await, 200);
        let third = gitlab.world().agent_token(agent);
        assert_eq!(status(&third.unwrap()).await, 200);
        gitlab.world().delete_agent(agent);
        assert_eq!(status(&second).await, 401);
    });
}

#[test]
fn tokens_carry_the_instances_prefix() {
    scenario(async {
        let (gitlab, agent, plain) = start().await;
        assert!(plain.starts_with("glagent-"));
        assert_eq!(plain.len(), "glagent-".len() + 50);
        let mut world = gitlab.world();
        world.settings.token_prefix = Some("acme".to_owned());
        assert!(
            world
                .agent_token(agent)
                .unwrap()
                .starts_with("acme-glagent-")
        );
    });
}

#[test]
fn without_a_proof_nobody_is_let_in() {
    scenario(async {
        let (gitlab, agent, token) = start().await;
        let other = {
            let other = adit_tests::gitlab().start().await;
            other.kas_jwt()
        };
        let bearer = format!("Bearer {token}");
        for path in [
            AGENT_INFO[0],
            AGENT_INFO[1],
            "/api/v4/internal/kubernetes/project_info?id=group/app",
            "/api/v4/internal/kubernetes/verify_project_access?id=group/app",
        ] {
            for jwt in [None, Some(other.as_str()), Some("a.b.c"), Some("")] {
                let proof = jwt.map(|jwt| ("gitlab-kas-api-request", jwt));
                let headers: Vec<_> = proof
                    .into_iter()
                    .chain([("authorization", bearer.as_str())])
                    .collect();
                let answer = ask(&gitlab, path, &headers).await;
                assert_eq!(answer.status, 401, "{path} {jwt:?}");
                let message = &answer.json()["message"];
                assert_eq!(message, "KAS JWT authentication invalid");
            }
        }
        for path in ["agent_configuration", "usage_metrics", "agent_events"] {
            let path = format!("/api/v4/internal/kubernetes/{path}");
            let body = json!({ "agent_id": agent, "agent_config": {} });
            assert_eq!(post(&gitlab, &path, &body, &[]).await.status, 401);
        }
    });
}

#[test]
fn a_project_is_shown_to_agents_that_may_read_it() {
    scenario(async {
        let (gitlab, _, token) = start().await;
        let (private, public) = {
            let mut world = gitlab.world();
            let private = world.project("group/private");
            let public = world.project("other/public");
            world.project_mut("other/public").visibility = Visibility::Public;
            (private, public)
        };
        let jwt = gitlab.kas_jwt();
        let bearer = format!("Bearer {token}");
        let headers = [
            ("gitlab-kas-api-request", jwt.as_str()),
            ("authorization", &bearer),
        ];
        for (id, is_readable) in [
            ("group%2Fapp".to_owned(), true),
            ("other%2Fpublic".to_owned(), true),
            (public.to_string(), true),
            (private.to_string(), false),
            ("no%2Fsuch".to_owned(), false),
        ] {
            let info = format!("/api/v4/internal/kubernetes/project_info?id={id}");
            let access = format!("/api/v4/internal/kubernetes/verify_project_access?id={id}");
            let [info, access] = [
                ask(&gitlab, &info, &headers).await,
                ask(&gitlab, &access, &headers).await,
            ];
            if is_readable {
                assert_eq!((info.status.as_u16(), access.status.as_u16()), (200, 204));
                assert!(access.body.is_empty());
                assert!(info.json()["project_id"].is_u64());
            } else {
                assert_eq!((info.status.as_u16(), access.status.as_u16()), (404, 404));
            }
        }
    });
}

#[test]
fn a_posted_configuration_is_what_counts_from_then_on() {
    scenario(async {
        let (gitlab, agent, _) = start().await;
        let token = {
            let mut world = gitlab.world();
            world.project("group/other");
            world.job("group/other").run_for_token()
        };
        let jwt = gitlab.kas_jwt();
        let proof = [("gitlab-kas-api-request", jwt.as_str())];
        let path = "/api/v4/internal/kubernetes/agent_configuration";
        let configuration = json!({ "ci_access": { "groups": [{ "id": "group" }] } });
        // 64 bits are text in the JSON of protobuf.
        for id in [json!(agent), json!(agent.to_string())] {
            let body = json!({ "agent_id": id, "agent_config": configuration });
            let answer = post(&gitlab, path, &body, &proof).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
        let allowed = allowed_agents(&gitlab, &token).await;
        assert_eq!(allowed.json()["allowed_agents"][0]["id"], agent);

        let unknown = json!({ "agent_id": 999_999, "agent_config": {} });
        assert_eq!(post(&gitlab, path, &unknown, &proof).await.status, 404);
        let answer = post(&gitlab, path, &json!({ "agent_config": {} }), &proof).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json(), json!({ "error": "agent_id is missing" }));
    });
}

#[test]
fn telemetry_is_taken_when_it_makes_sense() {
    scenario(async {
        let (gitlab, agent, _) = start().await;
        let jwt = gitlab.kas_jwt();
        let proof = [("gitlab-kas-api-request", jwt.as_str())];
        let usage = "/api/v4/internal/kubernetes/usage_metrics";
        let events = "/api/v4/internal/kubernetes/agent_events";
        let good = json!({
            "counters": { "k8s_api_proxy_request": 3 },
            "unique_counters": { "k8s_api_proxy_requests_unique_agents_via_ci_access": [agent] },
        });
        assert_eq!(post(&gitlab, usage, &good, &proof).await.status, 204);
        for bad in [
            json!({ "counters": { "k8s_api_proxy_request": -1 } }),
            json!({ "counters": { "k8s_api_proxy_request": "many" } }),
            json!({ "unique_counters": { "k8s_api_proxy_requests_unique_agents_via_ci_access": 7 } }),
        ] {
            assert_eq!(
                post(&gitlab, usage, &bad, &proof).await.status,
                400,
                "{bad}"
            );
        }
        let told = json!({ "events": { "register_agent_at_kas": [{ "agent_id": agent }] } });
        assert_eq!(post(&gitlab, events, &told, &proof).await.status, 204);
        assert_eq!(gitlab.world().telemetry, [good, told]);
    });
}
