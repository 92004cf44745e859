//! An agent made of `adit-tunnel` and `adit-exchange` that answers by itself.
//!
//! | Path | Answer |
//! |---|---|
//! | `/watch` | an event, and then nothing; never ends |
//! | `/endless` | as much as the relay takes |
//! | `/large` | 100 KiB |
//! | `/slow` | an echo, after [`Agent::release`] |
//! | `/broken` | half a body, and after [`Agent::release`] a failure |
//! | `/hint` | 103 before an echo |
//! | `/fields` | an echo with 60 header fields |
//! | `/status/<code>` | that status, with a body for 403 only |
//! | `/exec` | 101; sends bytes back, and words of its own at the end |
//! | `/flood` | 101; writes as much as the relay takes |
//! | anything else | an echo of the request |

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use adit_exchange::{Asked, HeadLimits, answer, informational, switch};
use adit_identity::ActAs;
use adit_tunnel::{CloseReason, Driver, ResetReason, Tunnel, TunnelStream};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinSet,
};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    tunnel: Tunnel,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    begun: Notify,
    cancelled: Notify,
    released: Notify,
    refuses: AtomicBool,
}

impl Agent {
    pub(super) fn run(tunnel: Tunnel, driver: Driver) -> Self {
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            driver.await;
        });
        let (accepting, telling) = (tunnel.clone(), Arc::clone(&seen));
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Some((stream, head)) = accepting.accept().await {
                streams.spawn(serve(Arc::new(stream), head, Arc::clone(&telling)));
            }
        });
        Self {
            tunnel,
            seen,
            _tasks: tasks,
        }
    }

    /// Waits for a request for `/watch` or `/slow`.
    pub(crate) async fn begun(&self) {
        self.seen.begun.notified().await;
    }

    /// Waits for the end of a watch.
    pub(crate) async fn cancelled(&self) {
        self.seen.cancelled.notified().await;
    }

    pub(crate) async fn told_to_drain(&self) {
        self.tunnel.draining().await;
    }

    /// Streams that run.
    pub(crate) fn open(&self) -> usize {
        self.tunnel.stats().streams
    }

    pub(crate) fn release(&self) {
        self.seen.released.notify_one();
    }

    pub(crate) fn refuse_everything(&self) {
        self.seen.refuses.store(true, Ordering::Relaxed);
    }

    /// Goes away.
    pub(crate) async fn stop(self) {
        self.tunnel.close(CloseReason::Stopping, "the test says so");
        self.tunnel.closed().await;
    }
}

async fn serve(stream: Arc<TunnelStream>, head: Bytes, seen: Arc<Seen>) {
    if seen.refuses.load(Ordering::Relaxed) {
        return stream.reset(ResetReason::Refused, "not today");
    }
    let asked = Asked::read(&head, HeadLimits::default()).unwrap();
    let path = asked.target.path().to_owned();
    match path.as_str() {
        "/exec" => return exec(&stream).await,
        "/flood" => return flood(&stream).await,
        "/watch" | "/slow" => seen.begun.notify_one(),
        "/hint" => hint(&stream),
        _ => {}
    }
    if path == "/slow" {
        seen.released.notified().await;
    }
    let body = match path.as_str() {
        "/watch" => watch(),
        "/endless" => endless(),
        "/large" => full(vec![b'x'; 100 << 10]),
        "/broken" => broken(Arc::clone(&seen)),
        _ => echo(&asked, &stream).await,
    };
    let mut response = Response::new(body);
    if path == "/fields" {
        *response.headers_mut() = sixty_fields();
    }
    if let Some(status) = path.strip_prefix("/status/") {
        *response.status_mut() = status.parse().unwrap();
    }
    let has_status = path.starts_with("/status/") && response.status() != StatusCode::FORBIDDEN;
    if asked.method == "HEAD" || has_status {
        *response.body_mut() = full(Vec::new());
    }
    // The client may have left.
    let _ = answer(&stream, response, None).await;
    if path == "/watch" {
        seen.cancelled.notify_one();
    }
}

async fn echo(asked: &Asked, stream: &Arc<TunnelStream>) -> Body {
    let ActAs::Impersonate(user) = &asked.act_as else {
        panic!("nobody to act as")
    };
    let mut text = format!("{} {} as {}: ", asked.method, asked.target, user.user()).into_bytes();
    let sent = asked
        .body(stream)
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    text.extend_from_slice(&sent);
    let trailers =
        HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(sent.len()))]);
    frames(stream::iter([
        Ok(Frame::data(Bytes::from(text))),
        Ok(Frame::trailers(trailers)),
    ]))
}

fn frames(frames: impl stream::Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static) -> Body {
    UnsyncBoxBody::new(StreamBody::new(frames))
}

fn full(bytes: Vec<u8>) -> Body {
    UnsyncBoxBody::new(Full::from(bytes).map_err(|never: Infallible| match never {}))
}

fn data(bytes: &'static [u8]) -> io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from_static(bytes)))
}

fn watch() -> Body {
    frames(stream::iter([data(b"event")]).chain(stream::pending()))
}

fn endless() -> Body {
    frames(stream::repeat_with(|| data(&[b'x'; 64 << 10])))
}

fn broken(seen: Arc<Seen>) -> Body {
    let failure = stream::once(async move {
        seen.released.notified().await;
        Err(io::Error::other("gone"))
    });
    frames(stream::iter([data(b"half of it")]).chain(failure))
}

fn sixty_fields() -> HeaderMap {
    let field = |at| {
        let name = format!("x-{at}").parse().unwrap();
        (name, HeaderValue::try_from("x".repeat(200)).unwrap())
    };
    (0..60).map(field).collect()
}

fn hint(stream: &Arc<TunnelStream>) {
    let link = fields(&[("link", "</style.css>")]);
    informational(stream, StatusCode::EARLY_HINTS, &link).unwrap();
}

fn fields(fields: &[(&str, &'static str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

async fn flood(stream: &Arc<TunnelStream>) {
    let mut upgraded = switch(stream, &fields(&[("upgrade", "tcp")]), None).unwrap();
    while upgraded.write_all(&[b'x'; 32 << 10]).await.is_ok() {}
}

async fn exec(stream: &Arc<TunnelStream>) {
    let fields = fields(&[("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4")]);
    let mut upgraded = switch(stream, &fields, None).unwrap();
    let mut buffer = [0; 1024];
    loop {
        match upgraded.read(&mut buffer).await.unwrap() {
            0 => break,
            n => upgraded.write_all(&buffer[..n]).await.unwrap(),
        }
    }
    upgraded.write_all(b", and bye").await.unwrap();
    upgraded.shutdown().await.unwrap();
}
