//! What arrives: each frame either fits the state it finds, or ends the session as the peer's fault.

use adit_proto::tunnel::{self as proto, CloseReason, ResetReason};
use bytes::Bytes;

use crate::{
    Moment, Session, StreamId,
    decode::{Frame, Kind, field},
    encode,
    error::{
        Misbehaviour::{
            self, AfterEnd, CreditOverrun, HeadTooLarge, ImpossibleCredit, NeverOpened,
            StreamReused, Unexpected,
        },
        SessionError, StreamError,
    },
    flood,
    session::{Phase, Role, clip},
    stream::{SendState, Stream},
    window::Window,
};

impl Session {
    /// Takes bytes of `adit.tunnel.v1.Frames` that arrived at `now`, cut anywhere. What they mean is done at once; a peer that
    /// broke the protocol ends the session, which [`Session::end`] then tells.
    pub fn receive(&mut self, mut chunk: Bytes, now: Moment) {
        self.advance(now);
        self.liveness.heard(self.now);
        let chunk_bytes = chunk.len();
        while self.end().is_none() {
            let frame = match self.decoder.next(&mut chunk) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(rule) => return self.close(rule.into()),
            };
            if let Err(error) = self.handle(frame, chunk_bytes) {
                return self.close(error);
            }
        }
    }

    /// Told at the end of each gRPC message.
    pub fn end_of_message(&mut self) {
        if let Err(rule) = self.decoder.end_of_message() {
            self.close(rule.into());
        }
    }

    fn handle(&mut self, frame: Frame, chunk_bytes: usize) -> Result<(), SessionError> {
        check_place(&frame)?;
        let id = frame.stream;
        match (frame.kind, &self.phase) {
            (Kind::Hello(hello), Phase::Handshake { .. }) if self.role == Role::Opener => {
                return self.hello(hello);
            }
            (Kind::Welcome(welcome), Phase::Handshake { .. }) if self.role == Role::Acceptor => {
                return self.welcome(welcome);
            }
            (Kind::Close(close), _) => return Err(closed_by_peer(close)),
            (_, Phase::Handshake { .. }) => {
                return Err(Unexpected("frame before the handshake").into());
            }
            (Kind::Hello(_) | Kind::Welcome(_), _) => {
                return Err(Unexpected("second handshake").into());
            }
            (Kind::Open(head), _) => self.opened(id, head, frame.end)?,
            (Kind::Head(head), _) => self.head(id, head)?,
            (Kind::Data(data), _) => self.data(id, data, frame.end, chunk_bytes)?,
            (Kind::Trailers(trailers), _) => self.trailers(id, trailers)?,
            (Kind::Credit(bytes), _) => self.credit(id, bytes)?,
            (Kind::Reset(reset), _) => self.reset_by_peer(id, reset)?,
            (Kind::Ping(token), _) => self.answer_ping(token)?,
            (Kind::Pong(token), _) => self.pong(token)?,
            (Kind::Drain(_), _) => self.drain_asked()?,
            (Kind::Unknown, _) => self
                .tolerance
                .spend(flood::COST, "unknown frames", self.now)?,
        }
        if self.outgoing.control.len() > MAX_CONTROL_BYTES {
            return Err(Misbehaviour::Flood("frames that ask for answers nobody reads").into());
        }
        Ok(())
    }

    fn opened(&mut self, id: StreamId, head: Bytes, end: bool) -> Result<(), Misbehaviour> {
        if self.role == Role::Opener {
            return Err(Unexpected("open"));
        }
        if id <= self.last_id {
            return Err(StreamReused(id));
        }
        if self.drain.was_received {
            return Err(Unexpected("open behind a drain"));
        }
        self.check_head(head.len())?;
        self.last_id = id;
        // An open that crossed our drain is still served: its sender could not know.
        let refusal = if self.streams.len() >= self.config.limits.max_streams as usize {
            // Its sender knows the limit, and may be wrong about it only for as long as an end is under way.
            self.tolerance
                .spend(flood::COST, "opens beyond the limit", self.now)?;
            Some("the agent runs as many streams as it takes")
        } else if self.account.is_exhausted() {
            Some("the agent holds as many unread bytes as it may")
        } else {
            None
        };
        if let Some(message) = refusal {
            self.late.expect(self.config.limits.stream_credit.into());
            let reset = proto::Reset {
                reason: ResetReason::Refused.into(),
                message: message.to_owned(),
            };
            self.control(|out| encode::message(out, id, field::RESET, &reset));
            return Ok(());
        }
        let window = Window::new(self.config.limits.stream_credit, self.now);
        let mut stream = Stream::new(window, self.limits.stream_credit);
        stream.recv.has_begun = true;
        stream.recv.has_ended = end;
        stream.is_held = false;
        let cost = stream.recv.push_head(head);
        self.streams.insert(id, stream);
        self.liveness.used();
        self.counted.opened += 1;
        self.enqueue_accept(id);
        self.count_buffered(cost);
        Ok(())
    }

    fn enqueue_accept(&mut self, id: StreamId) {
        // Streams that are reset before anyone accepts them stay listed: a peer that does nothing else would grow the list.
        if self.accepted.len() > 2 * self.config.limits.max_streams as usize {
            self.accepted.retain(|id| self.streams.contains_key(id));
        }
        self.accepted.push_back(id);
        self.wakes.extend(self.accepting.take());
    }

    fn head(&mut self, id: StreamId, head: Bytes) -> Result<(), Misbehaviour> {
        if self.role == Role::Acceptor {
            return Err(Unexpected("head"));
        }
        self.check_head(head.len())?;
        let allowed = self.config.limits.max_head_bytes as usize * HEADS_AHEAD;
        let Some(stream) = self.receiving(id)? else {
            return self.late_frame("late heads");
        };
        stream.recv.has_begun = true;
        if stream.recv.head_bytes + head.len() > allowed {
            // Not the session's end: an agent passes on what an API server of many sends it.
            self.cut(
                id,
                ResetReason::Protocol,
                "more heads came than are kept for a reader",
            );
            return Ok(());
        }
        let cost = stream.recv.push_head(head);
        let waker = stream.recv.waker.take();
        self.wakes.extend(waker);
        self.count_buffered(cost);
        Ok(())
    }

    fn data(
        &mut self,
        id: StreamId,
        data: Bytes,
        end: bool,
        chunk_bytes: usize,
    ) -> Result<(), Misbehaviour> {
        let bytes = data.len();
        if bytes == 0 && !end {
            return Err(Misbehaviour::Malformed("data without bytes"));
        }
        let Some(stream) = self.receiving(id)? else {
            return self.late_data(id, bytes as u64);
        };
        if !stream.recv.has_begun {
            return Err(Unexpected("data before a head"));
        }
        if !stream.recv.window.receive(bytes as u64) {
            return Err(CreditOverrun(id));
        }
        stream.recv.has_ended = end;
        let is_kept = stream.is_held || stream.send.state == SendState::Open;
        let mut cost = 0;
        if bytes > 0 && is_kept {
            cost = stream.recv.push_data(owned(data, chunk_bytes));
        }
        let waker = stream.recv.waker.take();
        self.wakes.extend(waker);
        self.counted.received_bytes += bytes as u64;
        self.count_buffered(cost);
        if end {
            self.half_ended(id);
        }
        Ok(())
    }

    fn trailers(&mut self, id: StreamId, trailers: Bytes) -> Result<(), Misbehaviour> {
        self.check_head(trailers.len())?;
        let Some(stream) = self.receiving(id)? else {
            return self.late_frame("late trailers");
        };
        if !stream.recv.has_begun {
            return Err(Unexpected("trailers before a head"));
        }
        let cost = stream.recv.put_trailers(trailers);
        stream.recv.has_ended = true;
        let waker = stream.recv.waker.take();
        self.wakes.extend(waker);
        self.count_buffered(cost);
        self.half_ended(id);
        Ok(())
    }

    fn credit(&mut self, id: StreamId, bytes: u64) -> Result<(), Misbehaviour> {
        self.check_opened(id)?;
        let Some(stream) = self.streams.get_mut(&id) else {
            return self.late_frame("late credit");
        };
        let credit = stream.send.credit.saturating_add(bytes);
        if bytes == 0 || credit > u64::from(crate::config::MAX_CREDIT) {
            return Err(ImpossibleCredit(id));
        }
        stream.send.credit = credit;
        self.make_ready(id);
        Ok(())
    }

    fn reset_by_peer(&mut self, id: StreamId, reset: proto::Reset) -> Result<(), Misbehaviour> {
        self.check_opened(id)?;
        // What a stream that is over already said stands.
        if self.streams.get(&id).is_none_or(Stream::is_over) {
            return self.late_frame("late resets");
        }
        let reason = reset.reason();
        if self.is_answered(id) && reason == ResetReason::Cancelled {
            self.end_request(id);
            return Ok(());
        }
        self.counted.resets += 1;
        let role = self.role;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        // What was opened and taken back before its answer cost its sender nothing. An opener has its own opens to blame.
        let is_hasty = role == Role::Acceptor && !stream.send.has_begun;
        stream.failure = Some(StreamError::Reset {
            reason,
            message: clip(&reset.message),
        });
        self.fail(id);
        if is_hasty {
            self.tolerance.spend(flood::COST, "resets", self.now)?;
        }
        Ok(())
    }

    /// Whether an answer is complete while its request still flows.
    fn is_answered(&self, id: StreamId) -> bool {
        self.role == Role::Opener
            && self
                .streams
                .get(&id)
                .is_some_and(|stream| stream.failure.is_none() && stream.recv.has_ended)
    }

    /// The peer has answered in full and wants no more of the request: that is no failure, and the answer is whole.
    fn end_request(&mut self, id: StreamId) {
        self.drop_queued(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send.state = SendState::Ended;
            self.wakes.extend(stream.send.waker.take());
        }
        self.forget_if_released(id);
    }

    fn answer_ping(&mut self, token: u64) -> Result<(), Misbehaviour> {
        self.tolerance.spend(flood::PING_COST, "pings", self.now)?;
        self.control(|out| encode::message(out, 0, field::PONG, &proto::Pong { token }));
        self.measure_along();
        Ok(())
    }

    fn pong(&mut self, token: u64) -> Result<(), Misbehaviour> {
        if self.liveness.pong(token, self.now) {
            Ok(())
        } else {
            self.tolerance.spend(flood::COST, "pongs", self.now)
        }
    }

    /// The answer goes behind every open that was sent before: whoever asked knows then that no more will come.
    fn drain_asked(&mut self) -> Result<(), Misbehaviour> {
        if self.drain.was_received {
            return self.tolerance.spend(flood::COST, "drains", self.now);
        }
        self.drain.was_received = true;
        self.drain("as asked");
        self.wake_watchers();
        Ok(())
    }

    /// The stream whose peer's half is still open; `None` for one that is gone or failed, to which late frames may come.
    fn receiving(&mut self, id: StreamId) -> Result<Option<&mut Stream>, Misbehaviour> {
        self.check_opened(id)?;
        match self.streams.get_mut(&id) {
            Some(stream) if stream.failure.is_some() => Ok(None),
            Some(stream) if stream.recv.has_ended => Err(AfterEnd(id)),
            stream => Ok(stream),
        }
    }

    fn check_opened(&self, id: StreamId) -> Result<(), Misbehaviour> {
        if id == 0 || id > self.last_id {
            Err(NeverOpened(id))
        } else {
            Ok(())
        }
    }

    fn check_head(&self, bytes: usize) -> Result<(), Misbehaviour> {
        let fits = bytes <= self.config.limits.max_head_bytes as usize;
        if fits {
            Ok(())
        } else {
            Err(HeadTooLarge(bytes as u64))
        }
    }

    fn late_frame(&mut self, what: &'static str) -> Result<(), Misbehaviour> {
        match self.late.frames.checked_sub(1) {
            Some(left) => self.late.frames = left,
            None => self.tolerance.spend(flood::COST, what, self.now)?,
        }
        Ok(())
    }

    fn late_data(&mut self, id: StreamId, bytes: u64) -> Result<(), Misbehaviour> {
        if bytes == 0 {
            return self.late_frame("late ends");
        }
        self.late.bytes = self
            .late
            .bytes
            .checked_sub(bytes)
            .ok_or(CreditOverrun(id))?;
        Ok(())
    }

    /// After the peer's half ended: a stream that nobody holds and that is over goes.
    fn half_ended(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            self.finished();
            self.forget_if_released(id);
        }
    }
}

