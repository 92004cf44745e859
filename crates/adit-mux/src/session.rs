//! One end of a tunnel: the handshake, the streams, and what is due on the wire. See the crate's documentation.
//!
//! The files below hold one concern each: how it begins (`handshake`), what arrives (`receive`), what leaves (`transmit`), what users of streams do (`streams`),
//! how streams and the session end (`ending`), what they hold meanwhile (`memory`), and whether the peer is alive (`liveness`).

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Waker},
};

use adit_proto::tunnel as proto;
use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    Moment, StreamId,
    budget::{Account, Budget},
    config::{Config, Limits},
    decode::{Decoder, field},
    encode,
    error::SessionError,
    flood::Tolerance,
    session::{ending::Late, liveness::Liveness},
    stream::{Stream, wait},
};

mod ending;
mod handshake;
mod invariants;
mod liveness;
mod memory;
mod receive;
mod streams;
mod transmit;

pub use streams::{Accepted, Read, RequestBody, Terms};

/// Wakers that are due; call them once the session is no longer locked.
pub type Wakes = SmallVec<[Waker; 4]>;

/// The protocol state of one end of a tunnel.
#[derive(Debug)]
pub struct Session {
    role: Role,
    config: Config,
    phase: Phase,
    now: Moment,
    /// What the peer takes.
    limits: Limits,
    peer: Peer,
    streams: FxHashMap<StreamId, Stream>,
    /// The largest id opened so far, by whichever side opens.
    last_id: StreamId,
    drain: Drain,
    /// Streams the peer opened and nobody accepted yet. Bounded by our `max_streams`.
    accepted: VecDeque<StreamId>,
    accepting: Option<Waker>,
    watching_end: Vec<Waker>,
    decoder: Decoder,
    tolerance: Tolerance,
    /// What the peer tolerates of us: how many streams may still be cancelled before their answer.
    cancels: Tolerance,
    late: Late,
    liveness: Liveness,
    outgoing: transmit::Outgoing,
    /// Bytes that lie unread, over all streams, and what of them the process may hold.
    account: Account,
    /// Bytes that wait to be sent, over all streams.
    queued: usize,
    /// By how much windows have grown beyond their start.
    grown: usize,
    /// Streams with a deadline, and when to look at them next.
    deadlines: usize,
    next_deadline: Moment,
    counted: Counted,
    wakes: Wakes,
}

/// Who opens streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The relay: waits for Hello, answers Welcome, opens.
    Opener,
    /// The agent: says Hello, waits for Welcome, accepts.
    Acceptor,
}

#[derive(Debug)]
enum Phase {
    /// Until the peer's Hello or Welcome.
    Handshake {
        deadline: Moment,
    },
    Open,
    Over(Arc<SessionError>),
}

/// Who asked for the session to end. Once both have, nothing new can be under way.
#[derive(Debug, Default)]
struct Drain {
    was_sent: bool,
    was_received: bool,
}

/// What the peer said of itself, and what was agreed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peer {
    /// The relay's name for this session, in both sides' logs; empty before the handshake is done.
    pub session_id: Bytes,
    /// The protocol version both speak; 0 before the handshake is done.
    pub version: u32,
    /// Facts for operators.
    pub about: proto::About,
}

/// Numbers for metrics and status pages, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams that are not over.
    pub streams: usize,
    /// Streams opened since the start.
    pub opened: u64,
    /// The least round trip of the last pings.
    pub round_trip: Option<Moment>,
    /// Bytes that lie unread here; a piece of fewer than 128 counts as so many, which is about what keeping it takes.
    pub buffered_bytes: usize,
    /// Bytes that wait here for credit or for the wire.
    pub queued_bytes: usize,
    /// Body bytes received and sent.
    pub received_bytes: u64,
    /// Body bytes sent.
    pub sent_bytes: u64,
    /// How often a stream had data and no credit.
    pub credit_stalls: u64,
    /// Resets sent and received.
    pub resets: u64,
}

#[derive(Debug, Default)]
struct Counted {
    opened: u64,
    received_bytes: u64,
    sent_bytes: u64,
    credit_stalls: u64,
    resets: u64,
}

