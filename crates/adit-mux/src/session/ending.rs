//! How streams and the session end before their time: each is told once, at both ends, and lets go of what it held.

use std::sync::Arc;

use adit_proto::tunnel::{self as proto, CloseReason, ResetReason};

use crate::{
    Session, StreamId,
    decode::field,
    encode,
    error::{SessionError, StreamError},
    flood,
    session::{Phase, Role, clip},
};

/// What may still arrive for streams that we reset, because the peer sent it before it knew.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Body bytes: exactly the credit that those streams had left.
    pub(super) bytes: u64,
    /// Other frames: heads, an end, credit, a reset that crossed ours.
    pub(super) frames: u64,
}

impl Late {
    pub(super) fn expect(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.frames = self.frames.saturating_add(LATE_FRAMES_PER_STREAM);
    }
}

impl Session {
    /// Ends the session now. The peer is told if the driver sends what is still due; all streams fail.
    pub fn close(&mut self, error: SessionError) {
        if self.end().is_some() {
            return;
        }
        if let Some((reason, message)) = error.farewell() {
            self.say_goodbye(reason, &message);
        }
        let error = Arc::new(error);
        let ids: Vec<_> = self.streams.keys().copied().collect();
        for id in ids {
            if let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_over()) {
                stream.failure = Some(StreamError::SessionEnded(Arc::clone(&error)));
            }
            self.fail(id);
        }
        self.accepted.clear();
        self.account.retire();
        self.phase = Phase::Over(error);
        self.wakes.extend(self.accepting.take());
        self.wakes.extend(self.outgoing.waker.take());
        self.wake_watchers();
    }

    fn say_goodbye(&mut self, reason: CloseReason, message: &str) {
        let close = proto::Close {
            reason: reason.into(),
            message: clip(message),
        };
        // Whatever else was due is of no use to anyone any more.
        self.outgoing.clear();
        self.control(|out| encode::message(out, 0, field::CLOSE, &close));
    }

    /// Resets a stream from this side: tells the peer, fails the handle, lets go of what it held. What is complete and read stays.
    pub(super) fn cut(&mut self, id: StreamId, reason: ResetReason, message: &str) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let was_over = stream.is_over();
        if was_over && stream.recv.buffered == 0 {
            return;
        }
        // An open that has not left yet needs no reset: it never will leave.
        let was_announced = stream.send.heads.is_empty() || self.role == Role::Acceptor;
        let was_answered = stream.recv.has_begun;
        let outstanding = if stream.recv.has_ended {
            0
        } else {
            stream.recv.window.outstanding()
        };
        // What is dropped unread can no longer be complete.
        stream.recv.has_ended &= stream.recv.buffered == 0;
        // The first reason stands.
        stream.failure.get_or_insert_with(|| StreamError::Cut {
            reason,
            message: message.to_owned(),
        });
        self.drop_received(id);
        self.fail(id);
        if was_over {
            return;
        }
        self.counted.resets += 1;
        if was_announced {
            self.late.expect(outstanding);
            if !was_answered {
                // `open` saw to it that this can be paid for.
                let _ = self.cancels.spend(flood::COST, "cancels", self.now);
            }
            let reset = proto::Reset {
                reason: reason.into(),
                message: clip(message),
            };
            self.control(|out| encode::message(out, id, field::RESET, &reset));
        }
    }

    /// A stream came to its proper end.
    pub(super) fn finished(&mut self) {
        self.tolerance.reward();
        self.cancels.reward();
    }

    /// After `failure` was set: nothing more is sent, whoever waits is woken, a stream that nobody holds is forgotten. What was
    /// received before the peer's reset may still be read.
    pub(super) fn fail(&mut self, id: StreamId) {
        self.drop_queued(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        self.wakes.extend(stream.recv.waker.take());
        self.wakes.extend(stream.send.waker.take());
        self.wakes.extend(stream.failure_waker.take());
        if !stream.is_held {
            self.forget(id);
        }
    }

    pub(super) fn forget(&mut self, id: StreamId) {
        self.drop_received(id);
        self.drop_queued(id);
        if let Some(stream) = self.streams.remove(&id) {
            self.deadlines -= usize::from(stream.deadline.is_some());
            let beyond = stream.recv.window.beyond(self.config.limits.stream_credit);
            self.grown = self.grown.saturating_sub(beyond);
        }
        if self.is_drained() {
            self.wake_watchers();
        }
    }
}

const LATE_FRAMES_PER_STREAM: u64 = 8;
