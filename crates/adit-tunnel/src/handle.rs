//! The handle to a live session: cheap to clone, usable from any thread. Every call takes the session's lock for some tens of
//! nanoseconds and wakes whoever is due after letting go of it.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adit_mux::{Moment, OpenError, RequestBody, Session, SessionError};
use adit_proto::tunnel::{CloseReason, ResetReason};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::stream::TunnelStream;

/// A live relation between one replica of an agent and one relay.
#[derive(Clone, Debug)]
pub struct Tunnel {
    pub(crate) shared: Arc<Shared>,
}

/// The session and its clock.
#[derive(Debug)]
pub(crate) struct Shared {
    session: Mutex<Session>,
    origin: Instant,
}

impl Shared {
    pub(crate) fn new(session: Session, origin: Instant) -> Arc<Self> {
        Arc::new(Self {
            session: Mutex::new(session),
            origin,
        })
    }

    /// Does something with the session, then wakes whoever that made ready.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.session.lock();
        let outcome = act(&mut session);
        let wakes = session.take_wakes();
        drop(session);
        for waker in wakes {
            waker.wake();
        }
        outcome
    }

    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        instant.saturating_duration_since(self.origin)
    }

    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment
    }

    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Arc<SessionError>> {
        self.with(|session| match session.end() {
            Some(error) => Poll::Ready(Arc::clone(error)),
            None => {
                session.watch(cx);
                Poll::Pending
            }
        })
    }
}

/// On what terms a stream runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// When it is cut, with [`ResetReason::PermitEnded`]; to a quarter of a second.
    pub deadline: Option<Instant>,
    /// On whose behalf; see [`Tunnel::end_streams`].
    pub owner: u64,
}

/// What the peer said of itself. For logs and status pages: nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The session's id, in hexadecimal: the same in both sides' logs.
    pub session: String,
    /// The program's version.
    pub version: String,
    /// Which process.
    pub replica: String,
    /// Its API server's version, when it knows.
    pub kubernetes_version: String,
    /// Whose tunnel it is, as the relay knows the agent; empty on the relay's side.
    pub agent: String,
}

/// As logs and status pages have it.
pub(crate) fn hexadecimal(session_id: &[u8]) -> String {
    let digits = |byte: &u8| format!("{byte:02x}");
    session_id.iter().map(digits).collect()
}

/// Numbers for metrics and status pages, at one moment.
pub type Stats = adit_mux::Stats;

impl Tunnel {
    /// Opens a stream; its head goes out with the next batch, there is no round trip to wait for. The relay's side only.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing was sent, and another tunnel may be tried.
    pub fn open(
        &self,
        head: Bytes,
        body: RequestBody,
        terms: Terms,
    ) -> Result<TunnelStream, OpenError> {
        let deadline = terms.deadline.map(|deadline| self.shared.moment(deadline));
        let terms = adit_mux::Terms {
            deadline,
            owner: terms.owner,
        };
        let now = self.shared.moment(Instant::now());
        let id = self.shared.with(|session| {
            // The peer's patience comes back with time, also when nothing was heard or sent meanwhile.
            session.advance(now);
            session.open(head, body, terms)
        })?;
        Ok(TunnelStream::new(Arc::clone(&self.shared), id))
    }

    /// The next stream that the peer opened, and its `open` bytes; `None` once the session is over. Cancel-safe.
    pub async fn accept(&self) -> Option<(TunnelStream, Bytes)> {
        let accepted = poll_fn(|cx| self.shared.with(|session| session.poll_accept(cx))).await?;
        Some((
            TunnelStream::new(Arc::clone(&self.shared), accepted.id),
            accepted.head,
        ))
    }

    /// Tells the peer that this session should end: nothing new is opened on it, running streams go on.
    pub fn drain(&self, message: &str) {
        self.shared.with(|session| session.drain(message));
    }

    /// Ends the session now; every stream fails.
    pub fn close(&self, reason: CloseReason, message: &str) {
        let error = SessionError::Closed {
            reason,
            message: message.to_owned(),
        };
        self.shared.with(|session| session.close(error));
    }

    /// Waits until the session is over, and says why. Cancel-safe.
    pub async fn closed(&self) -> Arc<SessionError> {
        poll_fn(|cx| self.shared.poll_closed(cx)).await
    }

    /// Waits until either side wants the session to end, or it is over. Cancel-safe.
    pub async fn draining(&self) {
        self.until(|session| session.is_draining() || session.end().is_some())
            .await;
    }

    /// Waits until a drain has nothing left to wait for: no stream runs, or the session is over. Cancel-safe.
    pub async fn drained(&self) {
        self.until(|session| session.is_drained() || session.end().is_some())
            .await;
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub fn end(&self) -> Option<Arc<SessionError>> {
        self.shared.with(|session| session.end().cloned())
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.with(|session| session.end().is_some())
    }

    /// Whether either side wants the session to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.with(|session| session.is_draining())
    }

    /// Whether a stream may be opened, limits apart: the session is neither over nor about to end.
    #[must_use]
    pub fn takes_streams(&self) -> bool {
        self.shared
            .with(|session| session.end().is_none() && !session.is_draining())
    }

    /// What the peer said of itself.
    #[must_use]
    pub fn peer(&self) -> Peer {
        let peer = self.shared.with(|session| session.peer().clone());
        Peer {
            session: hexadecimal(&peer.session_id),
            version: peer.about.version,
            replica: peer.about.replica,
            kubernetes_version: peer.about.kubernetes_version,
            agent: peer.about.agent,
        }
    }

    /// Numbers for metrics and status pages.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.with(|session| session.stats())
    }

    /// The least round trip of the last pings.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.stats().round_trip
    }

    /// Resets all streams that were opened on behalf of `owner`, and says how many that were.
    pub fn end_streams(&self, owner: u64, reason: ResetReason, message: &str) -> usize {
        self.shared
            .with(|session| session.end_streams(owner, reason, message))
    }

    async fn until(&self, is_so: impl Fn(&Session) -> bool) {
        poll_fn(|cx| {
            self.shared.with(|session| {
                if is_so(session) {
                    return Poll::Ready(());
                }
                session.watch(cx);
                Poll::Pending
            })
        })
        .await;
    }
}
