//! Decides how an HTTP/2 connection is served: one task polls the connection and all its streams, without a spawn or a
//! channel for each. A stream is a client's exchange or an agent's tunnel; one connection may carry both.
//!
//! Called by `front_door.rs`. Invariant: when the connection or a stream ends early, the futures that served it are
//! dropped, and that cancels their exchanges; an answer that breaks off ends in RST_STREAM, never in END_STREAM.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use adit_process::{
    chain,
    net::{Cork, Corked, cork},
};
use adit_tunnel::{MAX_FRAME_BYTES, SEND_BUFFER_BYTES, SendBuf, WINDOW};
use futures_util::{FutureExt as _, Stream as _, stream::FuturesUnordered};
use h2::{
    Reason, RecvStream,
    server::{Connection as Http2, SendResponse},
};
use http::Request;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::{FrontDoor, accept::Http2Io};
use crate::{
    agents::{Admitted, Arrival, Wish},
    call::Connection,
    config::FrontDoorConfig,
    metrics::{NoConnection, NoHandshake},
};

mod answer;
mod body;
mod hasty;

use hasty::Hasty;

/// Requests taken in before the streams have their turn, so that a flood of opens does not starve those that run.
const ACCEPTS_PER_TURN: usize = 64;

/// Serves the connection to its end.
pub(super) async fn serve(io: Http2Io, connection: Connection, door: Arc<FrontDoor>) {
    let connection = Arc::new(connection);
    // Boxed, or every connection kept room for its handshake.
    let Some((http2, cork)) = Box::pin(shake_hands(io, &connection, &door)).await else {
        return;
    };
    let has_tunnel = Arc::<AtomicBool>::default();
    let open = |request, respond, arrival| {
        stream(
            request,
            respond,
            arrival,
            On {
                connection: Arc::clone(&connection),
                door: Arc::clone(&door),
                has_tunnel: Arc::clone(&has_tunnel),
            },
        )
    };
    let mut draining = std::pin::pin!(door.stop.draining());
    let mut is_draining = false;
    let mut served = Served::new(http2, &door, &connection, &has_tunnel);
    let result = std::future::poll_fn(|cx| {
        if !is_draining && draining.as_mut().poll(cx).is_ready() {
            is_draining = true;
            served.http2.graceful_shutdown();
        }
        served.poll(cx, &open)
    });
    if let Err(error) = cork.run(result).await {
        served.note_calmed(&error);
        ended(&connection, &error);
    }
}

/// HTTP/2's own handshake.
async fn shake_hands(
    io: Http2Io,
    connection: &Connection,
    door: &FrontDoor,
) -> Option<(Http2<Corked<Http2Io>, SendBuf>, Cork<Http2Io>)> {
    let (io, cork) = cork(io);
    let handshake = cork.run(builder(&connection.config).handshake::<_, SendBuf>(io));
    match timeout(connection.config.head_timeout, handshake).await {
        Ok(Ok(http2)) => Some((http2, cork)),
        Ok(Err(error)) => {
            ended(connection, &error);
            None
        }
        Err(_) => {
            let metrics = &door.handler.metrics;
            metrics.handshake_failed(NoHandshake::Http2TimedOut);
            None
        }
    }
}

/// One set of settings for clients and agents, because they are sent before the first request tells which it is: frames
/// of 64 KiB for the tunnel's batches, windows for a client's uploads, which may pile up here when the agent does not
/// take them. [`WINDOW`] follows when it is a tunnel. What a stream has queued here a tunnel's small frames wait behind: so it is no
/// more than a tunnel itself has.
fn builder(config: &FrontDoorConfig) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_frame_size(MAX_FRAME_BYTES)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(config.max_streams_per_connection)
        .max_header_list_size(u32::try_from(config.max_head_bytes).unwrap_or(u32::MAX));
    builder
}

fn ended(connection: &Connection, error: &h2::Error) {
    tracing::debug!(client.addr = %connection.client, error = %chain(error), "connection ended");
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Its answer was sent whole, or broke off on the way.
    Answered,
    /// The client took the request back before there was an answer.
    TakenBack,
    /// It was a tunnel.
    Tunnel,
}

/// What happens on a stream, to its end. Boxed, or each connection had room for the largest twice: for its tunnel, and in the stream that
/// `FuturesUnordered` keeps empty.
type Serving = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Everything that happens on one stream.
fn stream(
    request: Request<RecvStream>,
    respond: SendResponse<SendBuf>,
    arrival: Arrival,
    on: On,
) -> Serving {
    match arrival {
        Arrival::Exchange => {
            let exchange = answer::exchange(on.door, on.connection, request, respond);
            Box::pin(exchange)
        }
        Arrival::Denied(denied) => {
            let client = on.connection.client_of(request.headers());
            on.door.agents.deny(denied, client, respond);
            Box::pin(ready(Ended::Answered))
        }
        Arrival::Agent(agent, wish) => {
            let agent = Admitted::listed(agent, on.connection.shown.clone());
            admitted(agent, wish, request, respond, on)
        }
        Arrival::Unknown(wish) => Box::pin(unknown(wish, Box::new(request), respond, on)),
    }
}

