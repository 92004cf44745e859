//! Tunnels inside WebSockets: they carry what any tunnel does, stop and fail as any does.

use std::time::Duration;

use adit_tests::{
    Direction, Line, World, agent, body,
    caller::{get, next_piece, request},
    kube, logs, relay, scenario, within,
};
use http::{Method, StatusCode};

use crate::upgrades::{SPDY, upgrade};

/// How many WebSockets the relay has.
pub(crate) const OPEN: &str = "adit_relay_connections_open{protocol=\"websocket\"}";

/// What an agent's upgrade says of the WebSocket; the key is the standard's example.
pub(crate) const FIELDS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: adit-tunnel\r\n";

/// The usual case, but that the tunnel is in a WebSocket, below a prefix.
pub(crate) async fn inside() -> World {
    let (kube, relay) = (kube().start().await, relay().start().await);
    let url = format!("wss://{}/clusters/eu", relay.address());
    let agent = agent("prod").to(&relay).serving(&kube);
    let agent = agent.with("relay", "url", url).start().await;
    let job = relay.job(9001);
    World {
        kube,
        relay,
        agent,
        job,
    }
}

#[test]
fn tunnel_in_a_websocket_carries_what_any_does() {
    scenario(async {
        let world = inside().await;
        let http2 = world.job.http2().await;
        http2.get("/api").await.echo();
        let upload = http2.answer(request(Method::PUT, "/sink", body::pattern(3_000_000)));
        let (upload, download) = tokio::join!(upload, http2.get("/big/3000000"));
        assert_eq!(upload.status, StatusCode::OK);
        assert_eq!(download.body.len(), 3_000_000);
        let mut watch = http2.send(get("/watch")).await.unwrap();
        world.kube.event("one");
        assert_eq!(next_piece(&mut watch).await, "one\n");
        let (session, _) = upgrade(&world.job, SPDY).await;

        let (relay, agent) = (world.relay.metrics().await, world.agent.metrics().await);
        assert_eq!(relay.value(OPEN), 1.0);
        // The session's connection; the tunnel's counts as what it has become.
        let http1 = "adit_relay_connections_open{protocol=\"http1\"}";
        assert_eq!(relay.value(http1), 1.0);
        let connected = "adit_agent_connects_total{outcome=\"connected\",transport=\"websocket\"}";
        assert_eq!(agent.value(connected), 1.0);
        assert!(logs().contains("transport=\"websocket\""), "{}", logs());
        drop((watch, session, http2));
        world.stop().await;
    });
}

#[test]
fn relay_that_drains_lets_a_watch_in_a_websocket_end_well() {
    scenario(async {
        let mut world = inside().await;
        let http2 = world.job.http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        tokio::join!(world.relay.drain(Duration::from_secs(40)), async {
            world.kube.event("last");
            assert_eq!(next_piece(&mut watch).await, "last\n");
            drop(watch);
        });
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn agent_in_a_websocket_leaves_a_relay_that_drains_before_it_is_gone() {
    scenario(async {
        let kube = kube().start().await;
        let (mut old, new) = (relay().start().await, relay().start().await);
        let balancer = Line::to(old.address()).await;
        let url = format!("wss://{}", balancer.address());
        let agent = agent("prod")
            .to(&old)
            .serving(&kube)
            .with("relay", "url", url);
        let agent = agent.with("relay", "healthy_after", "1ms").start().await;
        balancer.lead_to(new.address());
        old.drain(Duration::from_secs(40)).await;
        new.until_metric(OPEN, |open| open == 1.0).await;
        new.job(9002).get("/api").await.echo();
        new.stop().await;
        agent.stop().await;
        drop(balancer);
        kube.stop().await;
    });
}

#[test]
fn silence_in_a_websocket_is_noticed_at_both_ends() {
    scenario(async {
        let (kube, relay) = (kube().start().await, relay().impatient().start().await);
        let line = Line::to(relay.address()).await;
        let url = format!("wss://{}", line.address());
        let agent = agent("prod").to(&relay).serving(&kube).impatient();
        let agent = agent.with("relay", "url", url).start().await;
        line.swallow(&[Direction::There, Direction::Back]);
        let silent = "adit_agent_tunnel_ends_total{cause=\"silent\"}";
        agent.until_metric(silent, |ends| ends == 1.0).await;
        let silent = "adit_relay_tunnel_ends_total{cause=\"silent\"}";
        relay.until_metric(silent, |ends| ends == 1.0).await;
        line.swallow(&[]);
        within("the agent's tunnel", agent.connected()).await;
        relay.job(9001).get("/api").await.echo();
        relay.stop().await;
        agent.stop().await;
        drop(line);
        kube.stop().await;
    });
}

#[test]
fn token_counts_in_a_websocket_as_elsewhere() {
    scenario(async {
        let (kube, relay) = (kube().start().await, relay().start().await);
        let url = format!("wss://{}", relay.address());
        let agent = agent("prod").showing("canary-unknown-token", &relay);
        let agent = agent.serving(&kube).with("relay", "url", url);
        let agent = agent.start_anyway().await;
        let refused =
            "adit_agent_connects_total{outcome=\"unauthenticated\",transport=\"websocket\"}";
        agent
            .until_metric(refused, |attempts| attempts >= 1.0)
            .await;
        assert_eq!(relay.metrics().await.value("adit_relay_tunnels_open"), 0.0);
        assert!(!logs().contains("canary-unknown-token"));
        relay.stop().await;
        agent.stop().await;
        kube.stop().await;
    });
}
