//! What GitLab's pages ask the relay, and what GitLab tells it, on a port of its own: the double is the caller, as GitLab is.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_proto::{
    gitaly::{GetTreeEntriesRequest, commit_service_client::CommitServiceClient},
    gitlab::{
        agent_tracker::{ConnectedAgentInfo, rpc::get_connected_agents_request::Request as Of},
        event::{GitPushEvent, Project},
    },
};
use adit_tests::{
    Kube, TestAgent, World, agent,
    gitlab::{Grpc, KasCaller},
    kube, logs, pki, relay, scenario,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};

use super::{GitLab, arrange, gitlab};

const CALLS: &str = "adit_relay_gitlab_api_calls_total";
const OPEN: &str = "adit_relay_gitlab_api_connections_open";

/// GitLab, the usual world, and GitLab as the relay's caller.
struct Pages {
    gitlab: GitLab,
    world: World,
    kas: KasCaller,
}

impl Pages {
    async fn new() -> Self {
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let secret = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let relay = relay().asking(&gitlab, &secret);
        let relay = relay.with("gitlab_api", "address", "127.0.0.1:0");
        let world = World::of(kube(), relay).await;
        let kas = gitlab.connect_to_kas(world.relay.gitlab_api()).await;
        Self { gitlab, world, kas }
    }

    /// One more replica of an agent.
    async fn agent(&self, name: &str, kube: &Kube) -> TestAgent {
        agent(name)
            .to(&self.world.relay)
            .serving(kube)
            .start()
            .await
    }

    /// Waits until so many replicas are connected.
    async fn until_connected(&self, replicas: f64) {
        let relay = &self.world.relay;
        relay
            .until_metric("adit_relay_tunnels_open", |open| open == replicas)
            .await;
    }

    /// So many calls of a kind ended so.
    async fn counted(&self, call: &str, outcome: &str, count: f64) {
        let metrics = self.world.relay.metrics().await;
        let sample = format!("{CALLS}{{call=\"{call}\",outcome=\"{outcome}\"}}");
        assert_eq!(metrics.value(&sample), count, "{sample}");
    }

    async fn stop(self) {
        let Self { gitlab, world, kas } = self;
        world.stop().await;
        drop((kas, gitlab));
    }
}

fn ids(agents: &[ConnectedAgentInfo]) -> Vec<i64> {
    let mut ids: Vec<_> = agents.iter().map(|agent| agent.agent_id).collect();
    ids.sort_unstable();
    ids
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, words: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains(words), "{status:?}");
}

#[test]
fn pages_are_told_what_the_relay_is() {
    scenario(async {
        let pages = Pages::new().await;
        let info = pages.kas.server_info().await.unwrap().unwrap();
        assert_eq!(info.version, format!("v{}", env!("CARGO_PKG_VERSION")));
        pages.counted("server_info", "answered", 1.0).await;
        let metrics = pages.world.relay.metrics().await;
        assert_eq!(metrics.value(OPEN), 1.0);
        pages.stop().await;
    });
}

#[test]
fn pages_show_each_replica_of_an_agent_while_it_is_connected() {
    scenario(async {
        let pages = Pages::new().await;
        let kas = &pages.kas;
        pages.until_connected(1.0).await;
        let [first] = &kas.agent(1).await.unwrap()[..] else {
            panic!("one replica is connected");
        };
        assert_eq!((first.agent_id, first.project_id), (1, 150));
        assert!(first.connected_at.is_some() && first.connection_id > 0);
        let meta = first.agent_meta.as_ref().unwrap();
        assert_eq!(meta.version, format!("v{}", env!("CARGO_PKG_VERSION")));
        assert!(!meta.pod_name.is_empty());

        let second = pages.agent("prod", &pages.world.kube).await;
        pages.until_connected(2.0).await;
        let both = kas.agent(1).await.unwrap();
        assert_eq!(ids(&both), [1, 1]);
        assert_ne!(both[0].connection_id, both[1].connection_id);
        assert!(both.contains(first), "a connection is the same each time");
        assert_eq!(ids(&kas.agents(&[1, 1, 2, 77]).await.unwrap()), [1, 1]);
        assert_eq!(ids(&kas.agentks(&[1]).await.unwrap()), [1, 1]);
        assert_eq!(ids(&kas.agents_of_project(150).await.unwrap()), [1, 1]);

        let staging = pages.agent("staging", &pages.world.kube).await;
        pages.until_connected(3.0).await;
        assert_eq!(ids(&kas.agents(&[2, 1]).await.unwrap()), [1, 1, 2]);
        assert_eq!(ids(&kas.agents_of_project(150).await.unwrap()), [1, 1, 2]);
        for other in [151, 999, 0] {
            assert_eq!(kas.agents_of_project(other).await.unwrap(), []);
        }
        second.stop().await;
        pages.until_connected(2.0).await;
        assert_eq!(kas.agent(1).await.unwrap(), std::slice::from_ref(first));
        assert_eq!(kas.agents(&[]).await.unwrap(), []);
        pages.counted("agents", "answered", 12.0).await;
        staging.stop().await;
        pages.stop().await;
    });
}

