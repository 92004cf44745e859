//! What leaves: the writer pulls a batch when the wire has room, and only then is it decided what goes.
//!
//! Order: control frames, then heads, then data in turns of one quantum (deficit round robin, Shreedhar and Varghese 1995), so
//! that an answer of a few bytes waits for at most one quantum of each stream that has more to send.

use std::{
    collections::VecDeque,
    task::{Context, Waker},
};

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::{
    Batch, Session, StreamId,
    decode::field,
    encode::{self, End, MAX_HEADER_BYTES},
    session::{Role, wait},
    stream::{SendState, Stream},
};

/// What is due on the wire.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Frames that go first, ready as bytes. Bounded: see `receive.rs`.
    pub(super) control: BytesMut,
    /// Streams with a head to send.
    pub(super) heads: VecDeque<StreamId>,
    /// Frames that go once no head is waiting: a drain, behind which no open may come.
    pub(super) after_heads: BytesMut,
    /// Streams with data and credit, or an end, to send; each at most once.
    pub(super) ready: VecDeque<StreamId>,
    /// The driver, when it found nothing due.
    pub(super) waker: Option<Waker>,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.heads.is_empty()
            && self.after_heads.is_empty()
            && self.ready.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.control.clear();
        self.heads.clear();
        self.after_heads.clear();
        self.ready.clear();
    }
}

/// A batch being filled.
struct Filling {
    small: BytesMut,
    large: SmallVec<[(usize, Bytes); 6]>,
    large_bytes: usize,
    max: usize,
}

impl Filling {
    fn room(&self) -> usize {
        self.max.saturating_sub(self.small.len() + self.large_bytes)
    }

    fn payload(&mut self, payload: Bytes) {
        if payload.len() <= COPY_BELOW {
            self.small.extend_from_slice(&payload);
        } else {
            self.large_bytes += payload.len();
            self.large.push((self.small.len(), payload));
        }
    }
}

impl Session {
    /// What is due on the wire now: about `max` bytes (at least 1 KiB), more only if a single head or the control frames are
    /// larger. `None` when nothing is due; `cx` is then woken when something is.
    ///
    /// The batch starts with `N` bytes of the driver's own framing, which `frame` makes from the number of bytes that follow.
    pub fn transmit<const N: usize>(
        &mut self,
        max: usize,
        cx: &Context<'_>,
        frame: impl FnOnce(usize) -> [u8; N],
    ) -> Option<Batch> {
        self.account.attend(cx);
        if self.outgoing.is_empty() {
            wait(&mut self.outgoing.waker, cx);
            return None;
        }
        let expected = self.outgoing.control.len()
            + (self.outgoing.heads.len() + self.outgoing.ready.len()) * 256;
        let mut small = BytesMut::with_capacity(N + expected.min(max));
        small.extend_from_slice(&[0; N]);
        small.extend_from_slice(&self.outgoing.control);
        self.outgoing.control.clear();
        let mut batch = Filling {
            small,
            large: SmallVec::new(),
            large_bytes: 0,
            max,
        };
        self.fill_heads(&mut batch);
        if self.outgoing.heads.is_empty() {
            batch.small.extend_from_slice(&self.outgoing.after_heads);
            self.outgoing.after_heads.clear();
        }
        self.fill_data(&mut batch);
        if batch.small.len() == N {
            // All that stood there had been reset meanwhile.
            wait(&mut self.outgoing.waker, cx);
            return None;
        }
        let framing = frame(batch.small.len() - N + batch.large_bytes);
        if let Some(room) = batch.small.get_mut(..N) {
            room.copy_from_slice(&framing);
        }
        Some(Batch::assemble(batch.small, batch.large))
    }

