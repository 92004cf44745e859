//! The paths an API server of the tests knows.
//!
//! | Path | Answer |
//! |---|---|
//! | `/big/<n>` | `n` bytes of the pattern, length unknown; `/sized/<n>` says it |
//! | `/sink` | reads the body, then tells its length and SHA-256 |
//! | `/duplex` | sends the body back while it comes |
//! | `/early` | 413 before the body was read |
//! | `/watch` | one line for each event, for ever; at the end of any path too, and for the query `watch=1` |
//! | `/wait` | answers after [`super::Kube::release`] |
//! | `/never` | nothing at all; `/silent` a head and then nothing |
//! | `/cut/<n>` | breaks off after `n` bytes; `/cut-sized/<n>` after having promised `2n` |
//! | `/trailers` | a body and trailers |
//! | `/status/<code>` | that status, with a small body where it may have one |
//! | `/gzip` | bytes that say they are gzip |
//! | `/redirect` | 302 to another host |
//! | `/upgrade` | 101 to who asks for it; sends bytes back, and `bye` when the client's half ended; at the end of any path too |
//! | anything else | an echo of the request, as JSON |

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast;

use super::{State, upgrades};
use crate::{
    body::{self, Body},
    hex,
    tasks::Executor,
};

pub(super) async fn answer(
    request: Request<Incoming>,
    state: &Arc<State>,
    executor: &Executor,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let scripted = state.script.answers.iter().find(|(of, _)| *of == path);
    if let Some((_, answer)) = scripted {
        let answer = Arc::clone(answer);
        return answer(request).await;
    }
    let below = path.trim_start_matches('/');
    let (first, rest) = below.split_once('/').unwrap_or((below, ""));
    match first {
        "big" => Response::new(body::pattern(number(rest))),
        "sized" => Response::new(body::pattern_of_known_length(number(rest))),
        "sink" => sink(request, state).await,
        "duplex" => Response::new(
            request
                .into_body()
                .map_err(std::io::Error::other)
                .boxed_unsync(),
        ),
        "early" => status(StatusCode::PAYLOAD_TOO_LARGE),
        "wait" => wait(state).await,
        "never" => std::future::pending().await,
        "silent" => Response::new(silent()),
        "cut" => Response::new(cut(number(rest), None)),
        "cut-sized" => Response::new(cut(number(rest), Some(2 * number(rest)))),
        "trailers" => trailers(),
        "status" => status(StatusCode::from_u16(number(rest) as u16).unwrap()),
        "gzip" => gzip(),
        "redirect" => redirect(),
        "upgrade" => upgrades::answer(request, state, executor),
        _ if path.ends_with("/upgrade") => upgrades::answer(request, state, executor),
        _ if path.ends_with("/watch") || first == "watch" || asks_watch(&request) => {
            Response::new(watch(state.events.subscribe()))
        }
        _ => echo(request).await,
    }
}

async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let collected = body.collect().await;
    let (bytes, trailers) = match collected {
        Ok(collected) => {
            let trailers = collected.trailers().cloned();
            (collected.to_bytes(), trailers)
        }
        Err(_) => return status(StatusCode::BAD_REQUEST),
    };
    let fields = |headers: &HeaderMap| -> Vec<[String; 2]> {
        headers
            .iter()
            .map(|(name, value)| {
                [
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                ]
            })
            .collect()
    };
    let echo = json!({
        "method": head.method.as_str(),
        "target": head.uri.path_and_query().map(ToString::to_string),
        "version": format!("{:?}", head.version),
        "headers": fields(&head.headers),
        "body": String::from_utf8_lossy(&bytes),
        "bytes": bytes.len(),
        "sha256": hex::encode(&Sha256::digest(&bytes)),
        "trailers": trailers.as_ref().map(fields),
    });
    json_answer(&echo)
}

async fn sink(request: Request<Incoming>, state: &State) -> Response<Body> {
    let mut body = request.into_body();
    let mut check = crate::pattern::Check::default();
    loop {
        while state.holds_sink.load(Ordering::Relaxed) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    check.take(&data);
                    state.sunk.fetch_add(data.len(), Ordering::Relaxed);
                }
            }
            Some(Err(_)) => return status(StatusCode::BAD_REQUEST),
            None => {
                state.whole_uploads.fetch_add(1, Ordering::Relaxed);
                return json_answer(&json!({ "bytes": check.seen }));
            }
        }
    }
}

async fn wait(state: &State) -> Response<Body> {
    let mut release = state.release.subscribe();
    let _ = release.changed().await;
    Response::new(body::full("released"))
}

fn asks_watch(request: &Request<Incoming>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair == "watch=1")
}

fn watch(events: broadcast::Receiver<Bytes>) -> Body {
    let frames = futures_util::stream::unfold(events, |mut events| async move {
        let line = events.recv().await.ok()?;
        Some((Ok(http_body::Frame::data(line)), events))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn silent() -> Body {
    StreamBody::new(futures_util::stream::pending()).boxed_unsync()
}

/// The pattern and then an error; the length is promised when given.
fn cut(after: u64, promised: Option<u64>) -> Body {
    let pieces = body::pattern(after).into_data_stream();
    let frames = futures_util::stream::StreamExt::chain(
        futures_util::stream::StreamExt::map(pieces, |piece| piece.map(http_body::Frame::data)),
        futures_util::stream::once(async {
            // Lets what came before leave first, so that a reader sees it and then the end.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Err(std::io::Error::other("cut on purpose"))
        }),
    );
    let body = StreamBody::new(frames).boxed_unsync();
    match promised {
        Some(total) => body::of_known_length(body, total),
        None => body,
    }
}

fn trailers() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("0123"));
    trailers.append("x-more", HeaderValue::from_static("a"));
    trailers.append("x-more", HeaderValue::from_static("b"));
    let frames = [
        Ok(http_body::Frame::data(Bytes::from_static(b"body"))),
        Ok(http_body::Frame::trailers(trailers)),
    ];
    let mut response =
        Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(
        header::TRAILER,
        HeaderValue::from_static("x-checksum, x-more"),
    );
    response
}

fn gzip() -> Response<Body> {
    let mut response = Response::new(body::full(GZIPPED));
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
        .headers_mut()
        .insert(header::ETAG, HeaderValue::from_static("\"strong\""));
    response
}

/// Says gzip and is none: whoever decodes on the way is found out.
pub const GZIPPED: &[u8] = b"\x1f\x8b\x08\x00not to be decoded on the way";

fn redirect() -> Response<Body> {
    let mut response = status(StatusCode::FOUND);
    response.headers_mut().insert(
        header::LOCATION,
        HeaderValue::from_static("https://127.0.0.1:1/elsewhere"),
    );
    response
}

pub(super) fn status(status: StatusCode) -> Response<Body> {
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if has_body {
        body::full(status.to_string())
    } else {
        body::empty()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if status == StatusCode::NOT_MODIFIED {
        response
            .headers_mut()
            .insert(header::ETAG, HeaderValue::from_static("\"same\""));
    }
    response
}

fn json_answer(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(body::full(value.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn number(text: &str) -> u64 {
    text.split('/')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("the path ends in a number")
}
