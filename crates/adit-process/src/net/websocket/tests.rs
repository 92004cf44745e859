use std::io::ErrorKind;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, Version, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

const PROTOCOL: &str = "bytes";

type Raw = WebSocketStream<DuplexStream>;

/// Both ends, past the handshake.
async fn pair(room: usize) -> (Raw, WebSocket<DuplexStream>) {
    let (near, far) = duplex(room);
    let far = WebSocketStream::from_raw_socket(far, Role::Client, Some(limits())).await;
    (far, WebSocket::accepted(near, Vec::new()).await)
}

async fn read_fails(near: &mut WebSocket<DuplexStream>, with: ErrorKind) {
    let error = near.read(&mut [0; 100]).await.unwrap_err();
    assert_eq!(error.kind(), with, "{error}");
}

#[tokio::test]
async fn bytes_come_whole_and_in_order_whatever_the_sizes() {
    let sizes = [1, 999, LARGEST_WRITE, LARGEST_WRITE + 1, 5, 200_000, 3];
    let sent: Vec<u8> = (0..sizes.iter().sum::<usize>())
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
        .collect();
    for room in [1, 100, 1 << 20] {
        let (far, mut near) = pair(room).await;
        let mut far = WebSocket::of(far);
        let write = async |end: &mut WebSocket<DuplexStream>| {
            let mut rest = &sent[..];
            for size in sizes {
                let (piece, more) = rest.split_at(size);
                let (first, second) = piece.split_at(size / 2);
                let slices = [IoSlice::new(first), IoSlice::new(second)];
                let written = end.write_vectored(&slices).await.unwrap();
                end.write_all(&piece[written..]).await.unwrap();
                rest = more;
            }
            end.flush().await.unwrap();
        };
        let read = async |end: &mut WebSocket<DuplexStream>| {
            let mut got = vec![0; sent.len()];
            end.read_exact(&mut got).await.unwrap();
            assert!(got == sent, "through {room} bytes");
        };
        tokio::join!(write(&mut near), read(&mut far));
        tokio::join!(write(&mut far), read(&mut near));
    }
}

#[tokio::test]
async fn goodbye_ends_the_stream_in_order() {
    let (far, mut near) = pair(1 << 20).await;
    let mut far = WebSocket::of(far);
    near.write_all(b"last").await.unwrap();
    near.shutdown().await.unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
    assert_eq!(near.read(&mut [0; 100]).await.unwrap(), 0);
}

#[tokio::test]
async fn connection_that_breaks_is_no_end() {
    let (far, mut near) = pair(1 << 20).await;
    drop(far);
    assert!(near.read(&mut [0; 100]).await.is_err());
}

#[tokio::test]
async fn text_is_refused() {
    let (mut far, mut near) = pair(1 << 20).await;
    far.send(Message::text("words")).await.unwrap();
    read_fails(&mut near, ErrorKind::InvalidData).await;
}

#[tokio::test]
async fn message_that_is_too_large_is_refused_by_its_head() {
    let (near, mut far) = duplex(1 << 20);
    let mut near = WebSocket::accepted(near, Vec::new()).await;
    let length = u64::try_from(MOST + 1).unwrap().to_be_bytes();
    far.write_all(&[0x82, 0xff]).await.unwrap();
    far.write_all(&length).await.unwrap();
    far.write_all(&[0; 4]).await.unwrap();
    read_fails(&mut near, ErrorKind::InvalidData).await;
}

#[tokio::test]
async fn message_that_grows_too_large_is_refused() {
    let (near, mut far) = duplex(2 * MOST);
    let mut near = WebSocket::accepted(near, Vec::new()).await;
    let half = u64::try_from(MOST / 2 + 1).unwrap().to_be_bytes();
    for first in [0x02, 0x00] {
        far.write_all(&[first, 0xff]).await.unwrap();
        far.write_all(&half).await.unwrap();
        far.write_all(&[0; 4 + MOST / 2 + 1]).await.unwrap();
    }
    read_fails(&mut near, ErrorKind::InvalidData).await;
}

#[tokio::test]
async fn frame_without_mask_is_refused() {
    let (near, mut far) = duplex(1 << 20);
    let mut near = WebSocket::accepted(near, Vec::new()).await;
    far.write_all(&[0x82, 1, 0]).await.unwrap();
    read_fails(&mut near, ErrorKind::InvalidData).await;
}

