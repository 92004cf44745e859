//! People outside of any job, with a personal access token: GitLab says who they are and whether they may use the agent.

use adit_tests::{
    AuditLog, Caller, Endpoint, Fault, body,
    caller::{breaks_off, get, next_piece},
    gitlab, kube, relay, scenario, until, within,
};
use http::Response;

use super::{Place, RECHECK, arrange};

const AS_USER: &str = "user_access: { access_as: { user: {} }, projects: [{ id: group/sub/app }], groups: [{ id: group }] }";
const AS_AGENT: &str = "user_access: { access_as: { agent: {} }, groups: [{ id: group }] }";

/// The usual place, and the user `dev1` (12) with a token that may be used for the agent `prod`.
struct Known {
    place: Place,
    token: String,
}

impl Known {
    async fn new(keys: &str, user_access: &str) -> Self {
        let place = Place::trusted(keys).await;
        configure(&place, user_access);
        let token = place.gitlab.world().personal_token(12, &["k8s_proxy"]);
        Self { place, token }
    }

    fn user(&self) -> Caller {
        self.of_agent(1)
    }

    fn of_agent(&self, id: u64) -> Caller {
        showing(&self.place, id, &self.token)
    }

    fn calls(&self) -> usize {
        self.place.gitlab.calls().to(Endpoint::AuthorizeProxyUser)
    }

    fn end_token(&self) {
        let mut world = self.place.gitlab.world();
        world.user_mut(12).tokens[0].is_over = true;
    }
}

fn configure(place: &Place, user_access: &str) {
    let mut world = place.gitlab.world();
    world.configure_yaml(1, user_access).unwrap();
}

/// Whoever shows a personal access token for an agent.
fn showing(place: &Place, agent: u64, token: &str) -> Caller {
    let bearer = format!("Bearer pat:{agent}:{token}");
    place.relay().showing(&bearer)
}

#[test]
fn a_user_acts_as_gitlab_names_them() {
    scenario(async {
        let known = Known::new("recheck: 30s", AS_USER).await;
        let user = known.user();
        for _ in 0..3 {
            user.get("/api").await.echo();
        }
        let came = known.place.world.kube.last();
        assert_eq!(came.values("impersonate-user"), ["gitlab:user:dev1"]);
        let roles = ["guest", "planner", "reporter", "developer"];
        let of = |kind: &str, id: u64| {
            let name = |role| format!("gitlab:{kind}_role:{id}:{role}");
            roles.map(name)
        };
        let mut groups = vec!["gitlab:user".to_owned()];
        groups.extend(of("project", 150).into_iter().chain(of("group", 23)));
        assert_eq!(came.values("impersonate-group"), groups);
        let extra =
            |name: &str| came.values(&format!("impersonate-extra-agent.gitlab.com%2f{name}"));
        assert_eq!(extra("id"), ["1"]);
        assert_eq!(extra("config_project_id"), ["150"]);
        assert_eq!(extra("username"), ["dev1"]);
        assert_eq!(extra("access_type"), ["personal_access_token"]);
        assert!(
            came.values("authorization")
                .iter()
                .all(|value| !value.contains(&known.token))
        );
        // All of them at the cost of one question.
        assert_eq!(known.calls(), 1);
        let list = user.under("").get("/adit/v1/agents").await.json();
        assert_eq!(list["agents"][0]["context"], "group/sub/app:prod");
        assert_eq!(list["agents"].as_array().unwrap().len(), 1);
        known.place.stop().await;
    });
}

#[test]
fn a_user_acts_as_the_agent_where_gitlab_says_so() {
    scenario(async {
        let known = Known::new("recheck: 30s", AS_AGENT).await;
        known.user().get("/api").await.echo();
        let identity = known.place.world.kube.last().identity();
        let is_impersonated = |name: &str| name.starts_with("impersonate-");
        assert!(
            !identity.iter().any(|(name, _)| is_impersonated(name)),
            "{identity:?}"
        );
        known.place.stop().await;
    });
}

#[test]
fn whom_gitlab_keeps_out_is_not_told_why() {
    scenario(async {
        let known = Known::new("recheck: 30s", AS_USER).await;
        let (other_scope, stranger) = {
            let mut world = known.place.gitlab.world();
            let stranger = world.user("mallory");
            // GitLab's agent of an id that is another's in the relay's configuration.
            world.number(3).agent("group/sub/app", "namesake");
            world.configure_yaml(3, AS_USER).unwrap();
            (
                world.personal_token(12, &["api"]),
                world.personal_token(stranger, &["k8s_proxy"]),
            )
        };
        let place = &known.place;
        let cases = [
            showing(place, 1, "glpat-invented"),
            showing(place, 1, &other_scope),
            showing(place, 1, &stranger),
            // No `user_access`, no such agent, and the relay's own.
            known.of_agent(2),
            known.of_agent(4711),
            known.of_agent(3),
        ];
        let mut told = Vec::new();
        for caller in cases {
            let answer = caller.get("/api").await;
            assert_eq!(answer.headers["gitlab-unauthorized"], "true");
            let refused = answer.refused();
            let expected = (401, "gitlab_user_not_accepted", "client", None);
            assert_eq!(refused.told(), expected);
            told.push(refused.message.replace(&refused.request_id, ""));
        }
        assert!(told.iter().all(|message| *message == told[0]), "{told:?}");
        let refused = known.user().under("/k8s-proxy/agents/2").get("/api").await;
        assert_eq!(refused.refused().reason, "agents_differ");
        known.user().get("/api").await.echo();
        known.place.stop().await;
    });
}

