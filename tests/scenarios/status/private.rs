//! The private port beyond loopback: with a certificate operators come to it over the network, without one nothing of theirs is asked for
//! there, and health and metrics are everybody's either way.

use std::net::SocketAddr;

use adit_tests::{RelayBuilder, TestRelay, beyond_loopback, pki, relay, scenario, within};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use xtask::skip;

use super::{TOKEN, WRONG_TOKEN, asked_for, demanding_token};

const HOST: &str = "Host: localhost\r\n";

/// Has its private port open to all, with a certificate; its files are in the folder.
async fn open(relay: RelayBuilder, folder: &TempDir) -> TestRelay {
    let relay = relay.with("admin", "address", "0.0.0.0:0");
    relay.with_admin_certificate(folder.path()).start().await
}

/// Status and whole answer, over TLS.
async fn asked(relay: &TestRelay, what: &str, headers: &str) -> (u16, String) {
    let config = pki::shared().client(&[pki::HTTP1]);
    let socket = TcpStream::connect(relay.admin()).await.unwrap();
    let tls = TlsConnector::from(config).connect(pki::localhost(), socket);
    let mut tls = within("a handshake", tls).await.unwrap();
    let request = format!("{what} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", tls.read_to_string(&mut answer))
        .await
        .unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
fn operator_shows_the_token_over_tls() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, _token) = demanding_token(relay());
        let relay = open(relay, &folder).await;
        let (with, wrong) = (format!("{HOST}{TOKEN}"), format!("{HOST}{WRONG_TOKEN}"));
        for (headers, status) in [(HOST, 401), (wrong.as_str(), 401), (with.as_str(), 200)] {
            for what in ["GET /status", "GET /"] {
                let (answered, answer) = asked(&relay, what, headers).await;
                assert_eq!(answered, status, "{what} {headers}: {answer}");
            }
        }
        // Probes and scrapers show nothing.
        for what in ["GET /livez", "GET /readyz", "GET /metrics"] {
            assert_eq!(asked(&relay, what, HOST).await.0, 200, "{what}");
        }
        // Who speaks plain HTTP is told so.
        let (status, told) = asked_for(&relay, "GET /livez", HOST).await;
        assert!(status == 400 && told.contains("https://"), "{told}");
        relay.stop().await;
    });
}

#[test]
fn certificate_of_the_private_port_is_renewed_and_counted_apart() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = open(relay(), &folder).await;
        let ends = "adit_tls_certificate_expiry_timestamp_seconds{port=\"admin\"}";
        let before = relay.metrics().await.value(ends);
        let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_hours(24);
        let _ = pki::shared().write_server_until(folder.path(), Some(tomorrow));
        relay.reread();
        let replaced = "adit_tls_certificate_reloads_total{port=\"admin\",outcome=\"replaced\"}";
        let is_replaced = async { while relay.metrics().await.value(replaced) != 1.0 {} };
        within("the renewal", is_replaced).await;
        assert!(relay.metrics().await.value(ends) < before);
        let of_the_public =
            "adit_tls_certificate_reloads_total{port=\"public\",outcome=\"replaced\"}";
        assert_eq!(relay.metrics().await.value(of_the_public), 0.0);
        relay.stop().await;
    });
}

#[test]
fn who_says_nothing_keeps_no_operator_waiting() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = open(relay(), &folder).await;
        let silent = TcpStream::connect(relay.admin()).await.unwrap();
        let mut half = TcpStream::connect(relay.admin()).await.unwrap();
        half.write_all(&[22, 3, 1]).await.unwrap();
        assert_eq!(asked(&relay, "GET /livez", HOST).await.0, 200);
        drop((silent, half));
        relay.stop().await;
    });
}

#[test]
fn token_in_clear_opens_nothing_but_from_this_machine() {
    let Some(own) = beyond_loopback() else {
        let test = "token_in_clear_opens_nothing_but_from_this_machine";
        skip::skipped(test, "this machine has no address but loopback");
        return;
    };
    scenario(async {
        let relay = relay().with("admin", "address", "0.0.0.0:0");
        let (relay, _folder) = demanding_token(relay);
        let relay = relay.start().await;
        let over_network = SocketAddr::new(own, relay.admin().port());
        let ask = async |at: SocketAddr, path: &str| {
            let mut socket = TcpStream::connect(at).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{HOST}{TOKEN}\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            within("an answer", socket.read_to_string(&mut answer))
                .await
                .unwrap();
            answer
        };
        for path in ["/status", "/"] {
            let refused = ask(over_network, path).await;
            assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
            assert!(refused.contains("admin.certificate"), "{refused}");
            // As `kubectl port-forward` comes.
            let answer = ask(([127, 0, 0, 1], over_network.port()).into(), path).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = ask(over_network, path).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
        relay.stop().await;
    });
}
