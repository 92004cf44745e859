//! Decides how an HTTP/1 connection is served: hyper parses, `handle.rs` answers, and a 101 turns the connection into two
//! byte streams, or into an agent's WebSocket.
//!
//! Called by `front_door.rs`, which goes on with the WebSocket. Invariant: no byte passes between caller and API server as an
//! upgraded connection before the API server said 101; any other answer to an upgrade is an ordinary one, and the connection goes
//! on as HTTP.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adit_exchange::Upgraded;
use adit_process::{chain, metrics};
use adit_tunnel::StreamError;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::UPGRADE};
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional_with_sizes},
    time::{Instant, timeout, timeout_at},
};

use super::{
    FrontDoor,
    accept::{Http2Io, Io, into_websocket},
    patience::{Busy, Exchange, Patience, Patient},
    tallied::Tallied,
};
use crate::{
    audit::Ended,
    call::{Call, Connection},
    client::{Client, Proxies},
    config::FrontDoorConfig,
    forward::Count,
    handle::{Body, Held},
    metrics::{Direction, NoHead},
};

/// Per direction and upgraded connection, in bytes: exec and port-forward write up to 32 KiB at once.
const COPY_BUFFER: usize = 32 * 1024;

/// hyper panics below it.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Serves the connection to its end, an upgraded one included; but for an agent's WebSocket, inside which it goes on as another.
pub(super) async fn serve(
    io: Io,
    connection: Connection,
    door: Arc<FrontDoor>,
) -> Option<(Http2Io, Connection)> {
    let (io, busy) = Patient::new(
        io,
        Patience {
            idle: connection.config.idle_timeout,
            head: connection.config.head_timeout,
        },
    );
    let upgrade = Mutex::new(None);
    let answering = Answering::default();
    let service =
        service_fn(|request| exchange(request, &connection, &door, &busy, &upgrade, &answering));
    let mut served = builder(&connection.config)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut draining = pin!(door.stop.draining());
    let mut is_draining = false;
    let result = poll_fn(|cx| {
        if !is_draining && draining.as_mut().poll(cx).is_ready() {
            is_draining = true;
            Pin::new(&mut served).graceful_shutdown();
        }
        if let Poll::Ready(result) = Pin::new(&mut served).poll(cx) {
            return Poll::Ready(Some(result));
        }
        answering.poll_cut(cx).map(|()| None)
    })
    .await;
    let Some(result) = result else {
        tracing::debug!(client.addr = %connection.client, "cut an answer that its client did not read");
        return None;
    };
    if let Err(error) = &result {
        note(error, &door);
        tracing::debug!(client.addr = %connection.client, error = %chain(error), "connection ended");
    }
    // An answer that was cut off must look so: no goodbye then.
    let is_whole = result
        .as_ref()
        .map_or_else(hyper::Error::is_parse, |()| true);
    if !is_whole {
        drop(served);
    } else if let Some(parts) = served.into_parts() {
        linger(parts.io.into_inner().into_inner()).await;
    }
    let Pending {
        caller,
        client,
        upgraded,
    } = upgrade.lock().take()?;
    let caller = caller.await.ok()?;
    if let Some(upgraded) = upgraded {
        carry(caller, upgraded, &connection, &door, &busy).await;
        return None;
    }
    let parts = caller.downcast::<TokioIo<Patient<Io>>>().ok()?;
    let io = parts.io.into_inner().into_inner();
    let io = into_websocket(io, parts.read_buf.into()).await;
    // What is said inside, the agent says itself: no proxy adds to it.
    let config = FrontDoorConfig {
        forwarded_for_from: Proxies::default(),
        ..FrontDoorConfig::clone(&connection.config)
    };
    let inside = Connection {
        client,
        config: Arc::new(config),
        ..connection
    };
    Some((io, inside))
}

fn builder(config: &FrontDoorConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The limits on waiting are those of `Patient`, so hyper needs no timer. A client that closes its sending half has
    // left: hyper notices only while `half_close` is off, and a watch would otherwise go on for nobody.
    builder
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(config.max_head_bytes.max(SMALLEST_BUFFER))
        .max_header_size(config.max_head_bytes)
        .max_headers(config.max_fields);
    builder
}

/// Says goodbye and reads on for a moment. A socket that is closed with bytes unread is reset, and the answer that a client has not
/// read yet, such as a refusal while it uploads, is lost with it.
async fn linger(mut io: Io) {
    let mut unread = [0; 4096];
    let rest = async {
        io.shutdown().await?;
        while io.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Whichever way it ends, nobody is left to tell.
    let _ = timeout(LINGER, rest).await;
}

/// A client that has not read its answer and hung up by then is not going to.
const LINGER: Duration = Duration::from_secs(1);

/// Counts heads that never became a request; hyper has answered them with a bare 400 or 431, or hung up.
fn note(error: &hyper::Error, door: &FrontDoor) {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let is_slow = io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut);
    if error.is_parse_too_large() {
        door.handler.metrics.head_refused(NoHead::TooLarge);
    } else if error.is_parse() {
        door.handler.metrics.head_refused(NoHead::Malformed);
    } else if is_slow {
        door.handler.metrics.head_refused(NoHead::Slow);
    }
}

