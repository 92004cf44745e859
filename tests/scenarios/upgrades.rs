//! exec, attach, cp and port-forward: after the API server's 101, and only then, two byte streams that end separately.

use std::{sync::Arc, time::Duration};

use adit_tests::{
    Caller, CallerIo, Io, Raw, World, kube, pattern, raw::field, relay, scenario, until, within,
    world,
};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::Notify,
    time::Instant,
};

mod refused;

pub(crate) const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n";
pub(crate) const WEBSOCKET: &str = "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";

/// Asks for an upgrade and reads the 101.
pub(crate) async fn upgrade(caller: &Caller, fields: &str) -> (Raw<CallerIo>, String) {
    let mut connection = caller.raw_asking("POST /upgrade", fields).await;
    let head = within("101", connection.head()).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (connection, head)
}

#[test]
fn both_protocols_pass_with_their_headers() {
    scenario(async {
        let world = world().await;
        for (fields, protocol) in [(SPDY, "SPDY/3.1"), (WEBSOCKET, "websocket")] {
            let (mut connection, head) = upgrade(&world.job, fields).await;
            assert_eq!(field(&head, "upgrade"), Some(protocol));
            assert!(
                field(&head, "connection")
                    .unwrap()
                    .eq_ignore_ascii_case("upgrade")
            );
            assert_eq!(
                field(&head, "x-stream-protocol-version"),
                Some("v4.channel.k8s.io")
            );
            let came = world.kube.last();
            assert_eq!(came.value("upgrade").unwrap(), protocol);
            if protocol == "websocket" {
                assert_eq!(
                    came.value("sec-websocket-key").unwrap(),
                    "dGhlIHNhbXBsZSBub25jZQ=="
                );
                assert_eq!(
                    came.value("sec-websocket-protocol").unwrap(),
                    "v5.channel.k8s.io"
                );
            } else {
                assert_eq!(
                    came.values("x-stream-protocol-version"),
                    ["v4.channel.k8s.io", "v3.channel.k8s.io"]
                );
            }
            for word in ["first", "second"] {
                connection.write(word).await.unwrap();
                assert_eq!(
                    within("it back", connection.exactly(word.len()))
                        .await
                        .unwrap(),
                    word.as_bytes()
                );
            }
            drop(connection);
            world.kube.until_open(0).await;
        }
        world.stop().await;
    });
}

#[test]
fn upgraded_request_carries_no_body_and_our_identity() {
    scenario(async {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let script = move |mut connection: Raw<Io>| {
            let seen = Arc::clone(&seen);
            async move {
                if let Some(head) = connection.head().await {
                    seen.lock().push(head);
                    let _ = connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n").await;
                    let _ = connection.rest().await;
                }
            }
        };
        let world = World::of(kube().raw(script), relay()).await;
        let (connection, _) = upgrade(&world.job, &format!("{SPDY}Content-Length: 0\r\n")).await;
        let head = heads.lock()[0].clone();
        // Container runtimes read chunks as the first bytes of the protocol. A length of 0 is what kubectl sends.
        assert_eq!(
            (
                field(&head, "content-length"),
                field(&head, "transfer-encoding")
            ),
            (Some("0"), None)
        );
        assert_eq!(field(&head, "impersonate-user"), Some("gitlab:ci_job:9001"));
        assert_eq!(
            field(&head, "authorization"),
            Some("Bearer canary-service-account-token")
        );
        assert!(
            field(&head, "connection")
                .unwrap()
                .eq_ignore_ascii_case("upgrade")
        );
        drop(connection);
        world.stop().await;
    });
}

#[test]
fn client_may_end_its_half_first() {
    scenario(async {
        let world = world().await;
        for fields in [SPDY, WEBSOCKET] {
            let (mut connection, _) = upgrade(&world.job, fields).await;
            connection.write("the end").await.unwrap();
            connection.shut().await.unwrap();
            let (rest, end) = within("the rest", connection.rest()).await;
            assert_eq!(String::from_utf8(rest).unwrap(), "the endbye");
            end.unwrap();
            assert_eq!(world.kube.broken_off(), 0);
        }
        world.stop().await;
    });
}

#[test]
fn api_server_may_end_its_half_first() {
    scenario(async {
        let got = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&got);
        let script = move |mut connection: Raw<Io>| {
            let into = Arc::clone(&into);
            async move {
                connection.head().await;
                let _ = connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nlast words").await;
                let _ = connection.shut().await;
                let (rest, _) = connection.rest().await;
                *into.lock() = rest;
            }
        };
        let world = World::of(kube().raw(script), relay()).await;
        let (mut connection, _) = upgrade(&world.job, SPDY).await;
        let (words, end) = within("its end", connection.rest()).await;
        assert_eq!(words, b"last words");
        end.unwrap();
        connection.write("still here").await.unwrap();
        connection.shut().await.unwrap();
        until("the API server has it", || *got.lock() == b"still here").await;
        world.stop().await;
    });
}

/// Sends this much of the pattern, and then the end.
async fn send_pattern(write: &mut WriteHalf<CallerIo>, size: u64) {
    let mut sent = 0;
    while sent < size {
        let piece = pattern::piece(sent, (size - sent).min(60_000) as usize);
        write.write_all(&piece).await.unwrap();
        sent += piece.len() as u64;
    }
    write.shutdown().await.unwrap();
}

