//! `adit relay`: its start, its log, its audit records, its end.

use std::fs;
use std::process::Output;

use http::Request;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ours::RELAY;
use crate::process::{SOON, address_in, adit, field_in, line, signal, stderr, stdout};

#[tokio::test]
async fn relay_drains_and_ends_with_0_on_the_first_signal() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, RELAY).unwrap();
    for name in ["TERM", "INT"] {
        let mut relay = adit(&["relay", "--config", config.to_str().unwrap()])
            .spawn()
            .unwrap();
        line(&mut stderr(&mut relay), "relay is up").await;
        signal(&relay, name).await;
        let ended = timeout(SOON, relay.wait())
            .await
            .expect("it ends early")
            .unwrap();
        assert_eq!(ended.code(), Some(0), "SIG{name}");
    }
}

#[tokio::test]
async fn status_that_is_watched_is_shown_anew_when_something_changes_and_ends_with_ctrl_c() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, RELAY).unwrap();
    let mut relay = adit(&["relay", "--config", config.to_str().unwrap()])
        .spawn()
        .unwrap();
    let up = line(&mut stderr(&mut relay), "relay is up").await;
    let mut watching = adit(&["status", "--watch", "--admin", field_in(&up, "admin")])
        .spawn()
        .unwrap();
    let mut shown = stdout(&mut watching);
    line(&mut shown, "up since").await;
    fs::write(&config, "no_such_section: {}\n").unwrap();
    signal(&relay, "HUP").await;
    line(&mut shown, "PROBLEM configuration").await;
    // And again, without a change.
    line(&mut shown, "PROBLEM configuration").await;
    signal(&watching, "INT").await;
    let ended = timeout(SOON, watching.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
}

/// A log that nobody reads once stopped the thread that wrote it, and with it every connection of that thread.
#[tokio::test]
async fn relay_whose_log_is_not_read_goes_on_and_ends() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, RELAY).unwrap();
    let mut relay = adit(&[
        "relay",
        "--log",
        "trace",
        "--config",
        config.to_str().unwrap(),
    ])
    .spawn()
    .unwrap();
    let mut diary = stderr(&mut relay);
    let up = line(&mut diary, "relay is up").await;
    let io = TokioIo::new(TcpStream::connect(address_in(&up)).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    // Each is worth a line of the log at least. A pipe holds a few hundred, and some thousand wait for it.
    let admin = field_in(&up, "admin");
    let asking = async {
        while lost_lines(admin).await == 0.0 {
            for _ in 0..1_000 {
                let request = Request::get("/k8s-proxy/api").header("host", "relay");
                let request = request.body(Full::<Bytes>::default()).unwrap();
                let answer = send.send_request(request).await.unwrap();
                assert_eq!(answer.status(), 401);
            }
        }
    };
    timeout(SOON, asking).await.expect("all are answered");
    signal(&relay, "TERM").await;
    let ended = timeout(SOON, relay.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}

/// What the metric says of lines that were lost.
async fn lost_lines(admin: &str) -> f64 {
    let mut socket = TcpStream::connect(admin).await.unwrap();
    let asked = "GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    socket.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let sample = answer
        .lines()
        .find_map(|line| line.strip_prefix("adit_log_lines_lost_total "));
    sample.unwrap().parse().unwrap()
}

#[tokio::test]
async fn sigterm_loses_no_audit_record() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let audit = "audit: { to: stdout, strangers_per_second: 1000000 }\nshards: 2\n";
    fs::write(&config, format!("{RELAY}{audit}")).unwrap();
    let mut relay = adit(&["relay", "--config", config.to_str().unwrap()])
        .spawn()
        .unwrap();
    let mut printed = stdout(&mut relay);
    let up = line(&mut stderr(&mut relay), "relay is up").await;
    let address = address_in(&up);
    let asked = "GET /elsewhere HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    let mut answers = 0;
    for _ in 0..50 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answers += usize::from(answer.starts_with("HTTP/1.1 404"));
    }
    signal(&relay, "TERM").await;
    let ended = timeout(SOON, relay.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
    let mut records = 0;
    while let Some(line) = printed.next_line().await.unwrap() {
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["refusal"], "unknown_path");
        records += 1;
    }
    assert_eq!((answers, records), (50, 50));
}

#[tokio::test]
async fn relay_config_with_mistakes_ends_with_64_and_tells_all() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, "listen: { address: nowhere }\nshards: 0\n").unwrap();
    for arguments in [["relay", "--config", "FILE"], ["config", "check", "FILE"]] {
        let arguments = arguments.map(|argument| {
            if argument == "FILE" {
                config.to_str().unwrap()
            } else {
                argument
            }
        });
        let Output { status, stderr, .. } = adit(&arguments).output().await.unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(64), "{stderr}");
        assert!(
            stderr.contains("listen.address: ") && stderr.contains("shards: "),
            "{stderr}"
        );
    }
    fs::write(&config, RELAY).unwrap();
    let checked = adit(&["config", "check", config.to_str().unwrap()])
        .output()
        .await
        .unwrap();
    assert_eq!(checked.status.code(), Some(0));
}

#[tokio::test]
async fn what_keeps_a_relay_from_starting_is_told_with_its_key() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("token"), "guessed\n").unwrap();
    let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listening.local_addr().unwrap().to_string();
    let tls =
        "listen: { address: '127.0.0.1:0', certificate: /nowhere/tls.crt, key: /nowhere/tls.key";
    let (token, log) = (path("token"), path("no/audit.log"));
    for (config, code, words) in [
        (
            RELAY.replacen("listen: { address: '127.0.0.1:0'", tls, 1),
            64,
            ["listen.certificate", "/nowhere/tls.crt", "do: name PEM"],
        ),
        (
            RELAY.replacen("admin: {", &format!("admin: {{ token_file: {token},"), 1),
            64,
            ["admin.token_file", &token, "openssl rand -hex 32"],
        ),
        (
            format!("{RELAY}audit: {{ to: file, file: {log} }}"),
            64,
            ["audit.file", &log, "do: make the folder"],
        ),
        (
            format!("{RELAY}authorities: {{ ca_file: /nowhere/ca.pem }}"),
            64,
            ["authorities.ca_file", "/nowhere/ca.pem", "do: name PEM"],
        ),
        (
            RELAY.replacen("127.0.0.1:0", &taken, 1),
            69,
            ["listen.address", &taken, "do: something else listens there"],
        ),
        (
            RELAY.replacen(
                "admin: { address: '127.0.0.1:0'",
                &format!("admin: {{ address: '{taken}'"),
                1,
            ),
            69,
            ["admin.address", &taken, "do: something else listens there"],
        ),
    ] {
        fs::write(path("relay.yaml"), &config).unwrap();
        let ended = adit(&["relay", "--config", &path("relay.yaml")]).output();
        let Output { status, stderr, .. } = timeout(SOON, ended).await.expect("it ends").unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{config}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word}: {stderr}");
        }
        assert!(!stderr.contains("guessed"), "{stderr}");
    }
}