#[test]
fn pages_show_an_agent_with_gitlabs_token() {
    scenario(async {
        let pages = Pages::new().await;
        let (project, token) = {
            let mut world = pages.gitlab.world();
            let project = world.project("group/shop");
            let id = world.number(5).agent("group/shop", "testing");
            (project, world.agent_token(id).unwrap())
        };
        assert_eq!(pages.kas.agents(&[5]).await.unwrap(), []);
        let agent = agent("testing").showing(&token, &pages.world.relay);
        let agent = agent.serving(&pages.world.kube).start().await;
        pages.until_connected(2.0).await;
        let [one] = &pages.kas.agents(&[5]).await.unwrap()[..] else {
            panic!("it is connected");
        };
        assert_eq!(one.project_id, project.cast_signed());
        let of_project = pages.kas.agents_of_project(project).await.unwrap();
        assert_eq!(of_project, std::slice::from_ref(one));
        agent.stop().await;
        pages.stop().await;
    });
}

#[test]
fn agent_of_the_relays_own_is_not_taken_for_gitlabs_of_that_id() {
    scenario(async {
        let pages = Pages::new().await;
        let foreign = pages.agent("foreign", &pages.world.kube).await;
        pages.until_connected(2.0).await;
        assert_eq!(pages.kas.agent(3).await.unwrap(), []);
        assert_eq!(pages.kas.agents_of_project(999).await.unwrap(), []);
        assert_eq!(ids(&pages.kas.agents(&[1, 3]).await.unwrap()), [1]);
        foreign.stop().await;
        pages.stop().await;
    });
}

#[test]
fn nobody_but_gitlab_is_answered() {
    scenario(async {
        let pages = Pages::new().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seconds = |offset: i64| json!(now.as_secs().saturating_add_signed(offset));
        let kas = || pages.kas.clone();
        let claims = |name: &str, value: Value| kas().claiming(name, value);
        let cases = [
            (kas().signing_with([7; 32]), "another secret"),
            (claims("aud", json!("gitlab")), "audience"),
            (claims("aud", Value::Null), "audience"),
            (claims("exp", seconds(-30)), "over"),
            (claims("exp", Value::Null), "until when"),
            (claims("nbf", seconds(30)), "not begun"),
            (kas().unsigned(), "no JWT"),
            (kas().showing(Some("bearer canary-of-a-stranger")), "no JWT"),
            (kas().showing(Some("canary-of-a-stranger")), "no proof"),
            (kas().showing(None), "no proof"),
        ];
        let count = cases.len() as f64;
        for (stranger, words) in cases {
            let refused = |answer| is_refused(answer, Code::Unauthenticated, words);
            refused(stranger.agents(&[1]).await.map(drop));
            refused(stranger.server_info().await.map(drop));
            refused(stranger.pushed(150, "group/sub/app").await);
        }
        for call in ["agents", "server_info", "push"] {
            pages.counted(call, "unauthenticated", count).await;
        }
        assert!(logs().contains("a call that is not GitLab's was refused"));
        assert!(!logs().contains("canary-of-a-stranger"), "{}", logs());
        assert!(!logs().contains("eyJ"), "{}", logs());
        // The same connection is good enough for GitLab itself.
        pages.until_connected(1.0).await;
        assert_eq!(ids(&pages.kas.agents(&[1]).await.unwrap()), [1]);
        pages.stop().await;
    });
}

#[test]
fn call_that_lacks_a_field_is_told_which() {
    scenario(async {
        let pages = Pages::new().await;
        let kas = &pages.kas;
        let invalid = |answer: Result<(), Status>, words: &str| {
            is_refused(answer, Code::InvalidArgument, words);
        };
        invalid(kas.connected(None).await.map(drop), "project_id");
        invalid(kas.tell(None).await, "event");
        let project = |project| Some(GitPushEvent { project });
        invalid(kas.tell(project(None)).await, "event.project");
        let named = |id, path: &str| {
            let full_path = path.to_owned();
            project(Some(Project { id, full_path }))
        };
        invalid(kas.tell(named(0, "group/app")).await, "event.project.id");
        invalid(kas.tell(named(-1, "group/app")).await, "event.project.id");
        invalid(kas.tell(named(1, "")).await, "event.project.full_path");
        pages.counted("agents", "invalid_argument", 1.0).await;
        pages.counted("push", "invalid_argument", 5.0).await;
        // No agent has such an id; that is no mistake of GitLab's.
        let nobody = kas.connected(Some(Of::AgentId(-1))).await.unwrap();
        assert_eq!(nobody, []);
        pages.stop().await;
    });
}

