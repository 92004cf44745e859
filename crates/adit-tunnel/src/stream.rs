//! The handle to one stream. All calls take `&self`: its two directions can be driven at once, by one waiter each.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use adit_mux::{Read, StreamError, StreamId};
use adit_proto::tunnel::ResetReason;
use bytes::Bytes;
use tokio::time::Instant;

use crate::handle::Shared;

/// One exchange inside a tunnel. Dropping it before both halves have ended resets it: what is cut off never looks complete.
///
/// An agent's stream that is dropped after its answer was written in full still sends that answer.
#[derive(Debug)]
pub struct TunnelStream {
    shared: Arc<Shared>,
    id: StreamId,
}

impl TunnelStream {
    pub(crate) fn new(shared: Arc<Shared>, id: StreamId) -> Self {
        Self { shared, id }
    }

    /// Its id within the session: the same at both ends, for logs.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The next head that the agent sent: informational ones, then the final one.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn poll_head(&self, cx: &Context<'_>) -> Poll<Result<Bytes, StreamError>> {
        self.shared.with(|session| session.poll_head(self.id, cx))
    }

    /// What came next of the peer's half. Taking data gives its sender credit for as much again.
    ///
    /// # Errors
    /// The stream ended by accident: what was read of it is incomplete.
    pub fn poll_read(&self, cx: &Context<'_>) -> Poll<Result<Read, StreamError>> {
        let now = self.shared.moment(Instant::now());
        self.shared.with(|session| {
            // A ping that measures the path goes out from here, and it is judged how fast windows are taken.
            session.advance(now);
            session.poll_read(self.id, cx)
        })
    }

    /// Ready when [`TunnelStream::write`] may be called.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        self.shared.with(|session| session.poll_room(self.id, cx))
    }

    /// Ready once the stream has ended by accident: for whoever waits for something else meanwhile. Holds one waiter, beside those of
    /// the two directions.
    pub fn poll_failure(&self, cx: &Context<'_>) -> Poll<StreamError> {
        self.shared
            .with(|session| session.poll_failure(self.id, cx))
    }

    /// Queues body bytes; `end` ends this half. Never blocks: ask [`TunnelStream::poll_room`] first, or nothing bounds the queue.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn write(&self, data: Bytes, end: bool) -> Result<(), StreamError> {
        self.shared
            .with(|session| session.write(self.id, data, end))
    }

    /// Sends a head: the agent's informational ones and then its final one.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn send_head(&self, head: Bytes) -> Result<(), StreamError> {
        self.shared.with(|session| session.send_head(self.id, head))
    }

    /// Sends the fields after the body, which end this half.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn send_trailers(&self, trailers: Bytes) -> Result<(), StreamError> {
        self.shared
            .with(|session| session.send_trailers(self.id, trailers))
    }

    /// Whether the peer's half is complete and all of it was read.
    #[must_use]
    pub fn is_read_end(&self) -> bool {
        self.shared.with(|session| session.is_read_end(self.id))
    }

    /// For somebody else who may have to end the stream.
    #[must_use]
    pub fn cutter(&self) -> Cutter {
        Cutter {
            shared: Arc::clone(&self.shared),
            id: self.id,
        }
    }

    /// Ends the stream in both directions now. Nothing happens to one that is over.
    pub fn reset(&self, reason: ResetReason, message: &str) {
        self.shared
            .with(|session| session.reset(self.id, reason, message));
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        self.shared.with(|session| session.release(self.id));
    }
}

/// Ends a stream that somebody else uses, who sees [`StreamError::Cut`]. It keeps no stream from its end.
#[derive(Clone, Debug)]
pub struct Cutter {
    shared: Arc<Shared>,
    id: StreamId,
}

impl Cutter {
    /// Ends the stream in both directions now. Nothing happens to one that is over.
    pub fn cut(&self, reason: ResetReason, message: &str) {
        self.shared
            .with(|session| session.reset(self.id, reason, message));
    }
}
