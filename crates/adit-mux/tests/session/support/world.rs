//! A pair and the users of its streams, driven by operations. Knows at any time what each user may still be told.

use std::{collections::VecDeque, task::Poll};

use adit_mux::{Accepted, Config, Limits, OpenError, RequestBody, StreamId, Terms};

use super::{
    alarm::{Alarm, ring},
    operation::Operation,
    pair::{Pair, Side},
    user::{End, Found, Sent, User},
};

/// See the file's documentation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pair: Pair,
    pub(crate) exchanges: Vec<Exchange>,
    accepting: Alarm,
    /// What the acceptor's users were told besides: heads of opens, by id.
    opened: VecDeque<StreamId>,
}

/// One stream with the users at its ends.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) opener: User,
    pub(crate) acceptor: Option<User>,
    /// Whether anything was done that may end it early.
    pub(crate) is_disturbed: bool,
    owner: u64,
}

impl World {
    pub(crate) fn new(opener: Config, acceptor: Config) -> Self {
        Self {
            pair: Pair::open_with(opener, acceptor),
            exchanges: Vec::new(),
            accepting: Alarm::default(),
            opened: VecDeque::new(),
        }
    }

    /// Small everything, so that each bound is met.
    pub(crate) fn tight() -> Config {
        Config {
            limits: Limits {
                stream_credit: 1_000,
                max_streams: 3,
                ..Limits::default()
            },
            max_stream_credit: 4_000,
            max_queued_bytes: 3_000,
            stream_queue_bytes: 1_500,
            quantum: 100,
            ..Config::default()
        }
    }

    /// Does one operation; one that makes no sense now does nothing.
    pub(crate) fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Open {
                head,
                has_body,
                deadline,
                owner,
            } => {
                let deadline = deadline.map(|after| self.pair.now + after);
                self.open(head, has_body, Terms { deadline, owner });
            }
            Operation::Accept => {
                self.accept();
            }
            Operation::Head { stream, length } => {
                self.with(Side::Acceptor, stream, |user, pair, _| {
                    user.head(pair, length);
                })
            }
            Operation::Write {
                side,
                stream,
                length,
            } => self.with(side, stream, |user, pair, _| {
                if user.may_send_data() {
                    user.write(pair, length);
                }
            }),
            Operation::End { side, stream } => self.with(side, stream, |user, pair, _| {
                if user.may_send_data() {
                    user.end(pair);
                }
            }),
            Operation::Trailers {
                side,
                stream,
                length,
            } => self.with(side, stream, |user, pair, _| {
                if user.may_send_data() {
                    user.trailers(pair, length);
                }
            }),
            Operation::Read {
                side,
                stream,
                times,
            } => self.with(side, stream, |user, pair, peer| {
                for _ in 0..times {
                    if user.read(pair, peer) != Found::Something {
                        break;
                    }
                }
            }),
            Operation::Reset {
                side,
                stream,
                reason,
            } => self.disturb(side, stream, |user, pair| user.reset(pair, reason)),
            Operation::Release { side, stream } => {
                self.disturb(side, stream, |user, pair| user.release(pair));
            }
            Operation::EndStreams { owner } => self.end_streams(owner),
            Operation::Transmit { side, max } => {
                self.pair.transmit(side, max);
            }
            Operation::Deliver { side, at_most } => {
                self.pair.deliver(side, at_most);
            }
            Operation::Exchange => {
                self.pair.exchange();
            }
            Operation::Advance { by } => self.pair.advance_to(self.pair.now + by),
            Operation::Drain { side } => {
                let session = self.pair.session(side);
                session.drain("enough");
                ring(session);
            }
        }
        self.pair.check();
    }

    pub(crate) fn open(&mut self, head: usize, has_body: bool, terms: Terms) -> Option<usize> {
        let body = if has_body {
            RequestBody::Follows
        } else {
            RequestBody::Absent
        };
        let content = User::head_content(Side::Opener, 0, head);
        let session = self.pair.session(Side::Opener);
        let opened = session.open(content, body, terms);
        ring(session);
        let id = match opened {
            Ok(id) => id,
            Err(OpenError::HeadTooLarge) => panic!("no head is that large"),
            Err(_) => return None,
        };
        let mut opener = User::new(Side::Opener, id);
        opener.sent.heads.push(head);
        if !has_body {
            opener.sent.end = End::Plain;
        }
        self.exchanges.push(Exchange {
            opener,
            acceptor: None,
            is_disturbed: terms.deadline.is_some(),
            owner: terms.owner,
        });
        Some(self.exchanges.len() - 1)
    }

    /// Accepts the next stream, in the order of opening.
    pub(crate) fn accept(&mut self) -> Option<usize> {
        let polled = self
            .accepting
            .poll(self.pair.session(Side::Acceptor), |session, cx| {
                session.poll_accept(cx)
            });
        let Poll::Ready(Some(Accepted { id, head })) = polled else {
            return None;
        };
        assert!(self.opened.back() < Some(&id), "opens arrive in order");
        self.opened.push_back(id);
        let find = |exchange: &Exchange| exchange.opener.id == id;
        let index = self.exchanges.iter().position(find).expect("opened before");
        let exchange = &mut self.exchanges[index];
        let length = exchange.opener.sent.heads[0];
        assert_eq!(head, User::head_content(Side::Opener, 0, length));
        assert!(exchange.acceptor.is_none(), "accepted twice");
        exchange.acceptor = Some(User::new(Side::Acceptor, id));
        Some(index)
    }

    /// Has all users that are left finish in good order, then checks that each undisturbed stream arrived whole, and that nothing
    /// stays behind.
    pub(crate) fn finish(mut self) {
        for _ in 0..1_000_000 {
            let mut has_moved = self.pair.exchange();
            has_moved |= self.accept().is_some();
            for exchange in &mut self.exchanges {
                has_moved |= exchange.finish(&mut self.pair);
            }
            if has_moved {
                continue;
            }
            let quiet_at = self.pair.now;
            self.pair.settle();
            if self.pair.now == quiet_at {
                break;
            }
        }
        let is_over = Side::BOTH.map(|side| self.pair.session(side).end().is_some());
        let is_whole = is_over == [false, false];
        for exchange in &mut self.exchanges {
            exchange.check_ends(is_whole);
            exchange.release(&mut self.pair);
        }
        self.pair.settle();
        self.pair.assert_empty();
        if is_whole {
            self.apply(Operation::Drain { side: Side::Opener });
            self.pair.settle();
            for side in Side::BOTH {
                assert!(self.pair.session(side).is_drained());
            }
        }
    }

    fn end_streams(&mut self, owner: u64) {
        let session = self.pair.session(Side::Opener);
        session.end_streams(owner, adit_mux::ResetReason::PermitEnded, "over");
        ring(session);
        for exchange in &mut self.exchanges {
            exchange.is_disturbed |= exchange.owner == owner;
        }
    }

    /// The user of a stream, if it is still there, with what its peer sent.
    fn with(&mut self, side: Side, stream: usize, act: impl FnOnce(&mut User, &mut Pair, &Sent)) {
        let count = self.exchanges.len();
        let Some(exchange) = self.exchanges.get_mut(stream % count.max(1)) else {
            return;
        };
        if let Some((user, peer)) = exchange.user(side)
            && user.is_held
        {
            act(user, &mut self.pair, &peer);
        }
    }

    fn disturb(&mut self, side: Side, stream: usize, act: impl FnOnce(&mut User, &mut Pair)) {
        let count = self.exchanges.len();
        let Some(exchange) = self.exchanges.get_mut(stream % count.max(1)) else {
            return;
        };
        if let Some((user, _)) = exchange.user(side)
            && user.is_held
        {
            act(user, &mut self.pair);
            exchange.is_disturbed = true;
        }
    }
}

