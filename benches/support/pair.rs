//! Both ends of a session in one thread, without IO, tasks, or a clock of its own: what the session protocol costs by itself.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use adit_mux::{Budget, Config, Moment, Read, RequestBody, Session, StreamId, Terms};
use bytes::{Buf as _, Bytes};

use crate::shape::Shape;

/// Both ends, and nothing between them.
#[derive(Debug)]
pub struct Pair {
    relay: Session,
    agent: Session,
    now: Moment,
}

/// One upload: who writes it, and how much is left to write.
struct Upload {
    id: StreamId,
    left: usize,
}

impl Pair {
    /// A pair whose handshake is done.
    #[must_use]
    pub fn open() -> Self {
        let (budget, now) = (Budget::new(1 << 30), Moment::ZERO);
        let id = Bytes::from_static(&[7; 16]);
        let mut pair = Self {
            relay: Session::opener(Config::default(), id, Arc::clone(&budget), now),
            agent: Session::acceptor(Config::default(), budget, now),
            now,
        };
        while !pair.relay.is_open() || !pair.agent.is_open() {
            pair.turn();
        }
        pair
    }

    /// The relay uploads all bodies at once; the agent reads them to their end and answers each with a head.
    pub fn uploads(&mut self, shape: &Shape) {
        let cx = Context::from_waker(Waker::noop());
        let piece = Bytes::from(vec![b'x'; shape.frame]);
        let mut uploads: Vec<_> = (0..shape.streams).map(|_| self.begin(shape)).collect();
        let mut reading = Vec::new();
        let mut answered = 0;
        while answered < shape.streams {
            for upload in &mut uploads {
                self.write(upload, &piece, &cx);
            }
            self.turn();
            while let Poll::Ready(Some(accepted)) = self.agent.poll_accept(&cx) {
                reading.push(accepted.id);
            }
            reading.retain(|id| !self.read_and_answer(*id, &cx));
            self.turn();
            uploads.retain(|upload| !self.is_answered(upload.id, &cx));
            answered = shape.streams - uploads.len();
        }
    }

    fn begin(&mut self, shape: &Shape) -> Upload {
        let head = Bytes::from_static(&[b'h'; 400]);
        let opened = self
            .relay
            .open(head, RequestBody::Follows, Terms::default());
        Upload {
            id: opened.unwrap(),
            left: shape.body,
        }
    }

    fn write(&mut self, upload: &mut Upload, piece: &Bytes, cx: &Context<'_>) {
        while upload.left > 0 && self.relay.poll_room(upload.id, cx).is_ready() {
            let data = piece.slice(..piece.len().min(upload.left));
            upload.left -= data.len();
            self.relay.write(upload.id, data, upload.left == 0).unwrap();
        }
    }

    /// Whether the body was read to its end.
    fn read_and_answer(&mut self, id: StreamId, cx: &Context<'_>) -> bool {
        loop {
            match self.agent.poll_read(id, cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(Read::End)) => break,
                Poll::Ready(read) => drop(read.unwrap()),
            }
        }
        self.agent
            .send_head(id, Bytes::from_static(b"200"))
            .unwrap();
        self.agent.write(id, Bytes::new(), true).unwrap();
        self.agent.release(id);
        true
    }

    /// Whether the answer is there to its end.
    fn is_answered(&mut self, id: StreamId, cx: &Context<'_>) -> bool {
        if self.relay.poll_head(id, cx).is_pending() {
            return false;
        }
        let end = self.relay.poll_read(id, cx);
        assert!(matches!(end, Poll::Ready(Ok(Read::End))), "{end:?}");
        self.relay.release(id);
        true
    }

    /// Carries what is due either way, as two drivers would.
    fn turn(&mut self) {
        self.now += TURN;
        carry(&mut self.relay, &mut self.agent, self.now);
        carry(&mut self.agent, &mut self.relay, self.now);
    }
}

fn carry(from: &mut Session, to: &mut Session, now: Moment) {
    let cx = Context::from_waker(Waker::noop());
    from.handle_timeout(now);
    while let Some(mut batch) = from.transmit::<0>(BATCH_BYTES, &cx, |_| []) {
        let bytes = batch.copy_to_bytes(batch.remaining());
        to.receive(bytes, now);
    }
    drop((from.take_wakes(), to.take_wakes()));
}

/// How far the clock is moved by a turn: about a network's round trip, by which windows grow.
const TURN: Duration = Duration::from_micros(200);

/// What a driver asks for at once.
const BATCH_BYTES: usize = 64 << 10;
