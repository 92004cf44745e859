//! Whether a user may use an agent: how GitLab is asked, and what its answers do.

use adit_identity::ActAs;

use super::*;
use crate::Who;

/// What GitLab says of `dev1` and agent 41.
fn info() -> Value {
    json!({
        "agent": { "id": 41, "config_project": { "id": 7 } },
        "user": { "id": 12, "username": "dev1" },
        "access_as": { "user": {
            "projects": [{ "id": 150, "roles": ["guest", "developer"] }],
            "groups": [],
        } },
    })
}

impl World {
    async fn user(&self, agent: u64, token: &str) -> Result<Caller, GitLabError> {
        let token = Token::parse(token).unwrap();
        within(self.gitlab.user(AgentId(agent), token, HERE)).await
    }

    /// The user's question is answered with this.
    fn say(&self, token: &str, answer: Value) {
        self.script.start(token, answer);
    }
}

fn act_as(caller: &Caller) -> ActAs {
    caller.user_grant().unwrap().act_as.clone()
}

#[tokio::test(start_paused = true)]
async fn gitlab_is_asked_about_the_token_and_the_agent_with_a_proof() {
    let world = World::new();
    world.say("glpat-abc", info());
    let caller = world.user(41, "glpat-abc").await.unwrap();
    let request = world.script.last.lock().take().unwrap();
    let path = "/api/v4/internal/kubernetes/authorize_proxy_user";
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", path)
    );
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    let asked = json!({
        "agent_id": 41, "access_type": "personal_access_token", "access_key": "glpat-abc",
    });
    assert_eq!(body, asked);
    assert!(request.headers()["gitlab-kas-api-request"].is_sensitive());
    assert!(request.headers().get("authorization").is_none());

    let Who::User(user) = caller.who() else {
        panic!("{caller:?}");
    };
    assert_eq!((user.user.id.0, &*user.user.login), (12, "dev1"));
    assert_eq!((caller.job(), caller.expires_at()), (None, None));
    let ActAs::Impersonate(names) = act_as(&caller) else {
        panic!("{caller:?}");
    };
    assert_eq!(names.user(), "gitlab:user:dev1");
    let groups = [
        "gitlab:user",
        "gitlab:project_role:150:guest",
        "gitlab:project_role:150:developer",
    ];
    assert_eq!(names.groups(), groups);
}

#[tokio::test(start_paused = true)]
async fn one_agent_says_nothing_about_another() {
    let world = World::new();
    world.say("token", info());
    let caller = world.user(41, "token").await.unwrap();
    // GitLab's answer is about agent 41.
    let refused = world.user(42, "token").await.unwrap_err();
    assert_eq!(refused, GitLabError::BadAnswer("agent"));
    let same = world.user(41, "token").await.unwrap();
    assert_eq!((same.owner(), world.script.calls()), (caller.owner(), 2));
}

#[tokio::test(start_paused = true)]
async fn access_that_is_not_understood_is_nobodys() {
    let world = World::new();
    let user = |options: Value| json!({ "user": options });
    let cases = [
        ("access_as", json!({})),
        ("access_as", json!({ "robot": {} })),
        ("access_as", json!({ "agent": {}, "user": {} })),
        ("access_as", json!({ "agent": { "as": "root" } })),
        (
            "access_as",
            user(json!({ "projects": [{ "id": "150", "roles": [] }] })),
        ),
        (
            "access_as",
            user(json!({ "projects": [{ "id": 150, "roles": ["a:b"] }] })),
        ),
        ("agent", json!({ "id": 41 })),
        (
            "user",
            json!({ "id": 12, "username": "dev1\nimpersonate-group: x" }),
        ),
    ];
    for (part, value) in cases {
        let mut said = info();
        said[part] = value.clone();
        let token = format!("token{}", world.script.calls());
        world.say(&token, said);
        let refused = world.user(41, &token).await.unwrap_err();
        assert_eq!(refused, GitLabError::BadAnswer(part), "{value}");
    }
    let mut said = info();
    said["access_as"] = json!({ "agent": {} });
    world.say("plain", said);
    let caller = world.user(41, "plain").await.unwrap();
    assert_eq!(act_as(&caller), ActAs::Agent);
}

#[tokio::test(start_paused = true)]
async fn every_no_is_the_same() {
    let world = World::new();
    for status in [401, 403, 404] {
        world
            .script
            .now(Instead::Answers(status, Vec::new(), String::new()));
        let refused = world.user(41, &format!("token{status}")).await;
        assert_eq!(refused.unwrap_err(), GitLabError::UserNotAccepted);
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_ends_with_the_token_or_with_a_role() {
    let world = World::new();
    world.say("token", info());
    let caller = world.user(41, "token").await.unwrap();
    let mut more = info();
    more["access_as"]["user"]["groups"] = json!([{ "id": 23, "roles": ["guest"] }]);
    world.say("token", more);
    sleep(32 * SECOND).await;
    assert_eq!(world.cuts(), []);
    assert_eq!(caller.ended(), Some(Ended::Changed));
    let now = world.user(41, "token").await.unwrap();
    world.say("token", info());
    sleep(32 * SECOND).await;
    let all = |why| (caller.owner(), None, why);
    assert_eq!(world.cuts(), [all(Ended::Changed)]);
    drop(now);
    let last = world.user(41, "token").await.unwrap();
    world.script.end("token");
    sleep(32 * SECOND).await;
    assert_eq!(world.cuts(), [all(Ended::Changed), all(Ended::Over)]);
    assert_eq!(last.ended(), Some(Ended::Over));
}
