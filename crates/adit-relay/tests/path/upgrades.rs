//! Upgrades: two byte streams after a 101 of the agent's, and an ordinary answer otherwise.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{head, rest, with_agent};

#[tokio::test]
async fn upgrade_is_two_byte_streams_with_half_close() {
    with_agent(async |setup, _| {
        let upgrade = "connection: upgrade\r\nupgrade: SPDY/3.1\r\n";
        let mut socket = setup.raw_request("GET", "/k8s-proxy/exec", upgrade).await;
        let head = head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let head = head.to_ascii_lowercase();
        for field in [
            "upgrade: spdy/3.1",
            "connection: upgrade",
            "x-stream-protocol-version: v4",
        ] {
            assert!(head.contains(field), "{head}");
        }
        socket.write_all(b"ping").await.unwrap();
        let mut echo = [0; 4];
        socket.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"ping");
        socket.write_all(b"last words").await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(rest(&mut socket).await, "last words, and bye");
    })
    .await;
}

#[tokio::test]
async fn upgrade_that_is_answered_otherwise_is_an_ordinary_answer() {
    with_agent(async |setup, _| {
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
        let mut socket = setup
            .raw_request("GET", "/k8s-proxy/status/403", upgrade)
            .await;
        assert!(head(&mut socket).await.starts_with("HTTP/1.1 403 "));
        let again = setup.raw("GET", "/k8s-proxy/again", "connection: close\r\n");
        socket.write_all(again.as_bytes()).await.unwrap();
        let rest = rest(&mut socket).await;
        assert!(
            rest.contains("HTTP/1.1 200 ") && rest.contains("GET /again"),
            "{rest}"
        );
    })
    .await;
}
