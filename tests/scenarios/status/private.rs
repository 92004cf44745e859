//! The private port beyond loopback: with a certificate operators come to it over the network, without one nothing of theirs is asked for
//! there, and health and metrics are everybody's either way.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use adit_tests::{
    AuditLog, RelayBuilder, TestRelay, beyond_loopback,
    pki::{self, Made, Pki},
    relay, scenario, within,
};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use xtask::skip;

use super::{TOKEN, WRONG_TOKEN, asked_for, demanding_token};

pub(super) const HOST: &str = "Host: localhost\r\n";

/// Has its private port open to all, with a certificate; its files are in the folder.
async fn open(relay: RelayBuilder, folder: &TempDir) -> TestRelay {
    let relay = relay.with("admin", "address", "0.0.0.0:0");
    relay.with_admin_certificate(folder.path()).start().await
}

/// Who believes the relay and shows a certificate of this CA's.
fn showing(ca: &Pki, made: Made) -> Arc<ClientConfig> {
    pki::shared().client_showing(ca, made, &[pki::HTTP1])
}

/// Status and whole answer, over TLS.
pub(super) async fn asked(
    relay: &TestRelay,
    client: Option<&Arc<ClientConfig>>,
    what: &str,
    headers: &str,
) -> (u16, String) {
    let config = client.map_or_else(|| pki::shared().client(&[pki::HTTP1]), Arc::clone);
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

fn operators(folder: &TempDir) -> (Pki, PathBuf) {
    let ca = Pki::new("operators' CA");
    let file = folder.path().join("operators.pem");
    std::fs::write(&file, ca.ca_pem()).unwrap();
    (ca, file)
}

#[test]
fn operator_shows_the_token_or_a_certificate_over_tls() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let (ca, file) = operators(&folder);
        let relay = relay().with("admin", "client_ca_file", file.display());
        let (relay, _token) = demanding_token(relay);
        let relay = open(relay, &folder).await;
        let own = showing(&ca, Made::default());
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let servers = showing(
            &ca,
            Made {
                usage: server,
                ..Made::default()
            },
        );
        let strangers = showing(&Pki::new("operators' CA"), Made::default());
        let (with, wrong) = (format!("{HOST}{TOKEN}"), format!("{HOST}{WRONG_TOKEN}"));
        for (client, headers, status) in [
            (None, HOST, 401),
            (None, wrong.as_str(), 401),
            (None, with.as_str(), 200),
            (Some(&own), HOST, 200),
            (Some(&own), wrong.as_str(), 200),
            (Some(&servers), HOST, 401),
            (Some(&strangers), HOST, 401),
            (Some(&strangers), with.as_str(), 200),
        ] {
            for what in ["GET /status", "GET /"] {
                let (answered, answer) = asked(&relay, client, what, headers).await;
                assert_eq!(answered, status, "{what} {headers}: {answer}");
            }
        }
        let (_, told) = asked(&relay, Some(&strangers), "GET /status", HOST).await;
        assert!(
            told.contains("none of the CAs") && told.contains("admin.token_file"),
            "{told}"
        );
        // Probes and scrapers show nothing.
        for what in ["GET /livez", "GET /readyz", "GET /metrics"] {
            assert_eq!(asked(&relay, None, what, HOST).await.0, 200, "{what}");
        }
        // It is the operator's to cut, too.
        let cut = "POST /status/streams/5b0c9e7d21f4a386/cut";
        let headers = format!("{HOST}Content-Length: 0\r\nAdit-Confirm: 5b0c9e7d21f4a386\r\n");
        assert_eq!(asked(&relay, None, cut, &headers).await.0, 401);
        assert_eq!(asked(&relay, Some(&own), cut, &headers).await.0, 404);
        // Who speaks plain HTTP is told so.
        let (status, told) = asked_for(&relay, "GET /livez", HOST).await;
        assert!(status == 400 && told.contains("https://"), "{told}");
        relay.stop().await;
    });
}

#[test]
fn certificate_alone_opens_when_there_is_no_token_also_on_loopback() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let (ca, file) = operators(&folder);
        let own = showing(&ca, Made::default());
        for address in ["0.0.0.0:0", "127.0.0.1:0"] {
            let relay = relay().with("admin", "client_ca_file", file.display());
            let relay = relay.with("admin", "address", address);
            let relay = relay.with_admin_certificate(folder.path()).start().await;
            let (status, told) = asked(&relay, None, "GET /status", HOST).await;
            assert_eq!(status, 403, "{told}");
            assert!(told.contains("admin.client_ca_file"), "{told}");
            assert_eq!(asked(&relay, Some(&own), "GET /status", HOST).await.0, 200);
            relay.stop().await;
        }
    });
}

