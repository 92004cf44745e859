//! HTTP/2 that no library would write, frame by frame: heads that never end, frames that make the relay reset streams itself
//! (CVE-2025-8671), empty frames on streams that run, and CONNECT in its two forms.

use adit_tests::{Caller, CallerIo, World, pki, scenario, until, within, world};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Bystander;

/// The client's preface with empty settings: RFC 9113 section 3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Kinds and flags of frames: RFC 9113 section 6.
const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// A frame: RFC 9113 section 4.1.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields without any table: RFC 7541 section 6.2.2.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let mut len = text.len();
            if len < 127 {
                block.push(len as u8);
            } else {
                block.push(127);
                len -= 127;
                while len >= 128 {
                    block.push(len as u8 | 128);
                    len >>= 7;
                }
                block.push(len as u8);
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A request with the caller's credential.
fn asking(caller: &Caller, method: &str, path: &str) -> Vec<u8> {
    block(&[
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", &format!("{}{path}", caller.prefix)),
        ("authorization", caller.authorization.as_deref().unwrap()),
    ])
}

/// A frame that the relay sent: its kind, its stream, its payload.
type Came = (u8, u32, Vec<u8>);

/// Writes all of it, reads meanwhile, and gives what came until the relay hung up, which it must.
async fn until_hung_up(io: CallerIo, bytes: impl Iterator<Item = Vec<u8>>) -> Vec<Came> {
    let (mut read, mut write) = tokio::io::split(io);
    let writing = async {
        for bytes in bytes {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = write.flush().await;
        std::future::pending::<()>().await;
    };
    let mut came = Vec::new();
    let reading = async {
        while let Some(frame) = next_frame(&mut read).await {
            came.push(frame)
        }
    };
    within("the relay to hang up", async {
        tokio::select! {
            () = reading => {}
            () = writing => {}
        }
    })
    .await;
    came
}

async fn next_frame(io: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Came> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await.ok()?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
    let mut payload = vec![0; len as usize];
    io.read_exact(&mut payload).await.ok()?;
    Some((head[3], stream, payload))
}

async fn http2(caller: &Caller) -> CallerIo {
    let mut io = caller.tls(pki::HTTP2).await;
    io.write_all(PREFACE).await.unwrap();
    io
}

/// Somebody sends these and is hung up on; somebody else notices nothing, and nothing stays.
async fn is_hung_up_on(world: &World, bytes: impl Iterator<Item = Vec<u8>>) {
    let bystander = Bystander::of(world).await;
    let io = http2(&world.job).await;
    let (came, ()) = tokio::join!(until_hung_up(io, bytes), bystander.is_unharmed());
    // It may be lost with the connection, but if it comes it says why.
    if let Some((_, _, payload)) = came.iter().rfind(|(kind, ..)| *kind == GOAWAY) {
        assert_ne!(payload[4..8], [0; 4], "it says that all is well");
    }
    drop(bystander);
    until("nothing is open", || world.kube.open() == 0).await;
}

fn odd() -> impl Iterator<Item = u32> {
    (1_u32..).step_by(2)
}

#[test]
fn streams_that_the_relay_is_made_to_reset_end_the_connection() {
    scenario(async {
        let world = world().await;
        let head = asking(&world.job, "GET", "/never");
        // More window than there can be: RFC 9113 section 6.9.1 has the stream reset.
        let flood = odd().take(20_000).map(|stream| {
            let window = 0x7fff_ffff_u32.to_be_bytes();
            [
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &head),
                frame(WINDOW_UPDATE, 0, stream, &window),
            ]
            .concat()
        });
        is_hung_up_on(&world, flood).await;
        world.stop().await;
    });
}

#[test]
fn data_behind_the_end_is_counted_like_a_reset() {
    scenario(async {
        let world = world().await;
        let head = asking(&world.job, "GET", "/never");
        let flood = odd().take(20_000).map(|stream| {
            [
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &head),
                frame(DATA, 0, stream, b"late"),
            ]
            .concat()
        });
        is_hung_up_on(&world, flood).await;
        world.stop().await;
    });
}

#[test]
fn head_that_never_ends_is_hung_up_on() {
    scenario(async {
        let world = world().await;
        let head = asking(&world.job, "GET", "/api");
        let more = block(&[("x-more", "more")]);
        let begin = std::iter::once(frame(HEADERS, END_STREAM, 1, &head));
        let flood = std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, &more)).take(1_000_000);
        is_hung_up_on(&world, begin.chain(flood)).await;
        let asked = world.kube.requests();
        let of_job = |user: Option<String>| user == Some("gitlab:ci_job:9001".into());
        assert!(
            asked
                .iter()
                .all(|request| !of_job(request.value("impersonate-user")))
        );
        world.stop().await;
    });
}

#[test]
fn empty_frames_on_a_stream_that_runs_end_the_connection() {
    scenario(async {
        let world = world().await;
        let head = asking(&world.job, "POST", "/sink");
        let begin = std::iter::once(frame(HEADERS, END_HEADERS, 1, &head));
        let flood = std::iter::repeat_with(|| frame(DATA, 0, 1, b"").repeat(100)).take(10_000);
        is_hung_up_on(&world, begin.chain(flood)).await;
        world.stop().await;
    });
}

#[test]
fn connect_over_http_2_opens_nothing() {
    scenario(async {
        let world = world().await;
        let credential = world.job.authorization.clone().unwrap();
        let plain = block(&[
            (":method", "CONNECT"),
            (":authority", "169.254.169.254:80"),
            ("authorization", &credential),
        ]);
        // RFC 8441, which the relay never offered.
        let extended = block(&[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/k8s-proxy/upgrade"),
            ("authorization", &credential),
        ]);
        for head in [plain, extended] {
            let mut io = http2(&world.job).await;
            io.write_all(&frame(HEADERS, END_HEADERS, 1, &head))
                .await
                .unwrap();
            within("an answer or the end", async {
                while let Some((kind, ..)) = next_frame(&mut io).await {
                    if matches!(kind, HEADERS | RST_STREAM | GOAWAY) {
                        break;
                    }
                }
            })
            .await;
        }
        let metrics = world.relay.metrics().await;
        assert!(metrics.value("adit_relay_refusals_total{reason=\"bad_method\"}") >= 1.0);
        assert_eq!(
            metrics.sum_where("adit_relay_requests_total", "outcome=\"answered\""),
            0.0
        );
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}
