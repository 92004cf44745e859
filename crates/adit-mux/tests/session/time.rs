//! Silence, pings, deadlines: what happens when nothing happens.

use std::task::{Context, Waker};

use adit_mux::{
    Config, Moment, RequestBody, ResetReason, Session, SessionError, StreamError, Terms,
};
use adit_proto::tunnel::{self as proto, Frame, frame::Kind};
use bytes::Bytes;

use crate::support::{
    alarm::ring,
    pair::{Pair, Side},
    rogue::{Rogue, frame, ping, reset},
    user::{Found, Sent},
    world::World,
};

fn seconds(count: u64) -> Moment {
    Moment::from_secs(count)
}

fn is_a_ping(heard: &[Frame]) -> bool {
    matches!(heard, [frame] if matches!(frame.kind, Some(Kind::Ping(_))))
}

fn assert_silent(session: &Session, seconds: u64) {
    let end = session.end().expect("an end");
    assert!(
        matches!(**end, SessionError::Silent(silence) if silence == seconds),
        "{end:?}"
    );
}

fn ended(rogue: &Rogue) -> String {
    format!("{:?}", rogue.session.end())
}

#[test]
fn a_handshake_that_does_not_come_is_given_up_after_ten_seconds() {
    for mut rogue in [Rogue::agent(), Rogue::relay()] {
        assert_eq!(rogue.session.next_timeout(), Some(rogue.now + seconds(10)));
        rogue.advance(Moment::from_millis(9_999));
        rogue.assert_unharmed();
        rogue.advance(Moment::from_millis(1));
        assert!(ended(&rogue).contains("HandshakeTimedOut"));
        assert_eq!(rogue.session.next_timeout(), None);
    }
}

#[test]
fn a_silent_peer_is_pinged_after_ten_seconds_and_given_up_after_fifteen() {
    let (mut rogue, _) = Rogue::agent_with_stream();
    rogue.advance(Moment::from_millis(9_999));
    assert!(rogue.heard().is_empty());
    rogue.advance(Moment::from_millis(1));
    assert!(is_a_ping(&rogue.heard()));
    rogue.advance(Moment::from_millis(4_999));
    rogue.assert_unharmed();
    rogue.advance(Moment::from_millis(1));
    assert_silent(&rogue.session, 15);
}

/// It was sent for the window's sake, a second before the peer was to be asked.
#[test]
fn a_ping_that_measures_puts_no_question_off() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(0, Kind::Pong(proto::Pong { token: 1 }));
    rogue.send(id, Kind::Head(Bytes::new()));
    rogue.send(id, Kind::Data(vec![0; 48 << 10].into()));
    rogue.heard();
    rogue.advance(seconds(9));
    let read = rogue
        .session
        .poll_read(id, &Context::from_waker(Waker::noop()));
    assert!(read.is_ready());
    let heard = rogue.heard();
    let is_measuring = |frame: &Frame| matches!(frame.kind, Some(Kind::Ping(_)));
    assert!(heard.iter().any(is_measuring), "{heard:?}");
    rogue.advance(seconds(1));
    assert!(is_a_ping(&rogue.heard()));
    rogue.advance(Moment::from_millis(4_999));
    rogue.assert_unharmed();
    rogue.advance(Moment::from_millis(1));
    assert_silent(&rogue.session, 15);
}

#[test]
fn a_silent_peer_of_whom_nothing_is_wanted_is_pinged_later_and_has_as_long_to_answer() {
    let mut rogue = Rogue::agent().greeted();
    rogue.advance(Moment::from_millis(24_999));
    assert!(rogue.heard().is_empty());
    rogue.advance(Moment::from_millis(1));
    assert!(is_a_ping(&rogue.heard()));
    rogue.advance(Moment::from_millis(4_999));
    rogue.assert_unharmed();
    rogue.advance(Moment::from_millis(1));
    assert_silent(&rogue.session, 30);
}

/// Whoever opens it wants to know whether anybody is there.
#[test]
fn the_first_stream_after_a_long_silence_has_the_peer_asked_in_the_same_batch() {
    let mut rogue = Rogue::agent().greeted();
    rogue.advance(seconds(20));
    assert!(rogue.heard().is_empty());
    let session = &mut rogue.session;
    let opened = session.open(Bytes::new(), RequestBody::Absent, Terms::default());
    opened.unwrap();
    assert!(rogue.session.next_timeout() <= Some(rogue.now));
    rogue.advance(Moment::ZERO);
    let heard = rogue.heard();
    let kinds = |kind: &Option<Kind>| matches!(kind, Some(Kind::Ping(_) | Kind::Open(_)));
    assert!(heard.iter().all(|frame| kinds(&frame.kind)), "{heard:?}");
    assert_eq!(heard.len(), 2);
    rogue.advance(Moment::from_millis(4_999));
    rogue.assert_unharmed();
    rogue.advance(Moment::from_millis(1));
    assert_silent(&rogue.session, 25);
}