/// What no kind allows, whenever it comes.
fn check_place(frame: &Frame) -> Result<(), Misbehaviour> {
    let is_of_session = matches!(
        frame.kind,
        Kind::Hello(_)
            | Kind::Welcome(_)
            | Kind::Ping(_)
            | Kind::Pong(_)
            | Kind::Drain(_)
            | Kind::Close(_)
    );
    let may_end = matches!(
        frame.kind,
        Kind::Open(_) | Kind::Data(_) | Kind::Trailers(_) | Kind::Unknown
    );
    if is_of_session && frame.stream != 0 {
        return Err(Unexpected("stream in a frame about the session"));
    }
    if frame.end && !may_end {
        return Err(Unexpected("end in a frame that ends nothing"));
    }
    Ok(())
}

fn closed_by_peer(close: proto::Close) -> SessionError {
    let reason = CloseReason::try_from(close.reason).unwrap_or_default();
    SessionError::ClosedByPeer {
        reason,
        message: clip(&close.message),
    }
}

/// A payload that pins no more than eight times its size of the chunk it came in, so that what is counted is what is held.
fn owned(data: Bytes, chunk_bytes: usize) -> Bytes {
    if data.len().saturating_mul(8) < chunk_bytes {
        Bytes::copy_from_slice(&data)
    } else {
        data
    }
}

/// How many of the largest heads may lie unread on one stream: informational ones come before the final one.
const HEADS_AHEAD: usize = 4;

/// Answers that a peer makes us owe without reading them.
const MAX_CONTROL_BYTES: usize = 4 << 20;