#[test]
fn only_the_relay_marks_an_answer_as_its_own() {
    scenario(async {
        let kube = kube().answer("/spoof", |_| async {
            let answer = Response::builder().header("gitlab-unauthorized", "true");
            answer.status(401).body(body::empty()).unwrap()
        });
        let place = Place::of(kube, RECHECK).await;
        let (_, job) = place.job();
        let answer = job.get("/spoof").await;
        assert_eq!(answer.status, 401);
        assert!(answer.headers.get("gitlab-unauthorized").is_none());
        place.stop().await;
    });
}

#[test]
fn a_token_that_is_revoked_ends_what_its_user_runs() {
    scenario(async {
        let known = Known::new(RECHECK, AS_USER).await;
        let http2 = known.user().http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let revoked = async {
            known.place.world.kube.until_open(2).await;
            known.end_token();
        };
        let never = http2.answer(get("/never"));
        let (refused, ()) = tokio::join!(within("the end of the token", never), revoked);
        let expected = (401, "gitlab_user_not_accepted", "client", None);
        assert_eq!(refused.refused().told(), expected);
        breaks_off(watch).await;
        assert_eq!(http2.get("/api").await.refused().told(), expected);
        let metrics = known.place.relay().metrics().await;
        let ended = "adit_relay_gitlab_ended_total{question=\"user\",reason=\"over\"}";
        assert_eq!(metrics.value(ended), 1.0);
        drop(http2);
        known.place.stop().await;
    });
}

#[test]
fn who_loses_a_role_is_cut_and_who_is_given_one_is_not() {
    scenario(async {
        let known = Known::new(RECHECK, AS_USER).await;
        let http2 = known.user().http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        let groups = || known.place.world.kube.last().values("impersonate-group");
        let maintainer = "gitlab:group_role:23:maintainer".to_owned();
        {
            let mut world = known.place.gitlab.world();
            world.member("dev1", "group", adit_tests::Role::Maintainer);
        }
        within("the role counts", async {
            while !groups().contains(&maintainer) {
                http2.get("/api").await.echo();
            }
        })
        .await;
        known.place.world.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");
        let fewer = "user_access: { access_as: { user: {} }, projects: [{ id: group/sub/app }] }";
        configure(&known.place, fewer);
        breaks_off(watch).await;
        http2.get("/api").await.echo();
        assert!(!groups().contains(&maintainer));
        drop(http2);
        known.place.stop().await;
    });
}

#[test]
fn a_gitlab_in_trouble_keeps_known_users_and_sends_new_ones_away() {
    scenario(async {
        let faults = [
            (Fault::Status(500), (503, "gitlab_unavailable")),
            (Fault::HangUp, (503, "gitlab_unavailable")),
            (Fault::WrongTypes, (502, "gitlab_bad_answer")),
        ];
        for (fault, expected) in faults {
            let known = Known::new("recheck: 100ms", AS_USER).await;
            let http2 = known.user().http2().await;
            let mut watch = http2.send(get("/watch")).await.unwrap();
            known
                .place
                .gitlab
                .faults()
                .set(Endpoint::AuthorizeProxyUser, fault);
            let asked = known.calls();
            until("GitLab is asked again", || known.calls() > asked).await;
            known.user().get("/api").await.echo();
            let new = {
                let mut world = known.place.gitlab.world();
                world.personal_token(12, &["k8s_proxy"])
            };
            let new = showing(&known.place, 1, &new);
            let refused = new.get("/api").await.refused();
            assert_eq!((refused.status, refused.reason.as_str()), expected);
            known.place.world.kube.event("still here");
            assert_eq!(next_piece(&mut watch).await, "still here\n", "{fault:?}");
            drop((watch, http2));
            known.place.stop().await;
        }
    });
}

#[test]
fn without_gitlabs_secret_nobody_is_a_user() {
    scenario(async {
        let place = Place::new().await;
        configure(&place, AS_USER);
        let token = place.gitlab.world().personal_token(12, &["k8s_proxy"]);
        let refused = showing(&place, 1, &token).get("/api").await.refused();
        assert_eq!(refused.told(), (401, "credential_kind", "client", None));
        assert_eq!(place.gitlab.calls().total(), 0);
        place.stop().await;
    });
}

#[test]
fn the_audit_log_names_the_user() {
    scenario(async {
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let token = {
            let mut world = gitlab.world();
            world.configure_yaml(1, AS_USER).unwrap();
            world.personal_token(12, &["k8s_proxy"])
        };
        let secret = gitlab.secret_file().display().to_string();
        let keys = format!("api_secret_file: '{secret}'");
        let log = AuditLog::default();
        let relay = log.of(relay().asking(&gitlab, &keys));
        let world = adit_tests::World::of(kube(), relay).await;
        let bearer = format!("Bearer pat:1:{token}");
        world.relay.showing(&bearer).get("/api").await.echo();
        let issuer = gitlab.url().to_owned();
        world.stop().await;
        let records = log.records();
        let user = &records[0]["user"];
        let expected = serde_json::json!({
            "authority": issuer, "id": 12, "login": "dev1", "access_type": "personal_access_token",
        });
        assert_eq!(*user, expected);
        assert_eq!(records[0]["act_as"]["user"], "gitlab:user:dev1");
        assert!(records[0]["job"].is_null());
    });
}
