//! Callers that mean harm: heads that two programs read differently, bombs, floods and slowness. They are refused, and the
//! others notice nothing.

use std::time::Duration;

use adit_tests::{Caller, World, caller::Http2, kube, relay, scenario, until, within, world};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

pub(crate) mod agent;
mod bombs;
mod floods;
pub(crate) mod frames;
mod logs;
mod smuggling;
pub(crate) mod websockets;

/// Somebody who behaves, and looks whether it shows that others do not.
struct Bystander {
    http2: Http2,
    caller: Caller,
}

impl Bystander {
    async fn of(world: &World) -> Self {
        let caller = world.relay.job(9002);
        Self {
            http2: caller.http2().await,
            caller,
        }
    }

    /// On the old connection and on a new one.
    async fn is_unharmed(&self) {
        for _ in 0..3 {
            let began = Instant::now();
            self.http2.get("/api").await.echo();
            self.caller.get("/api").await.echo();
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{:?}",
                began.elapsed()
            );
        }
    }
}

/// A relay that waits for nobody.
fn impatient_relay() -> adit_tests::RelayBuilder {
    relay()
        .with("listen", "handshake_timeout", "300ms")
        .with("listen", "head_timeout", "300ms")
        .with("listen", "idle_timeout", "600ms")
}

#[test]
fn slow_head_is_hung_up_on() {
    scenario(async {
        let world = World::of(kube(), impatient_relay()).await;
        let bystander = Bystander::of(&world).await;
        let mut slow = Vec::new();
        for _ in 0..20 {
            slow.push(world.job.raw().await);
        }
        let began = Instant::now();
        let head = world.job.head("GET /api", "X-Slow: 1\r\n");
        let trickles = slow.into_iter().map(async |mut connection| {
            for byte in head.as_bytes() {
                if connection.write([*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                if began.elapsed() > Duration::from_secs(5) {
                    panic!("a head may take for ever");
                }
            }
        });
        let (_, ()) = tokio::join!(
            futures_util::future::join_all(trickles),
            bystander.is_unharmed()
        );
        assert_eq!(
            world
                .kube
                .requests()
                .iter()
                .filter(|request| request.value("x-slow").is_some())
                .count(),
            0
        );
        let slow = "adit_relay_heads_refused_total{reason=\"slow\"}";
        world.relay.until_metric(slow, |heads| heads >= 1.0).await;
        drop(bystander);
        world.stop().await;
    });
}

#[test]
fn connection_that_says_nothing_is_hung_up_on() {
    scenario(async {
        let world = World::of(kube(), impatient_relay()).await;
        let mut before_tls = TcpStream::connect(world.relay.address()).await.unwrap();
        let mut in_tls = TcpStream::connect(world.relay.address()).await.unwrap();
        in_tls.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        let (mut http1, mut http2) = (
            world.job.raw().await,
            world.job.tls(adit_tests::pki::HTTP2).await,
        );
        let mut preface = world.job.tls(adit_tests::pki::HTTP2).await;
        preface.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
        let mut bytes = Vec::new();
        within("all ends", async {
            let _ = before_tls.read_to_end(&mut bytes).await;
            let _ = in_tls.read_to_end(&mut bytes).await;
            let _ = http1.rest().await;
            let _ = http2.read_to_end(&mut bytes).await;
            let _ = preface.read_to_end(&mut bytes).await;
        })
        .await;
        world
            .relay
            .until_metric("adit_relay_connections_open{protocol=\"http1\"}", |open| {
                open == 0.0
            })
            .await;
        world
            .relay
            .until_metric("adit_relay_connections_open{protocol=\"http2\"}", |open| {
                open == 1.0
            })
            .await;
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn noise_instead_of_tls_harms_nobody() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        for noise in [
            &b"GET /k8s-proxy/api HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\xff\xff",
            &[0; 4096],
            b"\x15\x03\x03\x00\x02\x02\x28",
        ] {
            let mut socket = TcpStream::connect(world.relay.address()).await.unwrap();
            socket.write_all(noise).await.unwrap();
            let _ = socket.shutdown().await;
            let mut answer = Vec::new();
            let _ = within("the end", socket.read_to_end(&mut answer)).await;
            assert!(!answer.starts_with(b"HTTP/1.1 200"));
        }
        bystander.is_unharmed().await;
        drop(bystander);
        world.stop().await;
    });
}

#[test]
fn header_bombs_are_refused() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        let many: String = (0..5000).map(|at| format!("X-{at}: x\r\n")).collect();
        let long = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
        let credential = world.job.authorization.clone().unwrap();
        let heads = [
            world.job.head("GET /api", &many),
            world.job.head("GET /api", &long),
            world.job.head(&format!("GET /{}", "x".repeat(1 << 20)), ""),
            format!(
                "{} /k8s-proxy/api HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\n\r\n",
                "X".repeat(100_000)
            ),
        ];
        for head in heads {
            let mut connection = world.job.raw().await;
            // It may hang up before all is written.
            let _ = within("it is taken or not", connection.write(&head)).await;
            if let Some(answer) = within("an answer or the end", connection.head()).await {
                let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
                assert!(matches!(status, 400 | 405 | 414 | 431), "{answer}");
            }
        }
        assert!(
            world
                .kube
                .requests()
                .iter()
                .all(|request| request.headers.len() < 50)
        );
        bystander.is_unharmed().await;
        drop(bystander);
        world.stop().await;
    });
}

#[test]
fn clients_that_come_and_go_leave_nothing() {
    scenario(async {
        let world = world().await;
        for at in 0..300 {
            let connection = TcpStream::connect(world.relay.address()).await.unwrap();
            if at % 3 == 0 {
                let _ = connection.set_zero_linger();
            }
            if at % 10 == 0 {
                let mut connection = world.job.raw().await;
                let _ = connection.write(world.job.head("GET /never", "")).await;
            }
        }
        until("nothing is open", || world.kube.open() == 0).await;
        world
            .relay
            .until_metric("adit_relay_connections_open{protocol=\"http1\"}", |open| {
                open == 0.0
            })
            .await;
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}
