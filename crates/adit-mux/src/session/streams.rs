//! What users of streams do: open, accept, read, write, reset, let go. Each call is short and never blocks.

use std::task::{Context, Poll};

use adit_proto::tunnel::{self as proto, ResetReason};
use bytes::Bytes;

use crate::{
    Moment, Session, StreamId,
    decode::field,
    encode,
    error::{OpenError, StreamError},
    session::{Phase, Role},
    stream::{SendState, Stream, wait},
    window::Window,
};

/// A stream that the peer opened.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: StreamId,
    /// The bytes of its `open` frame.
    pub head: Bytes,
}

/// Whether data will follow an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// The opener's half ends with the open.
    Absent,
    /// Data, trailers or an end will follow.
    Follows,
}

/// On what terms a stream runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// When it is cut, with [`ResetReason::PermitEnded`]; to a quarter of a second.
    pub deadline: Option<Moment>,
    /// On whose behalf: all streams of one owner can be cut together. An opaque number.
    pub owner: u64,
}

/// What a reader found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Body bytes; credit for them has gone back to the peer.
    Data(Bytes),
    /// The fields after the body; the end comes next.
    Trailers(Bytes),
    /// The peer's half is complete.
    End,
}

impl Session {
    /// Opens a stream; its head is due on the wire at once.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing was sent.
    pub fn open(
        &mut self,
        head: Bytes,
        body: RequestBody,
        terms: Terms,
    ) -> Result<StreamId, OpenError> {
        if !self.is_open() || self.role == Role::Acceptor {
            return Err(OpenError::Closed);
        }
        if self.is_draining() {
            return Err(OpenError::Draining);
        }
        if self.streams.len() >= self.limits.max_streams as usize {
            return Err(OpenError::TooManyStreams);
        }
        if head.len() > self.limits.max_head_bytes as usize {
            return Err(OpenError::HeadTooLarge);
        }
        if self.account.is_exhausted() {
            return Err(OpenError::Overloaded);
        }
        // At worst all streams are cancelled at once, this one among them.
        if !self.cancels.affords(self.streams.len() + 1, self.now) {
            return Err(OpenError::TooManyCancels);
        }
        self.last_id += 1;
        let id = self.last_id;
        let window = Window::new(self.config.limits.stream_credit, self.now);
        let mut stream = Stream::new(window, self.limits.stream_credit);
        stream.owner = terms.owner;
        stream.deadline = terms.deadline;
        stream.send.heads.push(head);
        if body == RequestBody::Absent {
            stream.send.state = SendState::Ended;
        }
        if let Some(deadline) = terms.deadline {
            self.deadlines += 1;
            self.next_deadline = self.next_deadline.min(deadline);
        }
        self.streams.insert(id, stream);
        self.liveness.used();
        self.counted.opened += 1;
        self.outgoing.heads.push_back(id);
        self.wakes.extend(self.outgoing.waker.take());
        Ok(id)
    }

    /// The next stream that the peer opened; `None` once the session is over.
    pub fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<Option<Accepted>> {
        while let Some(id) = self.accepted.pop_front() {
            // One that was reset meanwhile is gone.
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.is_held = true;
            let (head, cost) = stream.recv.pop_head().unwrap_or_default();
            self.uncount_buffered(cost);
            return Poll::Ready(Some(Accepted { id, head }));
        }
        if matches!(self.phase, Phase::Over(_)) {
            return Poll::Ready(None);
        }
        wait(&mut self.accepting, cx);
        Poll::Pending
    }

