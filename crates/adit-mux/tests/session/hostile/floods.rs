//! Frames that cost their sender nothing: HTTP/2's rapid reset (CVE-2023-44487) and its kin. And crowds that are none.

use std::task::{Context, Poll, Waker};

use adit_mux::{Config, Misbehaviour, Moment, RequestBody, Terms};
use adit_proto::tunnel::{self as proto, Frame, frame::Kind};
use bytes::Bytes;

use crate::support::{
    alarm::ring,
    pair::{Pair, Side},
    rogue::{Rogue, credit, ping, reset},
};

/// Sends what `flood` says until the session has had enough; how often that was.
fn flood(rogue: &mut Rogue, mut send: impl FnMut(&mut Rogue, u64)) -> u64 {
    // A megabyte of the session's own answers is read now and then, so that they are not what it stumbles over.
    for round in 1..=1_000_000 {
        send(rogue, round);
        if round % 500 == 0 {
            rogue.heard();
        }
        if rogue.session.end().is_some() {
            return round;
        }
    }
    panic!("a million times, and no end");
}

fn caught(rogue: &Rogue, what: &'static str) {
    assert_eq!(rogue.rule(), Some(Misbehaviour::Flood(what)));
}

#[test]
fn pings_are_a_flood() {
    let mut rogue = Rogue::agent().greeted();
    assert!(flood(&mut rogue, |rogue, round| rogue.send(0, ping(round))) < 10_000);
    caught(&rogue, "pings");
}

#[test]
fn two_pings_a_second_are_not_a_flood() {
    let mut rogue = Rogue::agent().greeted();
    for round in 0..100_000 {
        rogue.advance(Moment::from_millis(500));
        rogue.send(0, ping(round));
        rogue.heard();
    }
    rogue.assert_unharmed();
}

#[test]
fn pongs_that_nobody_asked_for_are_a_flood() {
    let mut rogue = Rogue::agent().greeted();
    flood(&mut rogue, |rogue, token| {
        rogue.send(0, Kind::Pong(proto::Pong { token: token + 9 }));
    });
    caught(&rogue, "pongs");
}

#[test]
fn drains_are_a_flood() {
    let mut rogue = Rogue::agent().greeted();
    flood(&mut rogue, |rogue, _| {
        rogue.send(0, Kind::Drain(proto::Drain::default()));
    });
    caught(&rogue, "drains");
}

#[test]
fn opens_that_are_reset_at_once_are_a_flood() {
    let mut rogue = Rogue::relay().greeted();
    flood(&mut rogue, |rogue, id| {
        rogue.send(id, Kind::Open(Bytes::new()));
        rogue.send(id, reset(""));
        assert_eq!(rogue.session.stats().streams, 0);
        // Nobody accepts: what waits to be accepted has a bound, too.
        if id % 1_000 == 0 {
            rogue.session.assert_invariants();
        }
    });
    caught(&rogue, "resets");
}

/// As slowly as is never a flood, and still nothing may grow.
#[test]
fn slow_opens_and_resets_leave_nothing_behind() {
    let mut rogue = Rogue::relay_with(small()).greeted();
    for id in 1..=20_000 {
        rogue.send(id, Kind::Open(Bytes::new()));
        rogue.send(id, reset(""));
        if id % 100 == 0 {
            rogue.advance(Moment::from_millis(100));
            rogue.session.assert_invariants();
        }
    }
    rogue.assert_unharmed();
}

fn small() -> Config {
    let mut config = Config::default();
    config.limits.max_streams = 10;
    config
}

#[test]
fn opens_beyond_the_limit_are_a_flood() {
    let mut rogue = Rogue::relay_with(small()).greeted();
    flood(&mut rogue, |rogue, id| {
        rogue.send(id, Kind::Open(Bytes::new()))
    });
    caught(&rogue, "opens beyond the limit");
}