    fn fill_heads(&mut self, batch: &mut Filling) {
        // A storm of small requests leaves half of each batch to those that are under way.
        let reserve = if self.outgoing.ready.is_empty() {
            0
        } else {
            batch.max / 2
        };
        let kind = if self.role == Role::Opener {
            field::OPEN
        } else {
            field::HEAD
        };
        while batch.room() > reserve {
            let Some(id) = self.outgoing.heads.pop_front() else {
                return;
            };
            // A stream that was reset before its head left needs none.
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            while let Some(head) = stream.send.heads.pop() {
                let end = if kind == field::OPEN && stream.send.state == SendState::Ended {
                    End::Here
                } else {
                    End::Follows
                };
                encode::header(&mut batch.small, id, end, kind, head.len());
                batch.payload(head);
            }
        }
    }

    fn fill_data(&mut self, batch: &mut Filling) {
        while batch.room() > MAX_HEADER_BYTES {
            let Some(id) = self.outgoing.ready.pop_front() else {
                return;
            };
            let quantum = self.config.quantum;
            let max_frame = self.limits.max_frame_bytes as usize - MAX_HEADER_BYTES;
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.send.is_ready = false;
            if stream.failure.is_some() {
                continue;
            }
            // A head of this stream did not fit: its data must not overtake it.
            if !stream.send.heads.is_empty() {
                stream.send.is_ready = true;
                self.outgoing.ready.push_back(id);
                return;
            }
            if stream.send.turn == 0 {
                stream.send.turn = quantum;
            }
            let sent = take_turn(id, stream, batch, max_frame);
            self.after_turn(id, sent);
        }
    }

    /// Counts what a turn sent, and finds the stream's next place.
    fn after_turn(&mut self, id: StreamId, sent: usize) {
        let low = self.config.stream_queue_bytes;
        self.counted.sent_bytes += sent as u64;
        self.uncount_queued(sent);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.send.queued < low {
            self.wakes.extend(stream.send.waker.take());
        }
        if stream.send.state == SendState::Ended {
            if stream.is_over() {
                self.finished();
                return self.forget_if_released(id);
            }
            if self.role == Role::Acceptor && !stream.is_held {
                self.decline_request(id);
            }
            return;
        }
        if stream.send.can_send() && stream.send.turn > 0 {
            // The batch is full, its turn is not: it goes on where it was.
            stream.send.is_ready = true;
            self.outgoing.ready.push_front(id);
        } else {
            stream.send.turn = 0;
            self.make_ready(id);
        }
    }
}

/// Sends of one stream what its turn, its credit and the batch allow; says how many body bytes that was.
fn take_turn(id: StreamId, stream: &mut Stream, batch: &mut Filling, max_frame: usize) -> usize {
    let send = &mut stream.send;
    let mut sent = 0;
    loop {
        let credit = usize::try_from(send.credit).unwrap_or(usize::MAX);
        let room = batch.room().saturating_sub(MAX_HEADER_BYTES);
        let allowed = send.turn.min(credit).min(room).min(max_frame);
        let Some(front) = send.data.front_mut().filter(|_| allowed > 0) else {
            break;
        };
        let payload = if front.len() <= allowed {
            let whole = send.data.pop();
            whole.unwrap_or_default()
        } else {
            front.split_to(allowed)
        };
        let bytes = payload.len();
        send.queued -= bytes;
        send.credit -= bytes as u64;
        send.turn -= bytes;
        sent += bytes;
        let is_last =
            send.data.is_empty() && send.state == SendState::Ending && send.trailers.is_none();
        if is_last {
            send.state = SendState::Ended;
        }
        encode::header(
            &mut batch.small,
            id,
            if is_last { End::Here } else { End::Follows },
            field::DATA,
            bytes,
        );
        batch.payload(payload);
    }
    if send.data.is_empty() && send.state == SendState::Ending {
        send.state = SendState::Ended;
        match send.trailers.take() {
            Some(trailers) => {
                encode::header(
                    &mut batch.small,
                    id,
                    End::Here,
                    field::TRAILERS,
                    trailers.len(),
                );
                batch.payload(trailers);
            }
            None => encode::header(&mut batch.small, id, End::Here, field::DATA, 0),
        }
    }
    sent
}

/// Payloads up to this are cheaper to copy beside their header than to hand on as a buffer of their own.
const COPY_BELOW: usize = 512;