#[tokio::test]
async fn ping_is_answered_by_whoever_reads() {
    let (mut far, mut near) = pair(1 << 20).await;
    let asked = async {
        far.send(Message::Ping("who".into())).await.unwrap();
        let answer = far.next().await.unwrap().unwrap();
        assert_eq!(answer, Message::Pong("who".into()));
    };
    tokio::select! {
        biased;
        () = asked => {}
        _ = near.read_u8() => panic!("nothing was sent"),
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_up_the_writer() {
    let (_far, mut near) = pair(10).await;
    let mut taken = 0;
    let write = async {
        loop {
            taken += near.write(&[0; LARGEST_WRITE]).await.unwrap();
        }
    };
    tokio::select! {
        biased;
        () = write => {}
        () = tokio::task::yield_now() => {}
    }
    assert!(taken <= 2 * LARGEST_WRITE, "{taken} bytes were taken");
}

/// A client's upgrade, without these fields.
fn upgrade(without: &[header::HeaderName]) -> Request<()> {
    let mut request = Request::get("/path")
        .header(header::UPGRADE, "WebSocket")
        .header(header::CONNECTION, "keep-alive, Upgrade")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .header(header::SEC_WEBSOCKET_PROTOCOL, "other, bytes")
        .body(())
        .unwrap();
    for name in without {
        request.headers_mut().remove(name);
    }
    request
}

#[test]
fn upgrade_is_agreed_to_as_the_standard_says() {
    let answer = agree(&upgrade(&[]), PROTOCOL).unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    // RFC 6455 section 1.3 has the key and this for it.
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert_eq!(answer.headers()[header::SEC_WEBSOCKET_ACCEPT], accept);
    assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], PROTOCOL);
}

#[test]
fn what_is_no_upgrade_of_ours_is_refused() {
    let without = [
        (header::UPGRADE, NoUpgrade::NotAsked),
        (header::CONNECTION, NoUpgrade::NotAsked),
        (header::SEC_WEBSOCKET_VERSION, NoUpgrade::Version),
        (header::SEC_WEBSOCKET_KEY, NoUpgrade::Key),
        (header::SEC_WEBSOCKET_PROTOCOL, NoUpgrade::Protocol),
    ];
    for (name, why) in without {
        let refused = agree(&upgrade(std::slice::from_ref(&name)), PROTOCOL);
        assert_eq!(refused.unwrap_err(), why, "{name}");
    }
    let mut http2 = upgrade(&[]);
    *http2.version_mut() = Version::HTTP_2;
    assert_eq!(agree(&http2, PROTOCOL).unwrap_err(), NoUpgrade::NotAsked);
    let mut page = upgrade(&[]);
    let origin = header::HeaderValue::from_static("https://relay.example.com");
    page.headers_mut().insert(header::ORIGIN, origin);
    assert_eq!(agree(&page, PROTOCOL).unwrap_err(), NoUpgrade::Browser);
}

/// What comes of dialling whoever gives this answer to each request.
async fn dialled(answer: &[u8]) -> Result<WebSocket<DuplexStream>, NoWebSocket> {
    let (near, mut far) = duplex(1 << 20);
    far.write_all(answer).await.unwrap();
    let dial = WebSocket::dial(near, "relay:1", "/prefix/path", PROTOCOL, "adit/1").await;
    let mut request = vec![0; 1000];
    let length = far.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]);
    assert!(
        request.starts_with("GET /prefix/path HTTP/1.1\r\nHost: relay:1\r\n"),
        "{request}"
    );
    assert!(request.contains("user-agent: adit/1\r\n"), "{request}");
    dial
}

#[tokio::test]
async fn peer_that_opens_none_is_told_by_what_it_answers() {
    let refused = dialled(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "it answered HTTP 404 Not Found to a WebSocket's upgrade"
    );
    let broken = dialled(b"SSH-2.0-OpenSSH\r\n\r\n").await;
    assert!(matches!(broken, Err(NoWebSocket::Broken(_))));
    let elsewhere = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: bytes\r\n\r\n";
    let broken = dialled(elsewhere.as_bytes()).await;
    assert!(matches!(broken, Err(NoWebSocket::Broken(_))));
}

#[tokio::test]
async fn both_ends_agree() {
    let (near, far) = duplex(1 << 20);
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let answer = |request: &Request<()>, _: Response<()>| Ok(agree(request, PROTOCOL).unwrap());
    let accepting = tokio_tungstenite::accept_hdr_async(far, answer);
    let dialling = WebSocket::dial(near, "[::1]:1", "/path", PROTOCOL, "adit/1");
    let (accepted, dialled) = tokio::join!(accepting, dialling);
    let (mut accepted, mut dialled) = (accepted.unwrap(), dialled.unwrap());
    dialled.write_all(b"hello").await.unwrap();
    let message = accepted.next().await.unwrap().unwrap();
    assert_eq!(message, Message::binary(&b"hello"[..]));
}