/// An upgrade that was agreed to, while hyper writes our 101.
struct Pending {
    caller: OnUpgrade,
    client: Client,
    /// The API server's end; none where we agreed, to an agent's WebSocket.
    upgraded: Option<(Upgraded, Held)>,
}

async fn exchange(
    mut request: Request<Incoming>,
    connection: &Connection,
    door: &FrontDoor,
    busy: &Busy,
    upgrade: &Mutex<Option<Pending>>,
    answering: &Answering,
) -> Result<Response<Answered>, Infallible> {
    let exchange = busy.begin();
    let caller = request
        .headers()
        .contains_key(UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    let call = Call::new(connection, request.headers(), None);
    let answer = door.handler.answer(request, &call).await;
    let (head, body) = answer.into_parts();
    let mut body = Some(body);
    if head.status == StatusCode::SWITCHING_PROTOCOLS
        && let Some(body) = body.take()
    {
        let is_own = body.is_own();
        let upgraded = body.into_upgraded();
        let agreed = caller.filter(|_| is_own || upgraded.is_some());
        *upgrade.lock() = agreed.map(|caller| Pending {
            caller,
            client: call.client,
            upgraded,
        });
    }
    let answered = Answered {
        body: answering.begin(body),
        _busy: exchange,
    };
    Ok(Response::from_parts(head, answered))
}

/// Copies both ways until both ended; a failure on one side ends the other as a failure, too.
/// It is no idle connection however long nobody says a word: a shell waits for its user.
async fn carry(
    caller: hyper::upgrade::Upgraded,
    (mut upgraded, mut held): (Upgraded, Held),
    connection: &Connection,
    door: &FrontDoor,
    busy: &Busy,
) {
    let _busy = busy.begin();
    let _counted = metrics::Held::one(&door.handler.metrics.upgraded);
    let cut = cut(upgraded.failure(), held.hold.ends());
    let streaming = &held.hold.streaming;
    let read = Count::of(streaming.bytes(Direction::Request))
        .also(held.entry.request_bytes())
        .also(held.hold.request_bytes());
    let written = Count::of(streaming.bytes(Direction::Answer))
        .also(held.entry.answer_bytes())
        .also(held.hold.answer_bytes());
    let mut caller = Tallied::new(TokioIo::new(caller), read, written);
    let copied = tokio::select! {
        biased;
        copied = copy_bidirectional_with_sizes(&mut caller, &mut upgraded, COPY_BUFFER, COPY_BUFFER) => copied.map(drop),
        cut = cut => Err(cut),
    };
    held.entry.ended(ended(&copied));
    if let Err(error) = copied {
        tracing::debug!(client.addr = %connection.client, error = %chain(&error), "upgraded connection broke off");
    }
}

/// What an upgraded connection ends with that this end cut.
const CUT: io::ErrorKind = io::ErrorKind::ConnectionAborted;

fn ended(copied: &io::Result<()>) -> Ended {
    let Err(error) = copied else {
        return Ended::Answered;
    };
    let of_stream = error.get_ref().and_then(|inner| inner.downcast_ref());
    match of_stream.map(Ended::of) {
        Some(ended) => ended,
        None if error.kind() == CUT => Ended::with_its_permit(),
        None => Ended::Cancelled,
    }
}

/// Resolves when nothing more may be copied, whether or not the caller reads: this end cut the stream, or the permit has ended. What
/// an agent sent before it broke off is still the caller's to read.
async fn cut(failure: impl Future<Output = StreamError>, ends: Option<Instant>) -> io::Error {
    let cut = async {
        match failure.await {
            cut @ StreamError::Cut { .. } => io::Error::new(CUT, cut),
            StreamError::Reset { .. } | StreamError::SessionEnded(_) => pending().await,
        }
    };
    // Past it, whichever comes first is as good.
    match ends {
        Some(ends) => timeout_at(ends, cut).await.unwrap_or_else(|_| CUT.into()),
        None => cut.await,
    }
}

/// The answer that is being sent: hyper reads it, and not while the client takes nothing, when only the connection's own task can
/// see that its time is over.
#[derive(Clone, Default)]
struct Answering(Arc<Mutex<Option<Body>>>);

impl Answering {
    fn begin(&self, body: Option<Body>) -> Self {
        *self.0.lock() = body;
        self.clone()
    }

    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.0.lock() {
            Some(body) => body.poll_cut(cx),
            None => Poll::Pending,
        }
    }
}

/// An answer's body, during which the connection is busy; none after a 101, which has no body.
struct Answered {
    body: Answering,
    _busy: Exchange,
}

impl Drop for Answered {
    fn drop(&mut self) {
        let body = self.body.0.lock().take();
        drop(body);
    }
}

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut *self.body.0.lock() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .0
            .lock()
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .0
            .lock()
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}