/// A call of an agent that may have its wish. A future of its own: it lasts, and what was needed before does not.
fn admitted(
    agent: Admitted,
    wish: Wish,
    request: Request<RecvStream>,
    respond: SendResponse<SendBuf>,
    on: On,
) -> Serving {
    let client = on.connection.client_of(request.headers());
    let agents = Arc::clone(&on.door.agents);
    match wish {
        Wish::Tunnel => {
            on.has_tunnel.store(true, Ordering::Relaxed);
            let served = agents.serve(agent, request, respond, client);
            Box::pin(served.map(|()| Ended::Tunnel))
        }
        Wish::Pushes => Box::pin(async move {
            agents.follow(agent, request, respond, client).await;
            Ended::Answered
        }),
    }
}

/// A call of an agent that GitLab may know. The head is boxed, or there was room for it as long as the tunnel lives.
async fn unknown(
    wish: Wish,
    request: Box<Request<RecvStream>>,
    respond: SendResponse<SendBuf>,
    on: On,
) -> Ended {
    let client = on.connection.client_of(request.headers());
    let shown = on.connection.shown.clone();
    let agents = &on.door.agents;
    let asking = agents.ask_gitlab(request.headers(), wish, client.ip, shown);
    match Box::pin(asking).await {
        Ok(agent) => admitted(agent, wish, *request, respond, on).await,
        Err(denied) => {
            agents.deny(denied, client, respond);
            Ended::Answered
        }
    }
}

/// What a stream needs beside itself.
struct On {
    connection: Arc<Connection>,
    door: Arc<FrontDoor>,
    /// Set by a stream that turns out to be a tunnel.
    has_tunnel: Arc<AtomicBool>,
}

/// A connection and its streams.
struct Served<'a> {
    http2: Http2<Corked<Http2Io>, SendBuf>,
    streams: FuturesUnordered<Serving>,
    door: &'a FrontDoor,
    connection: &'a Connection,
    /// `None` once it was too many.
    hasty: Option<Hasty>,
    has_tunnel: &'a AtomicBool,
    windows: Windows,
    idle: Option<Pin<Box<Sleep>>>,
}

/// Whether the connection has the windows of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Windows {
    /// Those of clients.
    Small,
    /// A tunnel was opened; the peer has not acknowledged our first settings yet, and h2 sends one at a time.
    Wanted,
    /// Those of tunnels.
    Large,
}

impl<'a> Served<'a> {
    fn new(
        http2: Http2<Corked<Http2Io>, SendBuf>,
        door: &'a FrontDoor,
        connection: &'a Connection,
        has_tunnel: &'a AtomicBool,
    ) -> Self {
        Self {
            http2,
            streams: FuturesUnordered::new(),
            door,
            connection,
            hasty: Some(Hasty::new(
                connection.config.max_cancels_per_second,
                Instant::now(),
            )),
            has_tunnel,
            windows: Windows::Small,
            idle: None,
        }
    }

    /// Ready when the connection is over. Streams first, so that what they sent leaves in the same turn.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        open: &impl Fn(Request<RecvStream>, SendResponse<SendBuf>, Arrival) -> Serving,
    ) -> Poll<Result<(), h2::Error>> {
        loop {
            while let Poll::Ready(Some(ended)) = Pin::new(&mut self.streams).poll_next(cx) {
                self.note(ended);
            }
            let mut accepted = 0;
            while accepted < ACCEPTS_PER_TURN {
                match self.http2.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        let arrival = self.door.agents.sort(&request, self.connection);
                        self.streams.push(open(request, respond, arrival));
                        self.note_full();
                        accepted += 1;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => break,
                }
            }
            // Last, when what the peer sent is read: it must have agreed to the windows of before.
            if accepted == 0 && !self.widen() {
                self.poll_idle(cx);
                return Poll::Pending;
            }
        }
    }

    /// Gives a tunnel its windows. Whether there is something new to send because of that.
    fn widen(&mut self) -> bool {
        let before = self.windows;
        if self.windows == Windows::Small && self.has_tunnel.load(Ordering::Relaxed) {
            self.http2.set_target_window_size(WINDOW);
            self.windows = Windows::Wanted;
        }
        if self.windows == Windows::Wanted && self.http2.set_initial_window_size(WINDOW).is_ok() {
            self.windows = Windows::Large;
        }
        self.windows != before
    }

    /// h2 tells nobody when it turns streams away, and clients wait by themselves: reaching the limit is what can be seen of it.
    fn note_full(&self) {
        let most = usize::try_from(self.connection.config.max_streams_per_connection);
        if most == Ok(self.streams.len()) {
            self.door.handler.metrics.connections_full.inc();
        }
    }

    fn note(&mut self, ended: Ended) {
        if ended == Ended::TakenBack
            && let Some(hasty) = &mut self.hasty
            && hasty.is_too_many(Instant::now())
        {
            self.hasty = None;
            self.door
                .handler
                .metrics
                .connection_refused(NoConnection::Hasty);
            self.http2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Requests that were taken back before we came round to them h2 counts itself.
    fn note_calmed(&self, error: &h2::Error) {
        let is_calmed = !error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
        if is_calmed && self.hasty.is_some() {
            self.door
                .handler
                .metrics
                .connection_refused(NoConnection::Hasty);
        }
    }

    /// Says goodbye to a connection that has had no stream for long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) {
        if !self.streams.is_empty() {
            self.idle = None;
            return;
        }
        let until = || {
            Box::pin(sleep_until(
                Instant::now() + self.connection.config.idle_timeout,
            ))
        };
        if self
            .idle
            .get_or_insert_with(until)
            .as_mut()
            .poll(cx)
            .is_ready()
        {
            self.idle = None;
            self.http2.graceful_shutdown();
            cx.waker().wake_by_ref();
        }
    }
}
