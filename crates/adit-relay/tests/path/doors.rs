//! Who comes in by which door: ALPN chooses the protocol, threads share the port, and the admin port tells what came.

use std::time::Duration;

use http::{Request, StatusCode};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{Setup, ask, h2_head, rest, while_open, with_agent, with_agent_and, within};

#[tokio::test]
async fn tls_chooses_the_protocol_by_alpn() {
    within(async {
        let setup = Setup::tls().await;
        for alpn in ["http/1.1", ""] {
            let mut socket = setup.handshake(alpn).await;
            let request = "GET / HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n";
            socket.write_all(request.as_bytes()).await.unwrap();
            let answer = rest(&mut socket).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        }
        let (mut send, connection) = h2::client::handshake(setup.handshake("h2").await)
            .await
            .unwrap();
        let asked = async {
            let request = h2_head(Request::get("/").body(()).unwrap());
            let (answer, _) = ask(&mut send, request).await.unwrap();
            answer.await.unwrap().status()
        };
        assert_eq!(while_open(connection, asked).await, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_told_so() {
    within(async {
        let setup = Setup::tls().await;
        let mut socket = TcpStream::connect(&setup.address).await.unwrap();
        let request = "GET / HTTP/1.1\r\nhost: relay\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with("https://"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn shards_share_one_port_and_all_tunnels() {
    with_agent_and("shards: 3", async |setup, _| {
        let _second = setup.agent().await;
        for _ in 0..24 {
            assert_eq!(setup.http1(setup.get("/k8s-proxy/api")).await.status, 200);
        }
        setup.relay.drain(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn agent_with_a_wrong_token_is_refused() {
    within(async {
        let setup = Setup::new().await;
        let error = setup
            .agent_with_token("adit-agent-wrong")
            .await
            .expect_err("no tunnel");
        assert!(error.to_string().contains("gRPC status 16"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    with_agent(async |setup, _| {
        setup.http1(setup.get("/k8s-proxy/api")).await;
        setup.http2(setup.get("/nowhere")).await;
        setup
            .assert_metrics(&[
                "adit_relay_requests_total{outcome=\"answered\",class=\"read\"} 1",
                "adit_relay_requests_total{outcome=\"refused\",class=\"relay\"} 1",
                "adit_relay_refusals_total{reason=\"unknown_path\"} 1",
                "adit_relay_tunnels_open 1",
                "adit_relay_tokens_cached 1",
                "adit_relay_stage_duration_seconds_count{stage=\"answer\"} 2",
            ])
            .await;
        let metrics = setup.metrics().await;
        assert!(!metrics.contains("eyJ"), "a token is among the metrics");
    })
    .await;
}