#[test]
fn a_stream_that_is_opened_soon_after_a_sign_of_life_asks_for_none() {
    let mut rogue = Rogue::agent().greeted();
    rogue.advance(seconds(9));
    let session = &mut rogue.session;
    let opened = session.open(Bytes::new(), RequestBody::Absent, Terms::default());
    let id = opened.unwrap();
    rogue.advance(Moment::ZERO);
    assert_eq!(rogue.heard().len(), 1);
    // It has gone by the time at which the peer would be asked for its sake.
    rogue.send(id, reset(""));
    rogue.session.release(id);
    rogue.heard();
    rogue.advance(seconds(10));
    assert!(rogue.heard().is_empty());
    rogue.advance(seconds(15));
    assert!(is_a_ping(&rogue.heard()));
}

/// A machine that was asleep, or a process that was stopped: what came meanwhile was not read yet.
#[test]
fn nobody_is_given_up_who_was_not_asked() {
    let (mut rogue, _) = Rogue::agent_with_stream();
    rogue.advance(seconds(3_600));
    assert!(is_a_ping(&rogue.heard()));
    rogue.assert_unharmed();
    rogue.advance(seconds(5));
    assert_silent(&rogue.session, 3_605);
}

#[test]
fn anything_heard_is_a_sign_of_life() {
    let mut rogue = Rogue::agent().greeted();
    for _ in 0..100 {
        rogue.advance(seconds(9));
        rogue.send_frame(frame(0, ping(1)));
        let heard = rogue.heard();
        assert!(
            heard
                .iter()
                .all(|frame| matches!(frame.kind, Some(Kind::Pong(_))))
        );
    }
    rogue.assert_unharmed();
}

#[test]
fn an_idle_pair_lives_for_ever_on_pings() {
    let mut pair = Pair::open();
    let carried = pair.end(Side::Opener).wire.carried;
    pair.set_round_trip(Moment::from_millis(100));
    pair.run_until(pair.now + seconds(3_600), |_| false);
    pair.check();
    for side in Side::BOTH {
        let session = pair.session(side);
        assert!(session.is_open());
        assert_eq!(session.stats().round_trip, Some(Moment::from_millis(100)));
    }
    // A ping or a pong in 25 seconds: 13 bytes.
    assert!(pair.end(Side::Opener).wire.carried - carried < 144 * 2 * 14);
}

/// The relay's interval is the longer one: it has thousands of idle tunnels where an agent has one.
#[test]
fn whoever_asks_later_never_asks_and_knows_the_round_trip_all_the_same() {
    let patient = Config {
        ping_interval: seconds(27),
        ..Config::default()
    };
    let mut pair = Pair::open_with(patient, Config::default());
    pair.set_round_trip(Moment::from_millis(100));
    pair.run_until(pair.now + seconds(3_600), |_| false);
    let before = Side::BOTH.map(|side| pair.end(side).wire.carried);
    pair.set_round_trip(Moment::from_millis(200));
    pair.run_until(pair.now + seconds(3_600), |_| false);
    pair.check();
    for (side, before) in Side::BOTH.into_iter().zip(before) {
        // One question and its answer in 25 seconds, and one more of each in five minutes: 13 bytes.
        let carried = pair.end(side).wire.carried - before;
        assert!(carried <= (144 + 12) * 13, "{side:?}: {carried}");
        let round_trip = pair.session(side).stats().round_trip;
        assert_eq!(round_trip, Some(Moment::from_millis(200)), "{side:?}");
    }
}

