//! Limits are counted and told: with 429 or 503 and when to come back, never with silence.

use std::net::SocketAddr;

use adit_tests::{
    AgentBuilder, Answer, World, agent, body,
    caller::{get, request},
    job, kube, relay, scenario, until, within, world,
};
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tokio::net::TcpStream;

pub(crate) mod crowds;
mod unread;

#[test]
fn job_has_so_many_requests_at_once() {
    scenario(async {
        let world = World::of(kube(), relay().with("limits", "streams_per_job", 3)).await;
        let http2 = world.job.http2().await;
        let watches = join_all((0..3).map(|_| http2.send(get("/watch")))).await;
        // Counted by job, not by connection.
        assert_eq!(
            world.job.get("/api").await.refused().told(),
            (429, "job_streams", "client", Some(1))
        );
        world.relay.job(9002).get("/api").await.echo();
        drop(watches);
        world.kube.until_open(0).await;
        http2.get("/api").await.echo();
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn job_begins_so_many_requests_a_second() {
    scenario(async {
        let world = World::of(kube(), relay().with("limits", "opens_per_second", 5)).await;
        let http2 = world.job.http2().await;
        let answers = join_all((0..30).map(|_| http2.get("/api"))).await;
        let refused: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status != StatusCode::OK)
            .map(Answer::refused)
            .collect();
        assert!(
            (15..30).contains(&refused.len()),
            "{} of 30 refused",
            refused.len()
        );
        assert!(
            refused
                .iter()
                .all(|refused| refused.told() == (429, "job_rate", "client", Some(1)))
        );
        world.relay.job(9002).get("/api").await.echo();
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn tunnel_takes_so_many_requests_at_once() {
    scenario(async {
        let world = World::of(kube(), relay().with("limits", "streams_per_tunnel", 2)).await;
        is_full_with_two(&world).await;
        world.stop().await;
    });
}

/// Two requests fill the tunnel, whoever asks; a place that becomes free is taken.
async fn is_full_with_two(world: &World) {
    let http2 = world.job.http2().await;
    let watches = join_all((0..2).map(|_| http2.send(get("/watch")))).await;
    assert_eq!(
        world.relay.job(9002).get("/api").await.refused().told(),
        (503, "tunnel_full", "agent", Some(1))
    );
    drop(watches);
    world.kube.until_open(0).await;
    http2.get("/api").await.echo();
}

#[test]
fn agent_takes_so_many_requests_at_once() {
    scenario(async {
        let takes_two = |agent: AgentBuilder| agent.with("limits", "max_streams", 2);
        let world = World::with(kube(), relay(), takes_two).await;
        is_full_with_two(&world).await;
        world.stop().await;
    });
}

#[test]
fn agent_has_so_many_tunnels() {
    scenario(async {
        let kube = kube().start().await;
        let relay = relay().with("limits", "tunnels_per_agent", 2).start().await;
        let mut agents = Vec::new();
        for _ in 0..2 {
            agents.push(agent("prod").to(&relay).serving(&kube).start().await);
        }
        agents.push(agent("prod").to(&relay).serving(&kube).start_anyway().await);
        relay
            .until_metric(
                "adit_relay_tunnels_refused_total{reason=\"too_many\"}",
                |count| count >= 1.0,
            )
            .await;
        // Another agent is not concerned, and a place that becomes free is taken.
        let other = agent("staging").to(&relay).serving(&kube).start().await;
        agents.remove(0).stop().await;
        within("the third one's tunnel", agents[1].connected()).await;
        relay.caller(&job(9001), "staging").get("/api").await.echo();
        relay.stop().await;
        for agent in agents.into_iter().chain([other]) {
            agent.stop().await;
        }
        kube.stop().await;
    });
}

#[test]
fn relay_takes_so_many_connections() {
    for (limit, reason, other) in [
        ("connections", "relay", "address"),
        ("connections_per_address", "address", "relay"),
    ] {
        scenario(async move {
            let world = World::of(kube(), relay().with("limits", limit, 4)).await;
            let mut held = Vec::new();
            // The agent has the first place.
            for _ in 0..3 {
                let mut http1 = world.job.http1().await;
                http1.get("/api").await.echo();
                held.push(http1);
            }
            assert!(world.job.try_tls(adit_tests::pki::HTTP2).await.is_err());
            held[0].get("/api").await.echo();
            held.pop();
            world
                .relay
                .until_metric("adit_relay_connections_open{protocol=\"http1\"}", |open| {
                    open == 2.0
                })
                .await;
            world.job.get("/api").await.echo();
            let metrics = world.relay.metrics().await;
            let refused = |reason| {
                let refused = "adit_relay_connections_refused_total";
                metrics.value(&format!("{refused}{{reason=\"{reason}\"}}"))
            };
            assert!(refused(reason) >= 1.0, "{}", metrics.0);
            assert_eq!(refused(other), 0.0, "{}", metrics.0);
            drop(held);
            world.stop().await;
        });
    }
}

#[test]
fn connections_that_say_nothing_are_counted_while_they_hold_a_place() {
    scenario(async {
        let world = World::of(kube(), relay().with("limits", "connections", 4)).await;
        let mute = async |_| TcpStream::connect(world.relay.address()).await.unwrap();
        // The agent has the first place.
        let mute = join_all((0..3).map(mute)).await;
        let handshake = "adit_relay_connections_open{protocol=\"handshake\"}";
        let relay = &world.relay;
        relay.until_metric(handshake, |open| open == 3.0).await;
        assert!(world.job.try_tls(adit_tests::pki::HTTP2).await.is_err());
        let metrics = relay.metrics().await;
        let limit = metrics.value("adit_relay_connections_limit");
        assert_eq!(metrics.sum("adit_relay_connections_open"), limit);
        drop(mute);
        relay.until_metric(handshake, |open| open == 0.0).await;
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn head_has_so_many_fields_and_bytes() {
    scenario(async {
        let world = World::of(
            kube(),
            relay()
                .with("limits", "head_size", "16KiB")
                .with("limits", "head_fields", 50),
        )
        .await;
        let mut many = get("/api");
        for at in 0..60 {
            let name = HeaderName::try_from(format!("x-{at}")).unwrap();
            many.headers_mut()
                .insert(name, HeaderValue::from_static("x"));
        }
        let mut large = get("/api");
        large.headers_mut().insert(
            "x-large",
            HeaderValue::try_from("x".repeat(20 << 10)).unwrap(),
        );
        for request in [&many, &large] {
            let copy = || {
                let mut copy = get("/api");
                *copy.headers_mut() = request.headers().clone();
                copy
            };
            let mut http1 = world.job.http1().await;
            let answer = within("an answer", http1.send(copy())).await;
            assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
            let http2 = world.job.http2().await;
            let answer = within("an answer", http2.send(copy())).await;
            assert!(
                answer.is_err()
                    || answer.is_ok_and(|answer| matches!(answer.status().as_u16(), 400 | 431))
            );
        }
        assert_eq!(world.kube.request_count(), 1);
        let too_large = "adit_relay_heads_refused_total{reason=\"too_large\"}";
        world
            .relay
            .until_metric(too_large, |heads| heads >= 1.0)
            .await;
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn body_has_no_limit_of_ours() {
    scenario(async {
        let world = world().await;
        let answer = world
            .job
            .http2()
            .await
            .answer(request(Method::PUT, "/sink", body::pattern(5_000_000)))
            .await;
        assert_eq!(answer.json()["bytes"], 5_000_000);
        world.stop().await;
    });
}

/// Hundredths of a second until the system asks a connection's peer whether it is there, if it is going to: proc(5), `/proc/net/tcp`.
fn asks_in(relay: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let end = |address: SocketAddr| format!(":{:04X}", address.port());
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (kind, when) = fields.get(5)?.split_once(':')?;
        let is_it = fields[1].ends_with(&end(relay)) && fields[2].ends_with(&end(peer));
        (is_it && kind == "02").then(|| u64::from_str_radix(when, 16).unwrap())
    })
}

#[test]
fn silent_peer_is_asked_after_as_long_as_is_configured() {
    for (keepalive, least, most) in [(None, 1000, 6000), (Some("7s"), 1, 700)] {
        scenario(async move {
            let relay = match keepalive {
                Some(time) => relay().with("listen", "keepalive", time),
                None => relay(),
            };
            let relay = relay.start().await;
            let socket = TcpStream::connect(relay.address()).await.unwrap();
            let own = socket.local_addr().unwrap();
            until("the relay has the connection", || {
                asks_in(relay.address(), own).is_some()
            })
            .await;
            let asks = asks_in(relay.address(), own).unwrap();
            assert!((least..=most).contains(&asks), "in {asks} hundredths");
            drop(socket);
            relay.stop().await;
        });
    }
}