#[test]
fn operators_ca_that_is_replaced_lets_its_clients_in_no_more() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let (ca, file) = operators(&folder);
        let relay = relay().with("admin", "client_ca_file", file.display());
        let relay = open(relay, &folder).await;
        let own = showing(&ca, Made::default());
        assert_eq!(asked(&relay, Some(&own), "GET /status", HOST).await.0, 200);
        let ends = "adit_relay_client_ca_expiry_timestamp_seconds{port=\"admin\"}";
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(relay.metrics().await.value(ends) > now.as_secs_f64());
        let looks = |outcome: &str| {
            let name = "adit_relay_client_ca_reloads_total";
            format!("{name}{{port=\"admin\",outcome=\"{outcome}\"}}")
        };
        let until_counted = async |outcome: &str| {
            let look = looks(outcome);
            let counted = async { while relay.metrics().await.value(&look) == 0.0 {} };
            within("the look", counted).await;
        };
        std::fs::write(&file, "spoilt").unwrap();
        relay.reread();
        until_counted("failed").await;
        assert_eq!(asked(&relay, Some(&own), "GET /status", HOST).await.0, 200);
        let next = Pki::new("operators' next CA");
        std::fs::write(&file, next.ca_pem()).unwrap();
        relay.reread();
        until_counted("replaced").await;
        let is_out =
            async { while asked(&relay, Some(&own), "GET /status", HOST).await.0 == 200 {} };
        within("the change", is_out).await;
        let own = showing(&next, Made::default());
        assert_eq!(asked(&relay, Some(&own), "GET /status", HOST).await.0, 200);
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
        let tomorrow = SystemTime::now() + std::time::Duration::from_hours(24);
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
        assert_eq!(asked(&relay, None, "GET /livez", HOST).await.0, 200);
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

#[test]
fn who_says_nothing_makes_room_for_who_comes_later() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = open(relay(), &folder).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(relay.admin()).await.unwrap());
        }
        assert_eq!(asked(&relay, None, "GET /livez", HOST).await.0, 200);
        let first = silent.first_mut().unwrap();
        let ended = within("its end", first.read(&mut [0])).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        let last = silent.last_mut().unwrap();
        assert!(
            last.try_read(&mut [0])
                .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        );
        relay.stop().await;
    });
}

#[test]
fn audit_log_tells_which_operator_asked_for_a_cut_and_of_a_stranger_that_he_is_none() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let (ca, file) = operators(&folder);
        let log = AuditLog::default();
        let relay = log
            .of(relay())
            .with("admin", "client_ca_file", file.display());
        let (relay, _token) = demanding_token(relay);
        let relay = open(relay, &folder).await;
        let own = showing(&ca, Made::default());
        let strangers = showing(&Pki::new("operators' CA"), Made::default());
        let cut = "POST /status/streams/5b0c9e7d21f4a386/cut";
        let headers = format!("{HOST}Content-Length: 0\r\nAdit-Confirm: 5b0c9e7d21f4a386\r\n");
        let with_token = format!("{headers}{TOKEN}");
        assert_eq!(asked(&relay, Some(&own), cut, &headers).await.0, 404);
        let unconfirmed = format!("{HOST}Content-Length: 0\r\n");
        assert_eq!(asked(&relay, Some(&own), cut, &unconfirmed).await.0, 400);
        assert_eq!(
            asked(&relay, Some(&strangers), cut, &with_token).await.0,
            404
        );
        assert_eq!(asked(&relay, Some(&strangers), cut, &headers).await.0, 401);
        let records = log.until(4).await;
        let who: Vec<_> = records
            .iter()
            .map(|record| {
                ["result", "by", "proof", "subject", "issuer"]
                    .map(|name| record.get(name).cloned().unwrap_or_default())
            })
            .collect();
        let none = Value::Null;
        let expected = [
            [
                json!("unknown"),
                json!("operator"),
                json!("certificate"),
                json!("agent"),
                json!("operators' CA"),
            ],
            [
                json!("refused"),
                json!("operator"),
                json!("certificate"),
                json!("agent"),
                json!("operators' CA"),
            ],
            [
                json!("unknown"),
                json!("operator"),
                json!("token"),
                none.clone(),
                none.clone(),
            ],
            [
                json!("refused"),
                none.clone(),
                none.clone(),
                none.clone(),
                none,
            ],
        ];
        assert_eq!(who, expected, "{records:#?}");
        relay.stop().await;
    });
}
