//! The one owner of a tunnel's wire: reads what arrived into the session, writes what the session has due, keeps its time.
//!
//! Called by `serve` and `connect`. One turn does all that can be done without waiting, so that what became ready together leaves
//! together, in one gRPC message, in one DATA frame where it fits.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use adit_mux::{Batch, SessionError};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, Sleep};

use crate::{
    MAX_FRAME_BYTES, SEND_BUFFER_BYTES,
    frame_log::{self, FrameLog},
    framing::{Deframer, PREFIX_BYTES, prefix},
    handle::Shared,
    send_buf::SendBuf,
};

/// Moves a tunnel's bytes; ends with the reason the session ended. Dropping it ends the session.
pub type Driver = Pin<Box<dyn Future<Output = Arc<SessionError>> + Send>>;

/// One gRPC stream with a session over it.
#[derive(Debug)]
pub(crate) struct Lane {
    shared: Arc<Shared>,
    recv: RecvStream,
    send: SendStream<SendBuf>,
    role: Role,
    deframer: Deframer,
    log: FrameLog,
    alarm: Pin<Box<Sleep>>,
    /// Why the session ended, while its last words are on their way.
    parting: Option<Arc<SessionError>>,
}

/// Who ends the call, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

impl Lane {
    pub(crate) fn new(
        shared: Arc<Shared>,
        recv: RecvStream,
        send: SendStream<SendBuf>,
        role: Role,
    ) -> Self {
        let due = shared
            .with(|session| session.next_timeout())
            .map(|moment| shared.instant(moment));
        let alarm = Box::pin(tokio::time::sleep_until(due.unwrap_or_else(Instant::now)));
        Self {
            shared,
            recv,
            send,
            role,
            deframer: Deframer::default(),
            log: FrameLog::default(),
            alarm,
            parting: None,
        }
    }