#[test]
fn pages_are_told_whose_files_there_are() {
    scenario(async {
        let pages = Pages::new().await;
        {
            let world = pages.gitlab.world();
            let file = |path| (path, Some("ci_access: {}\n"));
            let files = [
                ".gitlab/agents/prod/config.yaml",
                ".gitlab/agents/unregistered/config.yaml",
                ".gitlab/agents/misspelt/config.yml",
                "README.md",
            ];
            world.repository(150).commit_to("main", &files.map(file));
        }
        for branch in ["main", ""] {
            let repository = pages.gitlab.repository_info(150);
            let found = pages.kas.config_files(repository, branch).await.unwrap();
            let mut found: Vec<_> = found.iter().map(|file| &*file.name).collect();
            found.sort_unstable();
            let expected = [
                ".gitlab/agents/prod/config.yaml",
                ".gitlab/agents/unregistered/config.yaml",
            ];
            assert_eq!(found, expected, "{branch:?}");
        }
        pages.gitlab.gitaly().fail(Some(Status::internal("broken")));
        let repository = pages.gitlab.repository_info(150);
        let answer = pages.kas.config_files(repository, "main").await;
        is_refused(answer, Code::Unavailable, "broken");
        pages.counted("config_files", "answered", 2.0).await;
        pages.counted("config_files", "failed", 1.0).await;
        pages.stop().await;
    });
}

#[test]
fn call_that_the_relay_does_not_have_is_told_so() {
    scenario(async {
        let pages = Pages::new().await;
        let wire = pages.kas.wire().clone();
        let origin = wire.origin();
        let mut other = CommitServiceClient::with_origin(wire, origin);
        let request = pages.kas.signed(GetTreeEntriesRequest::default());
        let answer = other.get_tree_entries(request).await;
        is_refused(answer.map(drop), Code::Unimplemented, "no such call");
        pages.counted("other", "unimplemented", 1.0).await;
        drop(other);
        pages.stop().await;
    });
}

#[test]
fn port_has_tls_a_bound_and_a_secret_of_its_own() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pki::shared().write_server(folder.path());
        let secret = folder.path().join("secret");
        let other = gitlab().start().await;
        std::fs::copy(other.secret_file(), &secret).unwrap();
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let relay = relay()
            .asking(&gitlab, "recheck: 30s")
            .with("gitlab_api", "address", "127.0.0.1:0")
            .with("gitlab_api", "certificate", certificate.display())
            .with("gitlab_api", "key", key.display())
            .with("gitlab_api", "secret_file", secret.display())
            .with("gitlab_api", "connections", 1);
        let world = World::of(kube(), relay).await;
        let address = world.relay.gitlab_api();
        let tls = TlsConnector::from(pki::shared().client(&[pki::HTTP2]));
        let socket = TcpStream::connect(address).await.unwrap();
        let io = tls.connect(pki::localhost(), socket).await.unwrap();
        let wire = Grpc::over(io).await;
        let kas = other.kas_over(wire.clone());
        let is_there = |open: f64| open == 1.0;
        world
            .relay
            .until_metric("adit_relay_tunnels_open", is_there)
            .await;
        assert_eq!(ids(&kas.agents(&[1]).await.unwrap()), [1]);
        let stranger = gitlab.kas_over(wire);
        is_refused(
            stranger.agents(&[1]).await,
            Code::Unauthenticated,
            "another secret",
        );

        let second = TcpStream::connect(address).await.unwrap();
        assert!(tls.connect(pki::localhost(), second).await.is_err());
        let metrics = world.relay.metrics().await;
        let refused = "adit_relay_connections_refused_total{reason=\"gitlab_api\"}";
        assert_eq!(metrics.value(refused), 1.0);
        let ends = "adit_tls_certificate_expiry_timestamp_seconds{port=\"gitlab_api\"}";
        assert!(metrics.value(ends) > 0.0);
        drop((kas, stranger));
        world.relay.until_metric(OPEN, |open| open == 0.0).await;
        let third = TcpStream::connect(address).await.unwrap();
        // It has the place before it has said a word.
        world.relay.until_metric(OPEN, is_there).await;
        tls.connect(pki::localhost(), third).await.unwrap();
        world.stop().await;
    });
}
