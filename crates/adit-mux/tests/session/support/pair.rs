//! Two sessions that talk to each other over two wires. Checks after every step what must hold of honest peers.

use std::{sync::Arc, task::Poll};

use adit_mux::{Budget, CloseReason, Config, Moment, Session, SessionError};
use bytes::Bytes;

use super::{
    alarm::{Alarm, ring},
    wire::Wire,
};

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Opener,
    Acceptor,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Opener, Self::Acceptor];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// One end, and the wire that carries what it sends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) budget: Arc<Budget>,
    pub(crate) wire: Wire,
    driver: Alarm,
}

/// Both ends and the clock.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Moment,
    /// What the writer asks for at once.
    pub(crate) batch_bytes: usize,
    opener: End,
    acceptor: End,
}

impl Pair {
    /// A pair whose handshake is under way.
    pub(crate) fn new(opener: Config, acceptor: Config) -> Self {
        Self::with_budgets(
            opener,
            acceptor,
            Budget::new(64 << 20),
            Budget::new(64 << 20),
        )
    }

    pub(crate) fn with_budgets(
        opener: Config,
        acceptor: Config,
        opener_budget: Arc<Budget>,
        acceptor_budget: Arc<Budget>,
    ) -> Self {
        // Not zero: what takes a fresh clock for "never" would hide there.
        let now = Moment::from_secs(1);
        let id = Bytes::from_static(&[7; 16]);
        let end = |session, budget| End {
            session,
            budget,
            wire: Wire::default(),
            driver: Alarm::default(),
        };
        Self {
            now,
            batch_bytes: 64 << 10,
            opener: end(
                Session::opener(opener, id, Arc::clone(&opener_budget), now),
                opener_budget,
            ),
            acceptor: end(
                Session::acceptor(acceptor, Arc::clone(&acceptor_budget), now),
                acceptor_budget,
            ),
        }
    }

    /// A pair with default configuration whose handshake is done.
    pub(crate) fn open() -> Self {
        Self::open_with(Config::default(), Config::default())
    }

    pub(crate) fn open_with(opener: Config, acceptor: Config) -> Self {
        let mut pair = Self::new(opener, acceptor);
        pair.settle();
        assert!(Side::BOTH.iter().all(|side| pair.session(*side).is_open()));
        pair
    }

    pub(crate) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Opener => &mut self.opener,
            Side::Acceptor => &mut self.acceptor,
        }
    }

    pub(crate) fn session(&mut self, side: Side) -> &mut Session {
        &mut self.end(side).session
    }

    /// Has both wires delay bytes by half of this.
    pub(crate) fn set_round_trip(&mut self, round_trip: Moment) {
        for side in Side::BOTH {
            self.end(side).wire.delay = round_trip / 2;
        }
    }

    /// Neither direction carries anything any more, and nobody is told.
    pub(crate) fn lose_connection(&mut self) {
        for side in Side::BOTH {
            self.end(side).wire.is_lost = true;
        }
    }

    /// Has an end's writer pull one batch of about `max` bytes, if its line is free; whether there was any.
    pub(crate) fn transmit(&mut self, side: Side, max: usize) -> bool {
        let now = self.now;
        let end = self.end(side);
        if !end.wire.is_free(now) {
            return false;
        }
        let batch = end.driver.poll(&mut end.session, |session, cx| {
            session
                .transmit::<0>(max, cx, |_| [])
                .map_or(Poll::Pending, Poll::Ready)
        });
        let Poll::Ready(batch) = batch else {
            return false;
        };
        self.end(side).wire.carry(batch, now);
        true
    }

    /// Gives an end the next piece that has arrived for it, of at most so many bytes; whether there was any.
    pub(crate) fn deliver(&mut self, side: Side, at_most: usize) -> bool {
        let now = self.now;
        let Some(piece) = self.end(side.other()).wire.arrived(now, at_most) else {
            return false;
        };
        let end = self.end(side);
        end.session.receive(piece, now);
        ring(&mut end.session);
        true
    }

    /// Moves what can move now, a batch and whatever has arrived; whether there was any.
    pub(crate) fn exchange(&mut self) -> bool {
        let mut has_moved = false;
        for side in Side::BOTH {
            has_moved |= self.transmit(side, self.batch_bytes);
        }
        for side in Side::BOTH {
            while self.deliver(side, usize::MAX) {
                has_moved = true;
            }
        }
        self.check();
        has_moved
    }

    /// Lets time pass until nothing is due and the wires are quiet, or until it is clear that this will never be.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if self.exchange() {
                continue;
            }
            let Some(next) = self.next_wire_event() else {
                return;
            };
            self.advance_to(next);
        }
        panic!("the wires never fall quiet");
    }

    /// Lets time pass until `end`; `user` acts at each moment at which something has moved, and says whether it moved anything.
    pub(crate) fn run_until(&mut self, end: Moment, mut user: impl FnMut(&mut Self) -> bool) {
        loop {
            let has_moved = self.exchange();
            if user(self) || has_moved {
                continue;
            }
            let timeouts = Side::BOTH.map(|side| self.session(side).next_timeout());
            let next = timeouts
                .into_iter()
                .flatten()
                .chain(self.next_wire_event())
                .min();
            match next {
                Some(next) if next < end => self.advance_to(next),
                _ => return self.advance_to(end),
            }
        }
    }

    /// Moves the clock, with each timer called when it is due.
    pub(crate) fn advance_to(&mut self, end: Moment) {
        for side in Side::BOTH {
            let now = self.now;
            let session = self.session(side);
            // A timer that is not due later after it was called would spin its driver.
            let mut previous = None;
            while let Some(due) = session.next_timeout().filter(|due| *due <= end) {
                let due = due.max(now);
                assert!(previous < Some(due), "a timer stays due at {due:?}");
                previous = Some(due);
                session.handle_timeout(due);
                ring(session);
            }
            session.handle_timeout(end);
            ring(session);
        }
        self.now = self.now.max(end);
        self.check();
    }

    /// What must hold at any time.
    pub(crate) fn check(&mut self) {
        for side in Side::BOTH {
            let End {
                session, budget, ..
            } = self.end(side);
            session.assert_invariants();
            assert!(
                !matches!(
                    session.end().map(|end| &**end),
                    Some(
                        SessionError::PeerMisbehaved(_)
                            | SessionError::ClosedByPeer {
                                reason: CloseReason::Protocol,
                                ..
                            }
                    )
                ),
                "an honest peer is blamed at the {side:?}: {:?}",
                session.end()
            );
            assert_eq!(budget.held(), session.stats().buffered_bytes);
        }
    }

    /// What must hold once nobody uses the pair any more and the wires are quiet.
    pub(crate) fn assert_empty(&mut self) {
        for side in Side::BOTH {
            let end = self.end(side);
            let stats = end.session.stats();
            assert_eq!(stats.streams, 0, "streams left at the {side:?}");
            assert_eq!(stats.buffered_bytes, 0, "unread at the {side:?}");
            assert_eq!(stats.queued_bytes, 0, "unsent at the {side:?}");
            assert_eq!(end.budget.held(), 0, "budget of the {side:?}");
        }
    }

    fn next_wire_event(&self) -> Option<Moment> {
        let wires = [&self.opener.wire, &self.acceptor.wire];
        wires
            .into_iter()
            .filter_map(|wire| wire.next_event(self.now))
            .min()
    }
}
