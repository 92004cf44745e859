//! Silence, pings, deadlines: what happens when nothing happens.

use std::task::{Context, Waker};

use adit_mux::{Config, Moment, RequestBody, ResetReason, SessionError, StreamError, Terms};
use adit_proto::tunnel::frame::Kind;
use bytes::Bytes;

use crate::support::{
    alarm::ring,
    pair::{Pair, Side},
    rogue::{Rogue, frame, ping},
    user::{Found, Sent},
    world::World,
};

fn seconds(count: u64) -> Moment {
    Moment::from_secs(count)
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
    let mut rogue = Rogue::agent().greeted();
    rogue.advance(Moment::from_millis(9_999));
    assert!(rogue.heard().is_empty());
    rogue.advance(Moment::from_millis(1));
    let heard = rogue.heard();
    assert!(matches!(&heard[..], [frame] if matches!(frame.kind, Some(Kind::Ping(_)))));
    rogue.advance(Moment::from_millis(4_999));
    rogue.assert_unharmed();
    rogue.advance(Moment::from_millis(1));
    let end = rogue.session.end().expect("an end");
    assert!(matches!(**end, SessionError::Silent(15)), "{end:?}");
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
    // A ping or a pong in ten seconds: 13 bytes.
    assert!(pair.end(Side::Opener).wire.carried - carried < 360 * 2 * 14);
}

/// The relay's interval is the longer one: it has thousands of idle tunnels where an agent has one.
#[test]
fn whoever_asks_later_never_asks_and_knows_the_round_trip_all_the_same() {
    let patient = Config {
        ping_interval: seconds(12),
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
        // One question and its answer in ten seconds, and one more of each in a minute: 13 bytes.
        let carried = pair.end(side).wire.carried - before;
        assert!(carried <= (360 + 60) * 13, "{side:?}: {carried}");
        let round_trip = pair.session(side).stats().round_trip;
        assert_eq!(round_trip, Some(Moment::from_millis(200)), "{side:?}");
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
        let end = pair.session(side).end().expect("an end");
        assert!(matches!(**end, SessionError::Silent(15)), "{end:?}");
    }
    let exchange = &mut world.exchanges[0];
    assert_eq!(exchange.opener.read(pair, &Sent::default()), Found::Failure);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    assert_eq!(acceptor.read(pair, &Sent::default()), Found::Failure);
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
    rogue.advance(seconds(9));
    rogue.session.handle_timeout(Moment::ZERO);
    rogue
        .session
        .receive(Bytes::from_static(&[0x0a, 0x00]), Moment::ZERO);
    rogue.advance(seconds(9));
    rogue.assert_unharmed();
    rogue.advance(seconds(1));
    assert_eq!(rogue.heard().len(), 1);
}