impl Session {
    /// The relay's end. `session_id` names the session in both sides' logs.
    #[must_use]
    pub fn opener(config: Config, session_id: Bytes, budget: Arc<Budget>, now: Moment) -> Self {
        let mut session = Self::new(Role::Opener, config, budget, now);
        session.peer.session_id = session_id;
        session
    }

    /// The agent's end. Its Hello is due at once.
    #[must_use]
    pub fn acceptor(config: Config, budget: Arc<Budget>, now: Moment) -> Self {
        let mut session = Self::new(Role::Acceptor, config, budget, now);
        session.say_hello();
        session
    }

    fn new(role: Role, mut config: Config, budget: Arc<Budget>, now: Moment) -> Self {
        // The peer will read zero as a default and raise what makes no sense: it must be held to what it reads.
        config.limits = Limits::from_peer(Some(config.limits.to_proto()));
        config.quantum = config.quantum.max(1);
        Self {
            role,
            phase: Phase::Handshake {
                deadline: now + config.handshake_timeout,
            },
            now,
            limits: Limits::default(),
            peer: Peer::default(),
            streams: FxHashMap::default(),
            last_id: 0,
            drain: Drain::default(),
            accepted: VecDeque::new(),
            accepting: None,
            watching_end: Vec::new(),
            decoder: Decoder::new(config.limits.max_frame_bytes),
            tolerance: Tolerance::new(config.limits.max_streams, now),
            cancels: Tolerance::of_opener(Limits::default().max_streams, now),
            late: Late::default(),
            liveness: Liveness::new(&config, now),
            outgoing: transmit::Outgoing::default(),
            account: Account::open(budget),
            queued: 0,
            grown: 0,
            deadlines: 0,
            next_deadline: Moment::MAX,
            counted: Counted::default(),
            wakes: Wakes::new(),
            config,
        }
    }

    /// Whether the handshake is done and the session not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub fn end(&self) -> Option<&Arc<SessionError>> {
        match &self.phase {
            Phase::Over(error) => Some(error),
            Phase::Handshake { .. } | Phase::Open => None,
        }
    }

    /// Whether either side wants the session to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.was_sent || self.drain.was_received
    }

    /// Whether a drain has nothing left to wait for: both sides know of it, and no stream runs.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drain.was_sent && self.drain.was_received && self.streams.is_empty()
    }

    /// What the peer said of itself.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            streams: self.streams.len(),
            opened: self.counted.opened,
            round_trip: self.liveness.distance().recent(),
            buffered_bytes: self.account.held(),
            queued_bytes: self.queued,
            received_bytes: self.counted.received_bytes,
            sent_bytes: self.counted.sent_bytes,
            credit_stalls: self.counted.credit_stalls,
            resets: self.counted.resets,
        }
    }

    /// Asks for the session to end: the peer is told and answers likewise, nothing new is opened, running streams go on.
    pub fn drain(&mut self, message: &str) {
        if self.drain.was_sent || self.end().is_some() {
            return;
        }
        self.drain.was_sent = true;
        let drain = proto::Drain {
            message: clip(message),
        };
        encode::message(&mut self.outgoing.after_heads, 0, field::DRAIN, &drain);
        self.wakes.extend(self.outgoing.waker.take());
        self.wake_watchers();
    }

    /// Leaves a waker for the next change of [`Session::end`], [`Session::is_draining`], [`Session::is_drained`] or
    /// [`Session::is_open`].
    pub fn watch(&mut self, cx: &Context<'_>) {
        if !self
            .watching_end
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            self.watching_end.push(cx.waker().clone());
        }
    }

    /// The wakers that are due.
    pub fn take_wakes(&mut self) -> Wakes {
        std::mem::take(&mut self.wakes)
    }

    /// Puts a frame among those that go first.
    fn control(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.outgoing.control);
        self.wakes.extend(self.outgoing.waker.take());
    }

    fn wake_watchers(&mut self) {
        self.wakes.extend(self.watching_end.drain(..));
    }
}

/// Cuts a message for people to what the protocol allows; our own, and the peer's, which may not have kept to it.
fn clip(message: &str) -> String {
    clip_to(MAX_MESSAGE_BYTES, message)
}

fn clip_to(max_bytes: usize, words: &str) -> String {
    let end = words.floor_char_boundary(max_bytes);
    words.get(..end).unwrap_or_default().to_owned()
}

const MAX_MESSAGE_BYTES: usize = 512;
