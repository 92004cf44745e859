use adit_exchange::{Ask, ask};
use adit_identity::ActAs;
use adit_tunnel::Terms;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::*;
use crate::Agent;
use crate::fake::{ApiServer, Relay, TOKEN, Terms as Speaks, checked, full, soon};

async fn get(tunnel: &Tunnel) -> Response<Bytes> {
    let how = Ask {
        target: "/api",
        act_as: &ActAs::Agent,
        request_id: "1",
        upgrade: None,
        limits: Default::default(),
    };
    let request = Request::new(Empty::<Bytes>::new());
    let answer = soon(ask(tunnel, request, how, Terms::default()))
        .await
        .unwrap();
    let (parts, body) = answer.into_parts();
    Response::from_parts(parts, soon(body.collect()).await.unwrap().to_bytes())
}

async fn api_server() -> ApiServer {
    ApiServer::start(Speaks::default(), |request| async move {
        match request.uri().path() {
            "/version" => full(r#"{"gitVersion":"v1.37.0"}"#),
            _ => full("answer"),
        }
    })
    .await
}

/// It answers as many requests as the gate lets through.
async fn gated_api_server() -> (ApiServer, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = ApiServer::start(Speaks::default(), move |request| {
        let gate = Arc::clone(&held);
        async move {
            if request.uri().path() == "/api" {
                gate.acquire().await.unwrap().forget();
            }
            full("answer")
        }
    })
    .await;
    (server, gate)
}

/// An agent of this relay, in front of this API server.
async fn started(relay: &Relay, server: &ApiServer) -> Agent {
    let raw = relay.agent(server.kubeconfig());
    Agent::start(checked(raw)).await.unwrap()
}

/// A request to the admin listener, and the whole answer.
async fn admin(agent: &Agent, path: &str) -> String {
    let mut tcp = tokio::net::TcpStream::connect(agent.admin_addr())
        .await
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(tcp.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn agent_connects_says_who_it_is_and_serves() {
    let (server, mut relay) = (api_server().await, Relay::start().await);
    let mut raw = relay.agent(server.kubeconfig());
    raw.replica = Some("replica-1".into());
    let agent = Agent::start(checked(raw)).await.unwrap();
    let tunnel = relay.tunnel().await;
    soon(agent.connected()).await;
    let peer = tunnel.peer();
    assert_eq!(
        (peer.replica.as_str(), peer.kubernetes_version.as_str()),
        ("replica-1", "v1.37.0")
    );
    assert_eq!(get(&tunnel).await.body(), "answer");
    assert!(admin(&agent, "/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = admin(&agent, "/metrics").await;
    for line in [
        "adit_agent_tunnels 1",
        "adit_agent_connects_total{outcome=\"connected\",transport=\"http2\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    soon(agent.abort()).await;
}

#[tokio::test]
async fn lost_tunnel_is_replaced() {
    let (server, mut relay) = (api_server().await, Relay::start().await);
    let agent = started(&relay, &server).await;
    for _ in 0..3 {
        let tunnel = relay.tunnel().await;
        assert_eq!(get(&tunnel).await.body(), "answer");
        tunnel.close(CloseReason::Stopping, "test");
    }
    relay.tunnel().await;
    soon(agent.abort()).await;
}

#[tokio::test]
async fn relay_that_drains_is_left_once_the_next_tunnel_is_up() {
    let (server, gate) = gated_api_server().await;
    let mut relay = Relay::start().await;
    let agent = started(&relay, &server).await;
    let old = relay.tunnel().await;
    let drained = async {
        while old.stats().streams == 0 {
            tokio::task::yield_now().await;
        }
        old.drain("rollout");
        let new = relay.tunnel().await;
        assert!(!old.is_closed(), "a request still runs on it");
        gate.add_permits(2);
        assert_eq!(get(&new).await.body(), "answer");
        new
    };
    let (answer, _new) = soon(async { tokio::join!(get(&old), drained) }).await;
    assert_eq!(
        answer.body(),
        "answer",
        "what ran while draining is answered"
    );
    let why = soon(old.closed()).await;
    assert!(why.to_string().contains("Done"), "{why}");
    soon(agent.abort()).await;
}

#[tokio::test]
async fn agent_that_is_stopped_lets_its_requests_end() {
    let (server, gate) = gated_api_server().await;
    let mut relay = Relay::start().await;
    let agent = started(&relay, &server).await;
    let tunnel = relay.tunnel().await;
    soon(agent.connected()).await;
    let stopping = async {
        while tunnel.stats().streams == 0 {
            tokio::task::yield_now().await;
        }
        let asked_to_drain = async {
            tunnel.draining().await;
            gate.add_permits(1);
        };
        tokio::join!(agent.drain(Duration::from_secs(60)), asked_to_drain);
    };
    let (answer, ()) = soon(async { tokio::join!(get(&tunnel), stopping) }).await;
    assert_eq!(answer.body(), "answer");
    assert!(tunnel.is_closed());
}

#[tokio::test]
async fn refused_token_is_tried_again_and_read_anew() {
    let (server, mut relay) = (api_server().await, Relay::start().await);
    let file = server.dir.path().join("agent-token");
    std::fs::write(&file, "wrong-token").unwrap();
    let mut raw = relay.agent(server.kubeconfig());
    raw.token = None;
    raw.relay.token_file = Some(file.clone());
    let agent = Agent::start(checked(raw)).await.unwrap();
    relay.refused().await;
    let ready = admin(&agent, "/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("tunnel"),
        "{ready}"
    );
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    relay.tunnel().await;
    let metrics = admin(&agent, "/metrics").await;
    assert!(
        metrics
            .contains("adit_agent_connects_total{outcome=\"unauthenticated\",transport=\"http2\"}"),
        "{metrics}"
    );
    soon(agent.abort()).await;
}

#[tokio::test]
async fn api_server_that_is_away_does_not_keep_the_agent_from_connecting() {
    let (server, mut relay) = (api_server().await, Relay::start().await);
    let config = checked(relay.agent(server.kubeconfig()));
    let dir = server.dir.path().to_owned();
    let agent = Agent::start(config).await.unwrap();
    drop(server);
    let tunnel = relay.tunnel().await;
    assert!(!tunnel.is_closed(), "{}", dir.display());
    soon(agent.abort()).await;
}

/// Waits until an attempt to connect went otherwise than `before`, and says how.
async fn attempted(agent: &Agent, before: &str) -> String {
    soon(async {
        loop {
            let metrics = admin(agent, "/metrics").await;
            let outcomes = metrics.lines().filter_map(|line| {
                let labelled = line.strip_prefix("adit_agent_connects_total{outcome=\"")?;
                let (outcome, count) = labelled.split_once("\",transport=\"http2\"} ")?;
                (count != "0").then_some(outcome)
            });
            if let Some(outcome) = outcomes.into_iter().find(|outcome| *outcome != before) {
                return outcome.to_owned();
            }
        }
    })
    .await
}

/// Waits until the CAs of the relay were looked at with this outcome.
async fn reloaded(agent: &Agent, outcome: &str) {
    let none = format!("adit_agent_server_ca_reloads_total{{outcome=\"{outcome}\"}} 0\n");
    soon(async { while admin(agent, "/metrics").await.contains(&none) {} }).await;
}

#[tokio::test]
async fn authority_of_the_relay_is_read_anew() {
    let (server, other) = (api_server().await, api_server().await);
    let file = server.dir.path().join("relay-ca.pem");
    std::fs::copy(other.dir.path().join("ca.pem"), &file).unwrap();
    let mut raw = Relay::start().await.agent(server.kubeconfig());
    // Something that has HTTP/2 and a certificate, but is no relay: that fails only after TLS.
    raw.relay.url = Some(format!("https://{}", server.addr));
    raw.relay.proxy = Some("none".into());
    raw.relay.ca_file = Some(file.clone());
    let agent = Agent::start(checked(raw)).await.unwrap();
    assert_eq!(attempted(&agent, "").await, "tls");
    std::fs::write(&file, "neither one nor the other").unwrap();
    reloaded(&agent, "failed").await;
    std::fs::copy(server.dir.path().join("ca.pem"), &file).unwrap();
    assert_eq!(attempted(&agent, "tls").await, "session");
    reloaded(&agent, "replaced").await;
    soon(agent.abort()).await;
}
