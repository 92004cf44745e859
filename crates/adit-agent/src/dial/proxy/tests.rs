use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::fake::soon;

fn environment(https: &str, no: &str) -> ProxyEnvironment {
    ProxyEnvironment {
        https: https.into(),
        no: no.into(),
    }
}

#[test]
fn peers_in_no_proxy_are_dialled_directly() {
    let cases = [
        ("", "relay.example.com", true),
        ("example.com", "relay.example.com", false),
        (".example.com", "relay.example.com", false),
        ("relay.example.com", "relay.example.com", false),
        ("RELAY.example.COM", "relay.example.com", false),
        ("relay.example.com:8443", "relay.example.com", false),
        ("relay.example.com:443", "relay.example.com", true),
        ("ample.com", "relay.example.com", true),
        ("other.com, example.com", "relay.example.com", false),
        ("*", "relay.example.com", false),
        ("10.0.0.0/8", "10.1.2.3", false),
        ("10.0.0.0/8", "11.1.2.3", true),
        ("10.1.2.3", "10.1.2.3", false),
        ("fd00::/8", "[fd00::1]", false),
        ("fd00::/8", "[fe80::1]", true),
    ];
    for (no, host, is_proxied) in cases {
        let proxy = environment("http://proxy:3128", no)
            .proxy_for(host, 8443)
            .unwrap();
        assert_eq!(proxy.is_some(), is_proxied, "NO_PROXY={no} {host}");
    }
    assert!(
        environment("", "")
            .proxy_for("relay.example.com", 443)
            .unwrap()
            .is_none()
    );
}

#[test]
fn proxy_that_cannot_be_used_is_a_mistake_and_not_passed_over() {
    for (url, why) in [
        ("https://proxy:3128", BadProxy::Scheme),
        ("socks5://proxy:1080", BadProxy::Scheme),
        ("http://", BadProxy::NotAUrl),
        ("not a url", BadProxy::NotAUrl),
    ] {
        assert_eq!(
            environment(url, "")
                .proxy_for("relay.example.com", 443)
                .unwrap_err(),
            why,
            "{url}"
        );
    }
}

#[test]
fn credentials_of_a_proxy_are_not_shown() {
    let proxy = Proxy::parse("http://me:hunter%32@proxy.example.com:3128").unwrap();
    assert_eq!(
        format!("{proxy} {proxy:?}"),
        "proxy.example.com:3128 proxy.example.com:3128"
    );
    assert_eq!(proxy.credentials.unwrap(), "Basic bWU6aHVudGVyMg==");
    assert_eq!(Proxy::parse("proxy.example.com:3128").unwrap().port, 3128);
}

/// Answers one CONNECT with `answer`, and echoes what comes after; gives the head it read.
async fn stub(listener: TcpListener, answer: &'static [u8]) -> String {
    let (mut tcp, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    tcp.write_all(answer).await.unwrap();
    let mut bytes = [0; 4];
    if tcp.read_exact(&mut bytes).await.is_ok() {
        tcp.write_all(&bytes).await.unwrap();
    }
    String::from_utf8(head).unwrap()
}

async fn connect(answer: &'static [u8]) -> (Result<Vec<u8>, ProxyError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let proxy = Proxy::parse("http://me:secret@proxy.example.com:3128").unwrap();
    let through = async {
        let mut tcp = proxy.connect(tcp, "relay.example.com:443").await?;
        tcp.write_all(b"ping").await.unwrap();
        let mut echoed = vec![0; 4];
        tcp.read_exact(&mut echoed).await.unwrap();
        Ok(echoed)
    };
    soon(async { tokio::join!(through, stub(listener, answer)) }).await
}

#[tokio::test]
async fn connect_opens_the_way_with_credentials() {
    let (through, head) = connect(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n").await;
    assert_eq!(through.unwrap(), b"ping");
    assert!(
        head.starts_with("CONNECT relay.example.com:443 HTTP/1.1\r\n"),
        "{head}"
    );
    let head = head.to_lowercase();
    assert!(
        head.contains("\r\nhost: relay.example.com:443\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\nproxy-authorization: basic bwu6c2vjcmv0\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn refusal_of_a_proxy_is_told_with_its_status() {
    let (through, _) =
        connect(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await;
    assert!(
        matches!(
            through,
            Err(ProxyError::Answered(
                StatusCode::PROXY_AUTHENTICATION_REQUIRED
            ))
        ),
        "{through:?}"
    );
    let (through, _) = connect(b"SSH-2.0-OpenSSH_9\r\n").await;
    assert!(matches!(through, Err(ProxyError::Http(_))), "{through:?}");
}

#[tokio::test]
async fn bytes_of_the_proxys_own_never_reach_tls() {
    let (through, _) = connect(b"HTTP/1.1 200 OK\r\n\r\nsurprise").await;
    assert!(
        matches!(through, Err(ProxyError::SpokeFirst)),
        "{through:?}"
    );
}