    /// The next head that came.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn poll_head(
        &mut self,
        id: StreamId,
        cx: &Context<'_>,
    ) -> Poll<Result<Bytes, StreamError>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some((head, cost)) = stream.recv.pop_head() {
            self.uncount_buffered(cost);
            return Poll::Ready(Ok(head));
        }
        if let Some(failure) = &stream.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        wait(&mut stream.recv.waker, cx);
        Poll::Pending
    }

    /// What came next of the peer's half. Taking data gives credit back.
    ///
    /// # Errors
    /// The stream ended by accident: what was read of it is incomplete.
    pub fn poll_read(&mut self, id: StreamId, cx: &Context<'_>) -> Poll<Result<Read, StreamError>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some((data, cost)) = stream.recv.pop_data() {
            self.uncount_buffered(cost);
            self.consumed(id, data.len());
            return Poll::Ready(Ok(Read::Data(data)));
        }
        if let Some((trailers, cost)) = stream.recv.take_trailers() {
            self.uncount_buffered(cost);
            return Poll::Ready(Ok(Read::Trailers(trailers)));
        }
        // Before any failure: what had come whole when the other half, or the session, failed is whole.
        if stream.recv.has_ended {
            return Poll::Ready(Ok(Read::End));
        }
        if let Some(failure) = &stream.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        wait(&mut stream.recv.waker, cx);
        Poll::Pending
    }

    /// Whether the peer's half is complete and everything of it was read.
    #[must_use]
    pub fn is_read_end(&self, id: StreamId) -> bool {
        self.streams
            .get(&id)
            .is_some_and(|stream| stream.recv.is_drained())
    }

    /// Ready when [`Session::write`] may be called: what waits of this stream, and of all, is below its bound.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn poll_room(&mut self, id: StreamId, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(failure) = &stream.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        let is_full = self.queued >= self.config.max_queued_bytes || self.account.is_exhausted();
        let has_room = stream.send.queued < self.config.stream_queue_bytes && !is_full;
        if has_room || stream.send.queued == 0 {
            return Poll::Ready(Ok(()));
        }
        wait(&mut stream.send.waker, cx);
        Poll::Pending
    }

    /// Ready once the stream has ended by accident: for whoever waits for something else meanwhile. Holds one waiter.
    pub fn poll_failure(&mut self, id: StreamId, cx: &Context<'_>) -> Poll<StreamError> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(gone());
        };
        if let Some(failure) = &stream.failure {
            return Poll::Ready(failure.clone());
        }
        wait(&mut stream.failure_waker, cx);
        Poll::Pending
    }

    /// Queues body bytes. Takes whatever it is given: whoever does not ask [`Session::poll_room`] first has no bound.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn write(&mut self, id: StreamId, data: Bytes, end: bool) -> Result<(), StreamError> {
        let Some(stream) = self.sending(id)? else {
            return Ok(());
        };
        let bytes = data.len();
        if bytes > 0 {
            stream.send.data.push(data);
            stream.send.queued += bytes;
        }
        if end {
            stream.send.state = SendState::Ending;
        }
        self.queued += bytes;
        self.make_ready(id);
        Ok(())
    }

    /// Sends a head: the acceptor's informational ones and then its final one.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn send_head(&mut self, id: StreamId, head: Bytes) -> Result<(), StreamError> {
        self.check_size(id, &head);
        if self.role == Role::Opener {
            // On the wire it would be a second open, and cost the session.
            self.cut(
                id,
                ResetReason::Internal,
                "an opener's one head is its open",
            );
        }
        let Some(stream) = self.sending(id)? else {
            return Ok(());
        };
        stream.send.has_begun = true;
        stream.send.heads.push(head);
        self.outgoing.heads.push_back(id);
        self.wakes.extend(self.outgoing.waker.take());
        Ok(())
    }

    /// Sends the fields after the body, which end this half.
    ///
    /// # Errors
    /// The stream ended by accident.
    pub fn send_trailers(&mut self, id: StreamId, trailers: Bytes) -> Result<(), StreamError> {
        self.check_size(id, &trailers);
        let Some(stream) = self.sending(id)? else {
            return Ok(());
        };
        stream.send.trailers = Some(trailers);
        stream.send.state = SendState::Ending;
        self.make_ready(id);
        Ok(())
    }

    /// Ends a stream in both directions, by accident or by choice. Nothing happens to one that is over.
    pub fn reset(&mut self, id: StreamId, reason: ResetReason, message: &str) {
        self.cut(id, reason, message);
    }

    /// Resets all streams that were opened on behalf of `owner`, and says how many that were.
    pub fn end_streams(&mut self, owner: u64, reason: ResetReason, message: &str) -> usize {
        let theirs = |stream: &Stream| stream.owner == owner && !stream.is_over();
        let ids: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| theirs(stream))
            .map(|(id, _)| *id)
            .collect();
        for id in &ids {
            self.cut(*id, reason, message);
        }
        ids.len()
    }

    /// The user of a stream lets go of it. An opener that lets go of an unfinished stream cancels it. An acceptor that has
    /// answered in full is let go with its answer under way, and the rest of the request is not asked for.
    pub fn release(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.is_held = false;
        stream.recv.waker = None;
        stream.send.waker = None;
        stream.failure_waker = None;
        if stream.is_over() {
            return self.forget(id);
        }
        let has_answered = self.role == Role::Acceptor && stream.send.state != SendState::Open;
        let is_complete = stream.recv.has_ended && stream.send.state == SendState::Ending;
        if has_answered && stream.send.state == SendState::Ended {
            self.decline_request(id);
        } else if has_answered || is_complete {
            self.drop_received(id);
        } else {
            self.cut(
                id,
                ResetReason::Cancelled,
                "whoever used the stream has left",
            );
        }
    }

    /// After a whole answer has left that did not wait for its whole request: nobody will read the rest, so the opener is told to
    /// keep it. Otherwise it would wait for credit, and both ends for each other, for ever.
    pub(super) fn decline_request(&mut self, id: StreamId) {
        self.cut(
            id,
            ResetReason::Cancelled,
            "it was answered without the rest of the request",
        );
    }

    pub(super) fn forget_if_released(&mut self, id: StreamId) {
        if self
            .streams
            .get(&id)
            .is_some_and(|stream| !stream.is_held && stream.is_over())
        {
            self.forget(id);
        }
    }

    /// Puts a stream among those that have something to send, if it has.
    pub(super) fn make_ready(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.send.is_ready || stream.failure.is_some() {
            return;
        }
        if stream.send.can_send() {
            stream.send.is_ready = true;
            stream.send.is_stalled = false;
            self.outgoing.ready.push_back(id);
            self.wakes.extend(self.outgoing.waker.take());
        } else if !stream.send.data.is_empty() && !stream.send.is_stalled {
            stream.send.is_stalled = true;
            self.counted.credit_stalls += 1;
            self.account.stalled();
        }
    }

    /// A head that the peer does not take would end the session: it ends its own stream instead.
    fn check_size(&mut self, id: StreamId, head: &Bytes) {
        if head.len() > self.limits.max_head_bytes as usize {
            self.cut(
                id,
                ResetReason::Protocol,
                "the head is larger than the peer takes",
            );
        }
    }

    /// The stream whose own half is still open; `None` for one whose half has ended, to which nothing can be added.
    fn sending(&mut self, id: StreamId) -> Result<Option<&mut Stream>, StreamError> {
        let stream = self.streams.get_mut(&id).ok_or_else(gone)?;
        match &stream.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(Some(stream).filter(|stream| stream.send.state == SendState::Open)),
        }
    }

    /// A reader took bytes: the peer may send as many again, or more, or fewer.
    fn consumed(&mut self, id: StreamId, bytes: usize) {
        let may_grow = self.grown < self.config.max_buffered_bytes / 2 && self.account.is_roomy();
        let (now, round_trip) = (self.now, self.liveness.distance().round_trip());
        let (start, most) = (
            self.config.limits.stream_credit,
            self.config.max_stream_credit,
        );
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.recv.has_ended || stream.failure.is_some() {
            return;
        }
        let window = &mut stream.recv.window;
        let grown = window.beyond(start);
        let most = if may_grow { most } else { window.size() };
        window.consume(bytes as u64, round_trip, now, most);
        let credit = window.grant();
        self.grown = self.grown - grown + window.beyond(start);
        let Some(credit) = credit else {
            return;
        };
        let credit = proto::Credit {
            bytes: credit.into(),
        };
        self.control(|out| encode::message(out, id, field::CREDIT, &credit));
        self.measure_if_stale();
    }
}

/// A handle that outlived its stream: the session forgot it after a reset that the handle's own user made.
fn gone() -> StreamError {
    StreamError::Cut {
        reason: ResetReason::Cancelled,
        message: "the stream is gone".to_owned(),
    }
}