#[test]
fn unknown_frames_are_a_flood() {
    let mut rogue = Rogue::relay().greeted();
    flood(&mut rogue, |rogue, _| rogue.send_frame(Frame::default()));
    caught(&rogue, "unknown frames");
}

#[test]
fn frames_for_a_stream_that_is_gone_are_a_flood() {
    let late = [
        (reset(""), "late resets"),
        (credit(1), "late credit"),
        (Kind::Trailers(Bytes::new()), "late trailers"),
    ];
    for (kind, what) in late {
        let mut rogue = Rogue::relay().greeted();
        rogue.send(1, Kind::Open(Bytes::new()));
        rogue.send(1, reset(""));
        flood(&mut rogue, |rogue, _| rogue.send(1, kind.clone()));
        caught(&rogue, what);
    }
}

/// Whoever holds the stream has not noticed yet: only the first reset is news.
#[test]
fn a_reset_again_and_again_is_a_flood() {
    let mut relay = Rogue::relay().greeted();
    relay.send(1, Kind::Open(Bytes::new()));
    let cx = Context::from_waker(Waker::noop());
    assert!(relay.session.poll_accept(&cx).is_ready());
    relay
        .session
        .send_head(1, Bytes::from_static(b"head"))
        .unwrap();
    let mut agent = Rogue::agent().greeted();
    let opened = agent
        .session
        .open(Bytes::new(), RequestBody::Follows, Terms::default());
    assert_eq!(opened, Ok(1));
    for mut rogue in [relay, agent] {
        rogue.heard();
        flood(&mut rogue, |rogue, _| rogue.send(1, reset("")));
        caught(&rogue, "late resets");
    }
}

#[test]
fn a_peer_that_asks_and_never_listens_is_ended_before_its_answers_fill_memory() {
    let mut rogue = Rogue::relay_with(small()).greeted();
    let mut id = 0;
    while rogue.session.end().is_none() {
        id += 1;
        rogue.advance(Moment::from_millis(1));
        rogue.send(id, Kind::Open(Bytes::new()));
        assert!(id < 1_000_000);
    }
    assert!(matches!(rogue.rule(), Some(Misbehaviour::Flood(_))));
}

/// Ten thousand watches, cancelled in one moment from either side, and again: that is a client that left, not a flood.
#[test]
fn mass_cancellation_by_an_honest_peer_is_no_flood() {
    for side in Side::BOTH {
        let mut pair = Pair::open();
        for _ in 0..2 {
            let ids = open_many(&mut pair, 10_000);
            // Data is under way in both directions when the streams go.
            for side in Side::BOTH {
                let session = pair.session(side);
                for id in &ids {
                    if side == Side::Acceptor {
                        session.send_head(*id, Bytes::from_static(b"head")).unwrap();
                    }
                    session
                        .write(*id, Bytes::from_static(b"data"), false)
                        .unwrap();
                }
                ring(session);
            }
            pair.exchange();
            let session = pair.session(side);
            ids.iter().for_each(|id| session.release(*id));
            ring(session);
            pair.settle();
            let session = pair.session(side.other());
            ids.iter().for_each(|id| session.release(*id));
            ring(session);
            pair.settle();
            pair.assert_empty();
            pair.advance_to(pair.now + Moment::from_secs(1));
        }
    }
}

/// Opens so many streams that the peer accepts.
fn open_many(pair: &mut Pair, count: usize) -> Vec<u64> {
    let session = pair.session(Side::Opener);
    let ids: Vec<_> = (0..count)
        .map(|_| {
            session
                .open(Bytes::new(), RequestBody::Follows, Terms::default())
                .unwrap()
        })
        .collect();
    ring(session);
    pair.settle();
    let session = pair.session(Side::Acceptor);
    let cx = Context::from_waker(Waker::noop());
    for _ in &ids {
        assert!(matches!(session.poll_accept(&cx), Poll::Ready(Some(_))));
    }
    ids
}
