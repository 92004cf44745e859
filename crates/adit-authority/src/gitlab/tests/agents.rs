//! Whose an agent's token is: how GitLab is asked, and what its answers do.

use super::*;

const NEWER: &str = "/api/v4/internal/agents/agentk/agent_info";
const OLDER: &str = "/api/v4/internal/kubernetes/agent_info";

/// What GitLab says of agent 41.
fn info() -> Value {
    json!({
        "project_id": 7,
        "agent_id": 41,
        "agent_name": "prod",
        "gitaly_info": { "address": "unix:/gitaly", "token": "secret" },
        "gitaly_repository": { "gl_project_path": "platform/agents" },
        "default_branch": "main",
    })
}

impl World {
    async fn agent(&self, token: &str) -> Result<GitLabAgent, GitLabError> {
        within(self.gitlab.agent(Token::parse(token).unwrap(), HERE)).await
    }

    fn last_path(&self) -> String {
        let last = self.script.last.lock();
        last.as_ref().unwrap().uri().path().to_owned()
    }

    fn of_agents(&self) -> QuestionStats {
        self.gitlab.stats().remove(1)
    }
}

#[tokio::test(start_paused = true)]
async fn gitlab_is_asked_with_the_agents_token_and_a_proof() {
    let world = World::new();
    world.script.start("glagent-abc", info());
    let agent = world.agent("glagent-abc").await.unwrap();
    assert_eq!((agent.id().0, agent.project().0), (41, 7));
    assert_eq!(agent.context(), "platform/agents:prod");
    let names = world.gitlab.agent_names();
    let named = names.find(agent.id(), agent.project()).unwrap();
    assert_eq!(named.name.as_str(), "prod");
    let request = world.script.last.lock().take().unwrap();
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("GET", NEWER)
    );
    let fields: Vec<_> = request
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    assert_eq!(
        fields,
        ["accept", "authorization", "gitlab-kas-api-request"]
    );
    for secret in ["authorization", "gitlab-kas-api-request"] {
        assert!(request.headers()[secret].is_sensitive(), "{secret}");
    }
    assert_eq!(request.headers()["authorization"], "Bearer glagent-abc");
}

#[tokio::test(start_paused = true)]
async fn the_path_that_answered_is_asked_first() {
    let world = World::new();
    world.script.start("one", info());
    world.script.start("two", info());
    *world.script.missing.lock() = NEWER;
    let _held = world.agent("one").await.unwrap();
    assert_eq!(
        (world.script.calls(), world.last_path().as_str()),
        (2, OLDER)
    );
    world.agent("two").await.unwrap();
    assert_eq!(world.script.calls(), 3);
    // Another version has neither than this one.
    *world.script.missing.lock() = OLDER;
    sleep(31 * SECOND).await;
    assert_eq!(
        (world.script.calls(), world.last_path().as_str()),
        (5, NEWER)
    );
    assert_eq!(
        world.agent("no").await.unwrap_err(),
        GitLabError::NotAccepted
    );
    assert_eq!(world.script.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_ends_within_the_interval() {
    let world = World::new();
    world.script.start("token", info());
    let agent = world.agent("token").await.unwrap();
    sleep(10 * MINUTE).await;
    world.script.end("token");
    let ended = timeout(31 * SECOND, agent.ended()).await;
    assert_eq!(ended, Ok(Ended::Over));
    assert_eq!(world.cuts(), [], "no job's");
    assert_eq!(
        counts(&world.of_agents().ended, Ended::as_str),
        [("over", 1)].into()
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_another_agents_ends_the_first_ones_tunnels() {
    let world = World::new();
    world.script.start("token", info());
    let agent = world.agent("token").await.unwrap();
    let mut other = info();
    other["agent_name"] = json!("renamed");
    other["gitaly_repository"]["gl_project_path"] = json!("moved/agents");
    world.script.start("token", other.clone());
    assert!(
        timeout(5 * MINUTE, agent.ended()).await.is_err(),
        "names count for nothing"
    );
    other["agent_id"] = json!(42);
    world.script.start("token", other);
    let ended = timeout(31 * SECOND, agent.ended()).await;
    assert_eq!(ended, Ok(Ended::Changed));
    assert_eq!(world.agent("token").await.unwrap().id(), AgentId(42));
}

#[tokio::test(start_paused = true)]
async fn a_gitlab_that_does_not_trust_the_relay_says_nothing_about_a_token() {
    let world = World::new();
    world.script.start("known", info());
    let agent = world.agent("known").await.unwrap();
    let body = r#"{"message":"KAS JWT authentication invalid"}"#;
    let distrust = Instead::Answers(401, Vec::new(), body.to_owned());
    world.script.now(distrust);
    let refused = world.agent("new").await.unwrap_err();
    let GitLabError::Unavailable { why, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(why, Trouble::NotTrusted);
    let holds = 19 * MINUTE;
    assert!(
        timeout(holds, agent.ended()).await.is_err(),
        "it is honoured"
    );
    assert_eq!(world.gitlab.breaker(), BreakerState::Closed);
    let ended = timeout(2 * MINUTE, agent.ended()).await;
    assert_eq!(ended, Ok(Ended::Unproved));
    let calls = counts(&world.of_agents().calls, Outcome::as_str);
    assert_eq!(calls.keys().collect::<Vec<_>>(), [&"not_trusted", &"yes"]);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_answer_lets_nobody_in() {
    let world = World::new();
    for (part, value) in [
        ("agent_id", json!("41")),
        ("agent_id", json!(0)),
        ("project_id", json!(null)),
        ("agent_name", json!("No Label")),
    ] {
        let mut said = info();
        said[part] = value;
        let token = format!("token{}", world.script.calls());
        world.script.start(&token, said);
        let refused = world.agent(&token).await.unwrap_err();
        assert!(matches!(refused, GitLabError::BadAnswer(_)), "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agents_token_that_adit_made_is_not_shown_to_gitlab() {
    let world = World::new();
    let refused = world.agent("adit-agent-abc").await.unwrap_err();
    assert_eq!(refused, GitLabError::AgentToken);
    assert_eq!(world.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_an_agents_repository_is_follows_what_gitlab_said_last() {
    let world = World::new();
    world.script.start("one", info());
    let held = world.agent("one").await.unwrap();
    let server = || {
        let names = world.gitlab.agent_names().all();
        let said = names.get(&held.id()).unwrap().repository.clone();
        said.map(|at| at.map(|at| at.server.address().to_string()))
    };
    assert_eq!(server(), Some(Ok("unix:/gitaly".to_owned())));
    // It moves, and the agent is the same.
    let mut moved = info();
    moved["gitaly_info"]["address"] = json!("tls://gitaly.test:9999");
    world.script.start("one", moved);
    sleep(31 * SECOND).await;
    assert_eq!(server(), Some(Ok("tls://gitaly.test:9999".to_owned())));
    // What cannot be read of it is no reason to refuse the agent.
    for odd in [json!(null), json!("x"), json!({ "address": 7 })] {
        let mut info = info();
        info["gitaly_info"] = odd.clone();
        world.script.start("one", info);
        sleep(31 * SECOND).await;
        assert_eq!(server(), None, "{odd}");
    }
    let mut info = info();
    info["gitaly_info"]["address"] = json!("http://gitaly");
    world.script.start("one", info);
    sleep(31 * SECOND).await;
    assert!(matches!(server(), Some(Err(_))));
    world.agent("one").await.unwrap();
}