impl Exchange {
    /// The user at one end, and what the other sent.
    pub(crate) fn user(&mut self, side: Side) -> Option<(&mut User, Sent)> {
        match side {
            Side::Opener => {
                let peer = self.acceptor.as_ref().map(|user| user.sent.clone());
                Some((&mut self.opener, peer.unwrap_or_default()))
            }
            Side::Acceptor => {
                let peer = self.opener.sent.clone();
                self.acceptor.as_mut().map(|user| (user, peer))
            }
        }
    }

    pub(crate) fn release(&mut self, pair: &mut Pair) {
        self.opener.release(pair);
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.release(pair);
        }
    }

    /// Ends what is open, reads what there is.
    fn finish(&mut self, pair: &mut Pair) -> bool {
        let mut has_moved = false;
        for side in Side::BOTH {
            let Some((user, peer)) = self.user(side).filter(|(user, _)| user.is_held) else {
                continue;
            };
            if side == Side::Acceptor && user.sent.heads.is_empty() {
                has_moved |= user.head(pair, 10);
            }
            has_moved |= user.end(pair);
            has_moved |= user.read_all(pair, &peer);
        }
        has_moved
    }

    /// A stream that nobody disturbed arrived whole at both ends; any other has an end or a reason at whoever still holds it.
    fn check_ends(&mut self, is_whole: bool) {
        // The acceptor may count a stream that the opener does not any more, and refuses then.
        let is_refused = self.acceptor.is_none()
            && (self.opener.failure.as_ref()).is_some_and(|failure| failure.contains("Refused"));
        let is_disturbed = self.is_disturbed || !is_whole || is_refused;
        let id = self.opener.id;
        for side in Side::BOTH {
            let Some((user, peer)) = self.user(side) else {
                assert!(is_disturbed, "stream {id} was never accepted");
                continue;
            };
            if is_disturbed {
                let has_ended = user.seen.end || user.failure.is_some();
                assert!(
                    has_ended || !user.is_held,
                    "stream {id} ends never at {side:?}"
                );
            } else {
                assert_eq!(user.failure, None, "stream {id} at the {side:?}");
                assert!(user.seen.end, "stream {id} does not end at the {side:?}");
                // Only now: while it ran, a head may have been read before it was counted as sent.
                let is_opener = side == Side::Opener;
                assert!(!is_opener || user.seen.heads == peer.heads.len());
            }
        }
    }
}

impl User {
    /// An acceptor's data comes behind a head.
    fn may_send_data(&self) -> bool {
        self.side == Side::Opener || !self.sent.heads.is_empty()
    }
}