/// A relay is woken once for all agents that ask at the same time.
#[test]
fn agents_that_came_at_any_time_ask_at_the_same_time_and_none_later_than_it_may() {
    for began in [0, 1, 300, 999, 1_000, 86_399_750].map(Moment::from_millis) {
        let agent = Config {
            common_clock: Some(began),
            ..Config::default()
        };
        let patient = Config {
            ping_interval: seconds(27),
            ..Config::default()
        };
        let mut pair = Pair::open_with(patient, agent);
        pair.set_round_trip(Moment::from_millis(100));
        let mut heard = pair.now;
        for round in 0..10 {
            let due = pair.session(Side::Acceptor).next_timeout().unwrap();
            assert_eq!((began + due).subsec_nanos(), 0, "{began:?}: {due:?}");
            let silence = due - heard;
            assert!(silence <= seconds(25), "{began:?}: {silence:?}");
            assert!(silence > seconds(24), "{began:?}: {silence:?}");
            pair.run_until(due + seconds(1), |_| false);
            heard = due + Moment::from_millis(100);
            assert!(pair.session(Side::Acceptor).is_open(), "{round}");
        }
    }
}

#[test]
fn a_lost_connection_is_noticed_within_fifteen_seconds_at_both_ends() {
    let mut world = World::new(Config::default(), Config::default());
    world.open(1, true, Terms::default());
    world.pair.settle();
    world.accept().unwrap();
    world.pair.lose_connection();
    let pair = &mut world.pair;
    pair.run_until(pair.now + seconds(15), |_| false);
    for side in Side::BOTH {
        assert_silent(pair.session(side), 15);
    }
    let exchange = &mut world.exchanges[0];
    assert_eq!(exchange.opener.read(pair, &Sent::default()), Found::Failure);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    assert_eq!(acceptor.read(pair, &Sent::default()), Found::Failure);
}

#[test]
fn a_lost_connection_that_nobody_uses_is_noticed_within_thirty_seconds_at_both_ends() {
    let mut pair = Pair::open();
    pair.lose_connection();
    pair.run_until(pair.now + seconds(30), |_| false);
    for side in Side::BOTH {
        assert_silent(pair.session(side), 30);
    }
}

/// The alarm would be set anew with each of them.
#[test]
fn streams_that_follow_one_another_do_not_move_what_is_due() {
    let mut rogue = Rogue::agent().greeted();
    let due = Some(rogue.now + seconds(10));
    for _ in 0..10 {
        let session = &mut rogue.session;
        let opened = session.open(Bytes::new(), RequestBody::Absent, Terms::default());
        let id = opened.unwrap();
        rogue.heard();
        assert_eq!(rogue.session.next_timeout(), due);
        rogue.send(id, reset(""));
        rogue.session.release(id);
        rogue.heard();
        assert_eq!(rogue.session.stats().streams, 0);
        assert_eq!(rogue.session.next_timeout(), due);
    }
}

#[test]
fn a_stream_is_cut_at_its_deadline_and_others_live_on() {
    let mut pair = Pair::open();
    let now = pair.now;
    let deadlines = [Some(now + seconds(1)), Some(now + seconds(2)), None];
    let ids = deadlines.map(|deadline| {
        let terms = Terms { deadline, owner: 0 };
        let session = pair.session(Side::Opener);
        let opened = session.open(Bytes::new(), RequestBody::Follows, terms);
        ring(session);
        opened.unwrap()
    });
    pair.settle();
    let cx = Context::from_waker(Waker::noop());
    let failed = |pair: &mut Pair, after: Moment| {
        pair.run_until(now + after, |_| false);
        ids.map(|id| pair.session(Side::Opener).poll_failure(id, &cx).is_ready())
    };
    assert_eq!(failed(&mut pair, Moment::from_millis(999)), [false; 3]);
    assert_eq!(
        failed(&mut pair, Moment::from_millis(1_250)),
        [true, false, false]
    );
    assert_eq!(
        failed(&mut pair, Moment::from_millis(2_250)),
        [true, true, false]
    );
    let room = pair.session(Side::Opener).poll_room(ids[0], &cx);
    assert!(matches!(
        room,
        std::task::Poll::Ready(Err(StreamError::Cut {
            reason: ResetReason::PermitEnded,
            ..
        }))
    ));
    pair.settle();
    assert_eq!(pair.session(Side::Acceptor).stats().streams, 1);
}

#[test]
fn time_that_goes_backwards_is_ignored() {
    let mut rogue = Rogue::agent().greeted();
    rogue.advance(seconds(24));
    rogue.session.handle_timeout(Moment::ZERO);
    rogue
        .session
        .receive(Bytes::from_static(&[0x0a, 0x00]), Moment::ZERO);
    rogue.advance(seconds(24));
    rogue.assert_unharmed();
    rogue.advance(seconds(1));
    assert_eq!(rogue.heard().len(), 1);
}
