//! Decides how one HTTP/2 connection to the API server is used: how many requests it carries, whether its peer is alive
//! and how far away, when it takes no more. [`super::pool`] opens connections and drives them; [`exchange`] runs one request.
//! Invariant: a request is put only onto a connection that has room for it, so none waits unseen inside the library.

pub(crate) mod ahead;
pub(crate) mod exchange;
pub(crate) mod upload;
pub(crate) mod window;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use self::window::{Share, Window};
use adit_tunnel::Distance;
use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::config::PoolLimits;
use crate::kube::CallError;
use crate::metrics::Loss;

/// A connection that requests can be put onto. Its driver runs apart and holds only the load.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    load: Arc<Load>,
    max_streams: usize,
    window: Window,
}

/// What a connection carries, seen by those who use it and by its driver.
#[derive(Debug)]
pub(crate) struct Load {
    opened: Instant,
    distance: Mutex<Distance>,
    streams: AtomicUsize,
    is_retired: AtomicBool,
    loss: OnceLock<Loss>,
}

/// Room for one request on a connection, as long as it lives.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Arc<Connection>,
    /// Given back after what was received of the answer.
    share: Option<Share>,
}

/// Begins HTTP/2 and waits until the API server has said how many requests it takes at once.
///
/// # Errors
/// HTTP/2's. Never ends if the peer says nothing: give it a deadline.
pub(crate) async fn open<IO>(
    io: IO,
    limits: PoolLimits,
    window: Window,
) -> Result<(Connection, client::Connection<IO>), h2::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (requests, mut connection) = builder(window).handshake(io).await?;
    poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.and(Err(h2::Reason::NO_ERROR.into())));
        }
        if connection.max_concurrent_send_streams() > 0 {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await?;
    let most_streams = (CONNECTION_WINDOW / window.bytes()) as usize;
    let max_streams = limits.max_streams_per_connection.min(most_streams);
    Ok((
        Connection {
            requests,
            load: Arc::new(Load::new()),
            max_streams,
            window,
        },
        connection,
    ))
}

fn builder(window: Window) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(window.bytes())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        // Until the peer's SETTINGS have come nothing is sent; see `open`.
        .initial_max_send_streams(0)
        // Callers leave all the time, with answers under way: that is no sign of an attack by the API server.
        .max_concurrent_reset_streams(1024)
        .max_local_error_reset_streams(None)
        .enable_push(false);
    builder
}

impl Connection {
    /// Room for one more request, unless it is full or takes no more.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let max = self
            .max_streams
            .min(self.requests.current_max_send_streams());
        let streams = &self.load.streams;
        if streams.fetch_add(1, Ordering::AcqRel) >= max || self.load.is_retired() {
            streams.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Lease {
            connection: Arc::clone(self),
            share: None,
        })
    }

    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// What each of its answers may be ahead.
    pub(crate) const fn window(&self) -> Window {
        self.window
    }
}

impl Load {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            distance: Mutex::default(),
            streams: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            loss: OnceLock::new(),
        }
    }

    /// Since it was opened.
    pub(crate) fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn measured(&self, round_trip: Duration) {
        self.distance.lock().measured(round_trip, self.now());
    }

    /// How far away the API server is. Others wait while this is kept.
    pub(crate) fn distance(&self) -> MutexGuard<'_, Distance> {
        self.distance.lock()
    }

    /// Takes no more requests; those that run go on.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// Why it ended, once it has.
    pub(crate) fn loss(&self) -> Option<Loss> {
        self.loss.get().copied()
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }
}

impl Lease {
    /// Keeps the window that the answer was given, which is as wide as the connection's or wider.
    pub(crate) fn with(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// Puts the request onto the connection.
    ///
    /// # Errors
    /// The connection takes no more, and nothing was sent; or the request is none that HTTP/2 can carry.
    pub(crate) async fn send(
        &self,
        request: Request<()>,
        is_end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), CallError> {
        let mut requests = self.connection.requests.clone();
        if let Err(error) = poll_fn(|cx| requests.poll_ready(cx)).await {
            self.connection.load.retire();
            return Err(CallError::NotTaken(Arc::new(error)));
        }
        let sent = requests.send_request(request, is_end);
        sent.map_err(|error| CallError::Refused(Arc::new(error)))
    }

    pub(crate) fn load(&self) -> &Load {
        &self.connection.load
    }

    pub(crate) fn window(&self) -> Window {
        self.connection.window
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.load.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Moves the connection's bytes until it ends, and says why. Dropping it ends every request on it.
pub(crate) async fn drive<IO>(
    mut connection: client::Connection<IO>,
    load: Arc<Load>,
    limits: PoolLimits,
) -> Loss
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let ping_pong = connection.ping_pong();
    let loss = tokio::select! {
        biased;
        ended = &mut connection => if ended.is_ok() { Loss::Closed } else { Loss::Broken },
        loss = watch(ping_pong, &load, limits) => loss,
    };
    load.retire();
    // Before the connection is dropped, which wakes those who ask for it.
    let _: Result<(), Loss> = load.loss.set(loss);
    loss
}

/// Ends when the connection is dead, or of no more use.
async fn watch(ping_pong: Option<PingPong>, load: &Load, limits: PoolLimits) -> Loss {
    // It can be taken once, and nobody else does.
    let Some(mut ping_pong) = ping_pong else {
        return std::future::pending().await;
    };
    // The first ping goes out at once, to measure the path for the first answers; the silence before it does not count yet.
    let mut patience = limits.dead_after;
    let mut idle = Duration::ZERO;
    loop {
        let asked = Instant::now();
        match tokio::time::timeout(patience, ping_pong.ping(Ping::opaque())).await {
            Ok(Ok(_)) => load.measured(asked.elapsed()),
            Ok(Err(_)) => return Loss::Broken,
            Err(_) => return Loss::Silent,
        }
        patience = limits.dead_after.saturating_sub(limits.ping_interval);
        tokio::time::sleep(limits.ping_interval).await;
        idle = if load.streams() == 0 {
            idle + limits.ping_interval
        } else {
            Duration::ZERO
        };
        if idle >= limits.idle_after {
            load.retire();
        }
        // Asked after retiring: whoever got in before is counted, and nobody gets in after.
        if load.is_retired() && load.streams() == 0 {
            return Loss::Idle;
        }
    }
}

/// So large that it never is the limit: every stream's window fits at once. Were it smaller, a few readers that stopped would
/// fill it with what they leave unread, and no other answer on the connection would get a byte.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// 64 KiB against the default of 16 KiB carries half as much again per CPU second.
const MAX_FRAME_BYTES: u32 = 64 << 10;
/// Past it an answer's head would not fit into a tunnel anyway.
const MAX_HEAD_BYTES: u32 = 256 << 10;
/// Bytes of one request's body that wait here for the wire.
const SEND_BUFFER_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests;