    /// Does all that can be done now; ready once the session is over and the peer has heard its last words.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Arc<SessionError>> {
        if self.parting.is_none() {
            self.read(cx);
            self.keep_time(cx);
            self.write(cx);
            let error = ready!(self.shared.poll_closed(cx));
            self.say_goodbye(&error, cx);
            self.alarm.as_mut().reset(Instant::now() + PARTING);
            self.parting = Some(error);
        }
        self.poll_parted(cx)
    }

    /// Dropping the call now would take back what HTTP/2 has not written yet: waits until the peer has ended its half too.
    fn poll_parted(&mut self, cx: &mut Context<'_>) -> Poll<Arc<SessionError>> {
        let error = self
            .parting
            .clone()
            .unwrap_or_else(|| Arc::new(SessionError::Transport("the call is over".into())));
        if is_abrupt(&error) || self.alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(error);
        }
        while let Some(Ok(chunk)) = ready!(self.recv.poll_data(cx)) {
            let _ = self.recv.flow_control().release_capacity(chunk.len());
        }
        Poll::Ready(error)
    }

    fn read(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(arrived) = self.recv.poll_data(cx) {
            let error = match arrived {
                Some(Ok(chunk)) => match self.feed(chunk) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Some(Err(error)) => SessionError::Transport(error.to_string()),
                None => SessionError::Transport("the peer ended the call".into()),
            };
            return self.shared.with(|session| session.close(error));
        }
    }

    fn feed(&mut self, mut chunk: bytes::Bytes) -> Result<(), SessionError> {
        // At once: credit is the session's business, see the crate's documentation. It fails only when the stream is gone, which
        // the next read says better.
        let _ = self.recv.flow_control().release_capacity(chunk.len());
        let now = self.shared.moment(Instant::now());
        let Self {
            shared,
            deframer,
            log,
            ..
        } = self;
        shared.with(|session| {
            while let Some(piece) = deframer.next(&mut chunk)? {
                log.came(&piece, session);
                session.receive(piece.bytes, now);
                if piece.is_last {
                    session.end_of_message();
                }
            }
            Ok(())
        })
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        loop {
            match self.poll_capacity(cx) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => return self.shared.with(|session| session.close(error)),
                Poll::Ready(Ok(capacity)) => {
                    let Some(batch) = self.pull(capacity, cx) else {
                        return;
                    };
                    if let Err(error) = self.send.send_data(batch.into(), false) {
                        let error = SessionError::Transport(error.to_string());
                        return self.shared.with(|session| session.close(error));
                    }
                }
            }
        }
    }

    /// Waits until HTTP/2 has room for something worth sending.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, SessionError>> {
        loop {
            self.send.reserve_capacity(SEND_BUFFER_BYTES);
            let capacity = self.send.capacity();
            if capacity >= MIN_BATCH_BYTES {
                return Poll::Ready(Ok(capacity));
            }
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Poll::Ready(Err(SessionError::Transport(error.to_string())));
                }
                None => {
                    return Poll::Ready(Err(SessionError::Transport("the call is over".into())));
                }
            }
        }
    }

    fn pull(&self, capacity: usize, cx: &Context<'_>) -> Option<Batch> {
        let max = capacity.min(MAX_FRAME_BYTES as usize) - PREFIX_BYTES;
        self.shared.with(|session| {
            let batch = session.transmit(max, cx, prefix)?;
            frame_log::goes(&batch, session);
            Some(batch)
        })
    }

    /// Sets the alarm to what is due next, and does what is due now.
    fn keep_time(&mut self, cx: &mut Context<'_>) {
        loop {
            let Some(due) = self.shared.with(|session| session.next_timeout()) else {
                return;
            };
            let due = self.shared.instant(due);
            // An alarm that is a little early is cheaper than one that is set anew with each frame that arrives; one that is much too
            // early would wake an idle tunnel for nothing.
            let set = self.alarm.deadline();
            if due < set || due > set + EARLY || self.alarm.is_elapsed() {
                self.alarm.as_mut().reset(due);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return;
            }
            let now = self.shared.moment(Instant::now());
            self.shared.with(|session| session.handle_timeout(now));
        }
    }

    /// Sends the last words, and ends the call as gRPC has it.
    fn say_goodbye(&mut self, error: &SessionError, cx: &Context<'_>) {
        let last_words = self.pull(MAX_FRAME_BYTES as usize, cx);
        let sent = last_words.map_or(Ok(()), |batch| self.send.send_data(batch.into(), false));
        // A call that is gone already cannot be ended any better.
        let _ = match self.role {
            Role::Server => sent.and_then(|()| self.send.send_trailers(grpc_status(error))),
            Role::Client => sent.and_then(|()| self.send.send_data(SendBuf::default(), true)),
        };
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let dropped = SessionError::Transport("the tunnel's driver was dropped".into());
        self.shared.with(|session| session.close(dropped));
        if self
            .shared
            .with(|session| session.end().is_some_and(|error| is_abrupt(error)))
        {
            self.send.send_reset(Reason::CANCEL);
        }
    }
}

/// Whether the session ended without a word to the peer.
fn is_abrupt(error: &SessionError) -> bool {
    matches!(error, SessionError::Transport(_))
}

/// <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>
fn grpc_status(error: &SessionError) -> HeaderMap {
    let status = match error {
        SessionError::ClosedByPeer { .. } | SessionError::Closed { .. } => "0",
        SessionError::PeerMisbehaved(_) | SessionError::Version { .. } => "3",
        SessionError::Silent(_) | SessionError::HandshakeTimedOut => "4",
        SessionError::Transport(_) => "14",
    };
    [(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(status),
    )]
    .into_iter()
    .collect()
}

/// By how much an alarm may be too early.
const EARLY: Duration = Duration::from_secs(4);

/// How long to wait for a peer to hear why the session ended.
const PARTING: Duration = Duration::from_secs(1);

/// Below this, waiting for more room beats sending crumbs.
const MIN_BATCH_BYTES: usize = 2 << 10;
