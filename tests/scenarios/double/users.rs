//! Users from outside jobs: browsers' sessions and personal access tokens.

use adit_tests::{GitLab, Role, gitlab, gitlab::Licence, scenario};
use serde_json::{Value, json};

use super::post;

const AS_USER: &str = "user_access: { access_as: { user: {} }, projects: [{ id: group/app }], groups: [{ id: group }] }";

struct Place {
    gitlab: GitLab,
    agent: u64,
    user: u64,
}

async fn start(configuration: &str, role: Role) -> Place {
    let gitlab = gitlab().start().await;
    let (agent, user) = {
        let mut world = gitlab.world();
        world.project("group/app");
        world.member("dev1", "group", role);
        let agent = world.agent("group/app", "prod");
        world.configure_yaml(agent, configuration).unwrap();
        (agent, world.user("dev1"))
    };
    Place {
        gitlab,
        agent,
        user,
    }
}

impl Place {
    async fn ask(&self, body: Value) -> (u16, Value) {
        let jwt = self.gitlab.kas_jwt();
        let proof = [("gitlab-kas-api-request", jwt.as_str())];
        let path = "/api/v4/internal/kubernetes/authorize_proxy_user";
        let answer = post(&self.gitlab, path, &body, &proof).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn by_token(&self, token: &str) -> (u16, Value) {
        self.ask(json!({
            "agent_id": self.agent,
            "access_type": "personal_access_token",
            "access_key": token,
        }))
        .await
    }

    async fn by_cookie(&self, cookie: &str, csrf_token: &str) -> (u16, Value) {
        self.ask(json!({
            "agent_id": self.agent.to_string(),
            "access_type": "session_cookie",
            "access_key": cookie,
            "csrf_token": csrf_token,
        }))
        .await
    }

    fn token(&self, scopes: &[&str]) -> String {
        self.gitlab.world().personal_token(self.user, scopes)
    }
}

#[test]
fn a_developer_is_told_by_roles() {
    scenario(async {
        let place = start(AS_USER, Role::Maintainer).await;
        let (status, answer) = place.by_token(&place.token(&["k8s_proxy"])).await;
        assert_eq!(status, 201, "{answer}");
        let (project, group) = {
            let world = place.gitlab.world();
            let project = world.find_project("group/app").unwrap().id;
            (project, world.find_namespace("group").unwrap().id)
        };
        let roles = ["guest", "planner", "reporter", "developer", "maintainer"];
        let expected = json!({
            "agent": { "id": place.agent, "config_project": { "id": project } },
            "user": { "id": place.user, "username": "dev1" },
            "access_as": { "user": {
                "projects": [{ "id": project, "roles": roles }],
                "groups": [{ "id": group, "roles": roles }],
            } },
        });
        assert_eq!(answer, expected);
    });
}

#[test]
fn a_browser_needs_its_cookie_and_its_pages_token() {
    scenario(async {
        let place = start(AS_USER, Role::Developer).await;
        let (cookie, csrf_token) = place.gitlab.world().log_in(place.user);
        assert_eq!(place.by_cookie(&cookie, &csrf_token).await.0, 201);
        let of_a_cell = format!("cell-1.{cookie}");
        assert_eq!(place.by_cookie(&of_a_cell, &csrf_token).await.0, 201);
        assert_eq!(place.by_cookie(&cookie, "another").await.0, 401);
        assert_eq!(place.by_cookie("garbage", &csrf_token).await.0, 400);
        let (status, answer) = place.by_cookie(&cookie, "").await;
        assert_eq!(
            (status, &answer["error"]),
            (400, &json!("csrf_token is empty"))
        );
        place.gitlab.world().user_mut(place.user).sessions[0].is_over = true;
        assert_eq!(place.by_cookie(&cookie, &csrf_token).await.0, 401);
    });
}

#[test]
fn the_cookie_is_set_for_the_relays_path() {
    scenario(async {
        let gitlab = gitlab()
            .at("https://gitlab.test")
            .k8s_proxy_at("https://kas.gitlab.test/k8s-proxy/")
            .start()
            .await;
        let mut world = gitlab.world();
        let user = world.user("dev1");
        let (cookie, _) = world.log_in(user);
        assert!(cookie.contains('='), "{cookie}");
        let header = world.set_cookie(&cookie);
        assert!(header.starts_with("_gitlab_kas="));
        assert!(header.contains("%3D"), "{header}");
        for part in [
            "; path=/k8s-proxy;",
            "; max-age=86400;",
            "; HttpOnly",
            "; domain=gitlab.test",
            "; secure",
        ] {
            assert!(header.contains(part), "{part} in {header}");
        }
        world.settings.k8s_proxy_url = "https://kas.test/k8s-proxy".to_owned();
        assert!(!world.set_cookie(&cookie).contains("domain"));
    });
}

#[test]
fn a_token_that_is_no_good_is_refused() {
    scenario(async {
        let place = start(AS_USER, Role::Developer).await;
        assert_eq!(place.by_token("glpat-invented").await.0, 401);
        let (status, answer) = place.by_token(&place.token(&["api"])).await;
        assert_eq!(
            (status, &answer["error"]),
            (403, &json!("insufficient_scope"))
        );
        let good = place.token(&["k8s_proxy"]);
        assert_eq!(place.by_token(&good).await.0, 201);
        place.gitlab.world().user_mut(place.user).tokens[1].is_over = true;
        assert_eq!(place.by_token(&good).await.0, 401);
        let blocked = place.token(&["k8s_proxy"]);
        place.gitlab.world().user_mut(place.user).is_blocked = true;
        assert_eq!(place.by_token(&blocked).await.0, 401);
    });
}

#[test]
fn an_unknown_agent_is_not_found() {
    scenario(async {
        let place = start(AS_USER, Role::Developer).await;
        let token = place.token(&["k8s_proxy"]);
        let body = json!({
            "agent_id": 999_999,
            "access_type": "personal_access_token",
            "access_key": token,
        });
        assert_eq!(place.ask(body).await.0, 404);
        let body = json!({ "agent_id": place.agent, "access_type": "password", "access_key": "x" });
        assert_eq!(place.ask(body).await.0, 400);
    });
}

#[test]
fn the_configuration_decides_what_a_user_gets() {
    scenario(async {
        let of_app = "projects: [{ id: group/app }]";
        for (configuration, role, licence, expected) in [
            ("{}".to_owned(), Role::Owner, Licence::Premium, None),
            (
                format!("user_access: {{ {of_app} }}"),
                Role::Developer,
                Licence::Free,
                Some("agent"),
            ),
            (
                format!("user_access: {{ access_as: {{ agent: {{}} }}, {of_app} }}"),
                Role::Developer,
                Licence::Free,
                Some("agent"),
            ),
            (
                format!("user_access: {{ access_as: {{ agent: {{}} }}, {of_app} }}"),
                Role::Reporter,
                Licence::Premium,
                None,
            ),
            (
                format!("user_access: {{ access_as: {{ user: {{}} }}, {of_app} }}"),
                Role::Developer,
                Licence::Free,
                None,
            ),
            (
                format!("user_access: {{ access_as: {{ user: {{}}, agent: {{}} }}, {of_app} }}"),
                Role::Developer,
                Licence::Premium,
                None,
            ),
            (
                "user_access: { access_as: { agent: {} }, groups: [{ id: elsewhere }] }".to_owned(),
                Role::Owner,
                Licence::Premium,
                None,
            ),
        ] {
            let place = start(&configuration, role).await;
            place.gitlab.world().project_mut("group/app").licence = licence;
            let (status, answer) = place.by_token(&place.token(&["k8s_proxy"])).await;
            let Some(mode) = expected else {
                assert_eq!(status, 403, "{configuration}: {answer}");
                assert!(answer["message"].is_string());
                continue;
            };
            assert_eq!(status, 201, "{configuration}: {answer}");
            assert!(answer["access_as"].get(mode).is_some());
        }
    });
}