/// Reads it back, and the API server's last words.
async fn receive_pattern(read: &mut ReadHalf<CallerIo>, size: u64) {
    let mut check = pattern::Check::default();
    let mut bytes = vec![0; 64 << 10];
    while check.seen < size {
        let most = bytes.len().min((size - check.seen) as usize);
        let len = read.read(&mut bytes[..most]).await.unwrap();
        assert_ne!(len, 0);
        check.take(&bytes[..len]);
    }
    let mut rest = Vec::new();
    read.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");
}

#[test]
fn much_passes_both_ways_at_once() {
    const SIZE: u64 = 8 << 20;
    scenario(async {
        let world = world().await;
        let (connection, _) = upgrade(&world.job, SPDY).await;
        let (mut read, mut write) = tokio::io::split(connection.io);
        within("all", async {
            tokio::join!(
                send_pattern(&mut write, SIZE),
                receive_pattern(&mut read, SIZE)
            )
        })
        .await;
        world.stop().await;
    });
}

/// An API server that says 101 when it is told to, and until then looks at what came.
fn hesitant(go: &Arc<Notify>, early: &Arc<Mutex<Option<Vec<u8>>>>) -> adit_tests::KubeBuilder {
    let (go, early) = (Arc::clone(go), Arc::clone(early));
    kube().raw(move |mut connection: Raw<Io>| {
        let (go, early) = (Arc::clone(&go), Arc::clone(&early));
        async move {
            connection.head().await;
            *early.lock() = Some(Vec::new());
            go.notified().await;
            *early.lock() = Some(connection.now().await);
            let _ = connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n").await;
            let (rest, _) = connection.rest().await;
            let _ = connection.write(rest).await;
            let _ = connection.shut().await;
        }
    })
}

#[test]
fn no_byte_passes_before_the_api_server_says_101() {
    scenario(async {
        let (go, early) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
        let world = World::of(hesitant(&go, &early), relay()).await;
        let mut connection = world.job.raw().await;
        connection
            .write(world.job.head("POST /exec", SPDY) + "too early")
            .await
            .unwrap();
        until("the API server has the head", || early.lock().is_some()).await;
        // Other requests pass meanwhile, so time enough has gone by for these bytes to have passed, too.
        for _ in 0..5 {
            world.job.get("/api").await.echo();
        }
        go.notify_one();
        let head = within("101", connection.head()).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(early.lock().as_deref(), Some(&b""[..]));
        connection.shut().await.unwrap();
        let (rest, end) = within("the rest", connection.rest()).await;
        assert_eq!(
            rest, b"too early",
            "what was sent early belongs to the upgraded connection"
        );
        end.unwrap();
        world.stop().await;
    });
}

#[test]
fn client_that_leaves_ends_the_upgraded_connection() {
    scenario(async {
        let world = world().await;
        let (mut connection, _) = upgrade(&world.job, SPDY).await;
        connection.write("x").await.unwrap();
        connection.exactly(1).await.unwrap();
        drop(connection);
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn api_server_that_dies_does_not_look_like_an_end() {
    scenario(async {
        let mut world = world().await;
        let (mut connection, _) = upgrade(&world.job, SPDY).await;
        connection.write("x").await.unwrap();
        connection.exactly(1).await.unwrap();
        world.kube.kill().await;
        let (_, end) = within("the end", connection.rest()).await;
        assert!(
            end.is_err(),
            "a session that was cut looks finished, and exec would exit 0"
        );
        world.stop().await;
    });
}

#[test]
fn session_that_is_not_read_harms_nobody_and_loses_nothing() {
    const SIZE: u64 = 24 << 20;
    scenario(async {
        let world = world().await;
        let (connection, _) = upgrade(&world.job, SPDY).await;
        let (mut read, mut write) = tokio::io::split(connection.io);
        // The API server sends back what comes; nobody takes it at first.
        let reading = async {
            for _ in 0..12 {
                let began = Instant::now();
                world.relay.job(9002).get("/api").await.echo();
                assert!(
                    began.elapsed() < Duration::from_secs(1),
                    "{:?}",
                    began.elapsed()
                );
            }
            receive_pattern(&mut read, SIZE).await;
        };
        tokio::join!(send_pattern(&mut write, SIZE), reading);
        world.stop().await;
    });
}

#[test]
fn many_upgraded_connections_run_at_once() {
    scenario(async {
        let world = world().await;
        let sessions = (0..60).map(async |at: u32| {
            let (mut connection, _) = upgrade(
                &world.job,
                if at.is_multiple_of(2) {
                    SPDY
                } else {
                    WEBSOCKET
                },
            )
            .await;
            let word = format!("session {at}");
            connection.write(&word).await.unwrap();
            assert_eq!(
                within("it back", connection.exactly(word.len()))
                    .await
                    .unwrap(),
                word.as_bytes()
            );
            connection
        });
        let sessions = join_all(sessions).await;
        assert_eq!(world.kube.open(), 60);
        world
            .relay
            .until_metric("adit_relay_upgraded_open", |open| open == 60.0)
            .await;
        drop(sessions);
        world.kube.until_open(0).await;
        world
            .relay
            .until_metric("adit_relay_upgraded_open", |open| open == 0.0)
            .await;
        world.stop().await;
    });
}
