//! From where a caller comes, behind balancers and proxies: only those are believed who are trusted.

use std::net::IpAddr;

use adit_tests::{
    AuditLog, Caller, RelayBuilder, World, caller::get, kube, logs, pki, relay, scenario, within,
};
use http::HeaderValue;
use tokio::{io::AsyncReadExt, net::TcpSocket};

/// The tests' balancer; the system lets a process on this machine have any address of 127.0.0.0/8.
const BALANCER: &str = "127.0.0.2";
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
const REFUSED: &str = "adit_relay_handshakes_failed_total{reason=\"proxy_header\"}";

fn behind_balancer(log: &AuditLog) -> RelayBuilder {
    log.of(relay())
        .with("listen", "proxy_protocol_from", "[127.0.0.2, 127.0.1.0/24]")
}

async fn is_turned_away(caller: &Caller) -> bool {
    within("a handshake", caller.try_tls(pki::HTTP2))
        .await
        .is_err()
}

#[test]
fn balancer_says_who_is_behind_it() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), behind_balancer(&log)).await;
        let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        version_2.extend([192, 0, 2, 8, 192, 0, 2, 1, 0x12, 0x67, 1, 187]);
        let cases = [
            ("127.0.0.2", HEADER, "192.0.2.7:4711"),
            ("127.0.1.77", &version_2, "192.0.2.8:4711"),
            ("127.0.0.2", b"PROXY UNKNOWN\r\n", "127.0.0.2:"),
            // Whoever comes past the balancer is who its connection says.
            ("127.0.0.3", b"", "127.0.0.3:"),
        ];
        for (at, (from, preface, client)) in cases.into_iter().enumerate() {
            let caller = world.job.coming_from(from, preface);
            caller.http1().await.get("/version").await.echo();
            let records = log.until(at + 1).await;
            let told = records[at]["client"].as_str().unwrap();
            assert!(told.starts_with(client), "{told} is not {client}");
        }
        assert!(logs().contains("client.addr=192.0.2.7:4711"));
        world.stop().await;
    });
}

#[test]
fn balancer_that_says_nothing_or_nonsense_is_turned_away_and_so_is_a_stranger_who_says_something() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), behind_balancer(&log)).await;
        for preface in [
            &b""[..],
            b"PROXY TCP4 192.0.2.7\r\n",
            b"PROXY TCP9 a b 1 2\r\n",
        ] {
            assert!(
                is_turned_away(&world.job.coming_from(BALANCER, preface)).await,
                "{preface:?}"
            );
        }
        assert_eq!(world.relay.metrics().await.value(REFUSED), 3.0);
        assert!(is_turned_away(&world.job.coming_from("127.0.0.3", HEADER)).await);
        assert_eq!(world.relay.metrics().await.value(REFUSED), 3.0);
        world.stop().await;
    });
}

#[test]
fn connections_are_limited_by_the_address_behind_the_balancer() {
    scenario(async {
        let log = AuditLog::default();
        let relay = behind_balancer(&log).with("limits", "connections_per_address", 2);
        let world = World::of(kube(), relay).await;
        let one = world.job.coming_from(BALANCER, HEADER);
        let other = world
            .job
            .coming_from(BALANCER, b"PROXY TCP4 192.0.2.8 192.0.2.1 4711 443\r\n");
        let held = [one.http2().await, one.http2().await];
        assert!(is_turned_away(&one).await);
        other.get("/version").await.echo();
        other.get("/version").await.echo();
        drop(held);
        world
            .relay
            .until_metric("adit_relay_connections_open{protocol=\"http2\"}", |open| {
                open <= 1.0
            })
            .await;
        one.get("/version").await.echo();
        world.stop().await;
    });
}

#[test]
fn balancer_that_is_silent_is_given_up() {
    scenario(async {
        let log = AuditLog::default();
        let relay = behind_balancer(&log).with("listen", "handshake_timeout", "200ms");
        let world = World::of(kube(), relay).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind((BALANCER.parse::<IpAddr>().unwrap(), 0).into())
            .unwrap();
        let mut silent = socket.connect(world.relay.address()).await.unwrap();
        let read = within("its end", silent.read(&mut [0])).await;
        assert!(matches!(read, Ok(0) | Err(_)));
        let timed_out = "adit_relay_handshakes_failed_total{reason=\"timed_out\"}";
        assert_eq!(world.relay.metrics().await.value(timed_out), 1.0);
        world.stop().await;
    });
}

#[test]
fn forwarded_for_is_believed_of_proxies_alone() {
    scenario(async {
        let log = AuditLog::default();
        let relay = log
            .of(relay())
            .with("listen", "forwarded_for_from", "[127.0.0.2, 10.0.0.0/8]");
        let world = World::of(kube(), relay).await;
        let cases = [
            ("127.0.0.2", "203.0.113.1, 192.0.2.7, 10.0.0.1", "192.0.2.7"),
            ("127.0.0.2", "unknown", "127.0.0.2:"),
            ("127.0.0.3", "192.0.2.7", "127.0.0.3:"),
        ];
        for (at, (from, value, client)) in cases.into_iter().enumerate() {
            let http2 = world.job.coming_from(from, b"").http2().await;
            let mut asked = get("/version");
            asked
                .headers_mut()
                .insert("x-forwarded-for", HeaderValue::from_static(value));
            http2.answer(asked).await.echo();
            let records = log.until(at + 1).await;
            let told = records[at]["client"].as_str().unwrap();
            assert!(told.starts_with(client), "{told} is not {client}");
        }
        world.stop().await;
    });
}
