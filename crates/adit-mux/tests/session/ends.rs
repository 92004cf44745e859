//! How streams and sessions end: once, for one reason, whole or visibly not, and with nothing left behind.

use std::task::Poll;

use adit_mux::{Config, Limits, Read, RequestBody, ResetReason, SessionError, StreamError, Terms};
use bytes::Bytes;

use crate::support::{
    alarm::ring,
    pair::{Pair, Side},
    user::{Found, Sent},
    world::{Exchange, World},
};

/// A world with one stream that was accepted.
fn exchange(has_body: bool) -> World {
    let mut world = World::new(Config::default(), Config::default());
    world.open(100, has_body, Terms::default()).expect("room");
    world.pair.settle();
    world.accept().expect("an open");
    world
}

fn parts(world: &mut World) -> (&mut Pair, &mut Exchange) {
    (&mut world.pair, &mut world.exchanges[0])
}

fn answer(pair: &mut Pair, exchange: &mut Exchange, body: usize) {
    let acceptor = exchange.acceptor.as_mut().unwrap();
    acceptor.head(pair, 50);
    acceptor.write(pair, body);
    acceptor.end(pair);
}

fn read_answer(pair: &mut Pair, exchange: &mut Exchange) -> Found {
    let sent: Sent = exchange.acceptor.as_ref().unwrap().sent.clone();
    loop {
        let found = exchange.opener.read(pair, &sent);
        if found != Found::Something {
            return found;
        }
    }
}

#[test]
fn both_halves_carry_heads_bodies_and_trailers() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    exchange.opener.write(pair, 70_000);
    exchange.opener.trailers(pair, 20);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    acceptor.head(pair, 0);
    acceptor.head(pair, 65_536);
    acceptor.write(pair, 1);
    acceptor.trailers(pair, 65_536);
    world.finish();
}

#[test]
fn an_answer_may_end_while_the_request_flows() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    answer(pair, exchange, 10);
    pair.settle();
    assert_eq!(read_answer(pair, exchange), Found::End);
    assert!(exchange.opener.write(pair, 30_000));
    pair.settle();
    let sent = exchange.opener.sent.clone();
    let acceptor = exchange.acceptor.as_mut().unwrap();
    assert!(acceptor.read_all(pair, &sent));
    assert_eq!(acceptor.seen.bytes, 30_000);
    world.finish();
}

/// Found by reading: neither end had a reason to forget the stream, and its request waited for credit for ever.
#[test]
fn a_request_that_its_answer_did_not_wait_for_is_let_go_of() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    for _ in 0..2 {
        exchange.opener.write(pair, 100_000);
    }
    exchange.opener.end(pair);
    pair.settle();
    answer(pair, exchange, 1_000);
    exchange.acceptor.as_mut().unwrap().release(pair);
    pair.settle();
    assert_eq!(read_answer(pair, exchange), Found::End);
    exchange.opener.release(pair);
    pair.settle();
    pair.assert_empty();
}

#[test]
fn an_answer_stays_whole_when_the_rest_of_its_request_is_not_wanted() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    answer(pair, exchange, 60_000);
    exchange.acceptor.as_mut().unwrap().release(pair);
    pair.settle();
    assert_eq!(pair.session(Side::Acceptor).stats().streams, 0);
    // What is still written goes nowhere, and is no failure.
    for _ in 0..10 {
        assert!(exchange.opener.write(pair, 100_000));
    }
    assert_eq!(pair.session(Side::Opener).stats().queued_bytes, 0);
    assert_eq!(read_answer(pair, exchange), Found::End);
    assert_eq!(exchange.opener.failure, None);
    exchange.opener.release(pair);
    pair.settle();
    pair.assert_empty();
}

#[test]
fn an_answer_that_was_not_finished_is_cut_off_by_a_release() {
    let mut world = exchange(false);
    let (pair, exchange) = parts(&mut world);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    acceptor.head(pair, 5);
    acceptor.write(pair, 5_000);
    pair.settle();
    acceptor.release(pair);
    pair.settle();
    assert_eq!(read_answer(pair, exchange), Found::Failure);
    assert_eq!(exchange.opener.seen.bytes, 5_000);
    exchange.is_disturbed = true;
    world.finish();
}

#[test]
fn a_release_lets_a_finished_answer_leave() {
    let mut world = exchange(false);
    let (pair, exchange) = parts(&mut world);
    answer(pair, exchange, 100_000);
    exchange.acceptor.as_mut().unwrap().release(pair);
    let mut found = Found::Nothing;
    while found != Found::End {
        pair.settle();
        found = read_answer(pair, exchange);
    }
    assert_eq!(exchange.opener.seen.bytes, 100_000);
    exchange.is_disturbed = true;
    world.finish();
}

/// An opener that lets go of an answer lets its request arrive, when it was written to its end.
#[test]
fn a_complete_request_arrives_although_its_answer_is_not_read() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    exchange.opener.write(pair, 100_000);
    exchange.opener.end(pair);
    answer(pair, exchange, 1_000);
    pair.settle();
    exchange.opener.release(pair);
    exchange.is_disturbed = true;
    let sent = exchange.opener.sent.clone();
    for _ in 0..10 {
        let acceptor = exchange.acceptor.as_mut().unwrap();
        acceptor.read_all(pair, &sent);
        pair.settle();
    }
    assert!(exchange.acceptor.as_ref().unwrap().seen.end);
    world.finish();
}

#[test]
fn a_cancelled_request_resets_the_stream_and_frees_both_ends() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    exchange.opener.write(pair, 100_000);
    answer(pair, exchange, 100_000);
    pair.settle();
    exchange.opener.release(pair);
    pair.settle();
    let sent = exchange.opener.sent.clone();
    let acceptor = exchange.acceptor.as_mut().unwrap();
    while acceptor.read(pair, &sent) == Found::Something {}
    assert!(acceptor.failure.as_ref().unwrap().contains("Cancelled"));
    acceptor.release(pair);
    pair.assert_empty();
}

#[test]
fn an_open_that_is_cancelled_before_it_left_never_leaves() {
    let mut pair = Pair::open();
    let carried = pair.end(Side::Opener).wire.carried;
    let session = pair.session(Side::Opener);
    let head = Bytes::from_static(b"head");
    for _ in 0..100 {
        let id = session
            .open(head.clone(), RequestBody::Absent, Terms::default())
            .unwrap();
        session.release(id);
    }
    ring(session);
    pair.settle();
    assert_eq!(pair.end(Side::Opener).wire.carried, carried);
    pair.assert_empty();
}

/// A stream that was reset by its peer and then cut here told first the one, then the other.
#[test]
fn the_first_reason_stands() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    exchange.opener.write(pair, 10_000);
    pair.settle();
    exchange.opener.reset(pair, ResetReason::PermitEnded);
    pair.settle();
    let acceptor = exchange.acceptor.as_mut().unwrap();
    assert!(!acceptor.has_room(pair));
    let first = acceptor.failure.clone().unwrap();
    assert!(first.contains("PermitEnded"));
    acceptor.reset(pair, ResetReason::Internal);
    assert_eq!(acceptor.read(pair, &Sent::default()), Found::Failure);
    assert_eq!(acceptor.failure, Some(first));
    pair.session(Side::Acceptor)
        .close(SessionError::Transport("gone".to_owned()));
    assert_eq!(acceptor.read(pair, &Sent::default()), Found::Failure);
}

/// An answer that had arrived whole was told to be cut off because the connection was lost before its reader came.
#[test]
fn what_had_arrived_whole_is_whole_after_the_session_ended() {
    let mut world = exchange(false);
    let (pair, exchange) = parts(&mut world);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    acceptor.head(pair, 5);
    acceptor.write(pair, 5_000);
    acceptor.trailers(pair, 50);
    pair.settle();
    pair.session(Side::Opener)
        .close(SessionError::Transport("gone".to_owned()));
    assert_eq!(read_answer(pair, exchange), Found::End);
    exchange.opener.release(pair);
    assert_eq!(pair.end(Side::Opener).budget.held(), 0);
}

#[test]
fn what_had_not_arrived_whole_is_not_whole_after_the_session_ended() {
    let mut world = exchange(false);
    let (pair, exchange) = parts(&mut world);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    acceptor.head(pair, 5);
    acceptor.write(pair, 5_000);
    pair.settle();
    acceptor.end(pair);
    pair.session(Side::Opener)
        .close(SessionError::Transport("gone".to_owned()));
    assert_eq!(read_answer(pair, exchange), Found::Failure);
    assert!(exchange.opener.failure.as_ref().unwrap().contains("gone"));
}

/// A whole answer that was thrown away unread must not look like one that was empty.
#[test]
fn what_was_dropped_unread_does_not_look_complete() {
    let mut world = exchange(false);
    let (pair, exchange) = parts(&mut world);
    answer(pair, exchange, 5_000);
    pair.settle();
    exchange.opener.reset(pair, ResetReason::Overloaded);
    assert_eq!(read_answer(pair, exchange), Found::Failure);
    assert!(!pair.session(Side::Opener).is_read_end(exchange.opener.id));
}

#[test]
fn a_lost_connection_fails_all_streams_and_frees_what_nobody_holds() {
    let mut world = exchange(true);
    for _ in 0..10 {
        world.open(1_000, true, Terms::default());
    }
    world.pair.settle();
    // Ten were never accepted: the process must not go on counting them.
    let session = world.pair.session(Side::Acceptor);
    session.close(SessionError::Transport("gone".to_owned()));
    ring(session);
    assert_eq!(session.stats().streams, 1);
    assert_eq!(world.pair.end(Side::Acceptor).budget.held(), 0);
    assert_eq!(world.accept(), None);
    let (pair, exchange) = parts(&mut world);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    assert_eq!(acceptor.read(pair, &Sent::default()), Found::Failure);
    acceptor.release(pair);
    assert_eq!(pair.session(Side::Acceptor).stats().streams, 0);
}

#[test]
fn a_dropped_session_gives_its_share_of_the_budget_back() {
    let mut world = exchange(true);
    let (pair, exchange) = parts(&mut world);
    exchange.opener.write(pair, 60_000);
    pair.settle();
    let budget = std::sync::Arc::clone(&pair.end(Side::Acceptor).budget);
    assert!(budget.held() >= 60_000);
    drop(world);
    assert_eq!(budget.held(), 0);
}

#[test]
fn past_the_bound_on_unread_bytes_the_stream_that_holds_most_is_cut() {
    let config = Config {
        max_buffered_bytes: 100_000,
        ..Config::default()
    };
    let mut world = World::new(Config::default(), config);
    for length in [60_000, 10_000, 40_000] {
        let index = world.open(1, true, Terms::default()).unwrap();
        world.pair.settle();
        world.accept().unwrap();
        world.exchanges[index].opener.write(&mut world.pair, length);
        world.pair.settle();
    }
    let failed: Vec<_> = world
        .exchanges
        .iter_mut()
        .map(|exchange| !exchange.opener.has_room(&mut world.pair))
        .collect();
    assert_eq!(failed, [true, false, false]);
    let failure = world.exchanges[0].opener.failure.as_ref().unwrap();
    assert!(failure.contains("Overloaded"), "{failure}");
    let (pair, exchange) = parts(&mut world);
    let acceptor = exchange.acceptor.as_mut().unwrap();
    assert_eq!(acceptor.read(pair, &Sent::default()), Found::Failure);
}

#[test]
fn a_process_that_holds_all_it_may_refuses_new_streams() {
    let budget = || adit_mux::Budget::new(50_000);
    let mut pair = Pair::with_budgets(Config::default(), Config::default(), budget(), budget());
    pair.settle();
    let open = |pair: &mut Pair| {
        let session = pair.session(Side::Opener);
        let opened = session.open(
            Bytes::from(vec![0; 30_000]),
            RequestBody::Follows,
            Terms::default(),
        );
        ring(session);
        opened
    };
    let ids = [open(&mut pair).unwrap(), open(&mut pair).unwrap()];
    pair.settle();
    // The second open passed the bound: one of the two went, and nothing is over it.
    assert!(pair.end(Side::Acceptor).budget.held() <= 50_000);
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    let session = pair.session(Side::Opener);
    let failures = ids.map(|id| session.poll_failure(id, &cx).is_ready());
    assert_eq!(failures.iter().filter(|failed| **failed).count(), 1);
}

#[test]
fn drain_lets_streams_finish_and_opens_nothing_new() {
    for side in Side::BOTH {
        let mut world = exchange(true);
        world.apply(crate::support::operation::Operation::Drain { side });
        world.pair.settle();
        assert_eq!(world.open(1, false, Terms::default()), None);
        for side in Side::BOTH {
            assert!(world.pair.session(side).is_draining());
            assert!(!world.pair.session(side).is_drained());
        }
        let (pair, exchange) = parts(&mut world);
        answer(pair, exchange, 1_000);
        exchange.opener.end(pair);
        pair.settle();
        assert_eq!(read_answer(pair, exchange), Found::End);
        exchange.release(pair);
        pair.settle();
        for side in Side::BOTH {
            assert!(pair.session(side).is_drained(), "{side:?}");
        }
    }
}

#[test]
fn opens_that_cross_a_drain_are_served() {
    let mut world = World::new(Config::default(), Config::default());
    world.open(60_000, false, Terms::default());
    world.open(60_000, false, Terms::default());
    world.apply(crate::support::operation::Operation::Drain {
        side: Side::Acceptor,
    });
    world.finish();
}

#[test]
fn a_drain_stays_behind_the_opens_that_came_first() {
    let mut world = World::new(Config::default(), Config::default());
    world.pair.batch_bytes = 1_024;
    for _ in 0..20 {
        world.open(5_000, false, Terms::default());
    }
    world.apply(crate::support::operation::Operation::Drain { side: Side::Opener });
    world.finish();
}

#[test]
fn streams_of_one_owner_are_cut_together() {
    let mut world = World::new(Config::default(), Config::default());
    for owner in [1, 2, 1, 2] {
        let terms = Terms {
            owner,
            ..Terms::default()
        };
        world.open(1, true, terms);
    }
    let session = world.pair.session(Side::Opener);
    assert_eq!(
        session.end_streams(1, ResetReason::PermitEnded, "revoked"),
        2
    );
    assert_eq!(
        session.end_streams(1, ResetReason::PermitEnded, "revoked"),
        0
    );
    ring(session);
    for exchange in &mut world.exchanges {
        exchange.is_disturbed = exchange.opener.id % 2 == 1;
        assert_eq!(
            exchange.opener.has_room(&mut world.pair),
            !exchange.is_disturbed
        );
    }
    world.finish();
}

#[test]
fn more_streams_than_the_peer_takes_are_not_opened() {
    let config = Config {
        limits: Limits {
            max_streams: 2,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut pair = Pair::open_with(Config::default(), config);
    let mut open = || {
        let session = pair.session(Side::Opener);
        session.open(Bytes::new(), RequestBody::Absent, Terms::default())
    };
    assert!(open().is_ok() && open().is_ok());
    assert_eq!(open(), Err(adit_mux::OpenError::TooManyStreams));
}

#[test]
fn a_head_larger_than_the_peer_takes_ends_its_stream_alone() {
    let mut world = exchange(false);
    let (pair, exchange) = parts(&mut world);
    let (session, id) = (pair.session(Side::Acceptor), exchange.opener.id);
    let refused = session.send_head(id, Bytes::from(vec![0; 65_537]));
    assert!(
        matches!(refused, Err(StreamError::Cut { .. })),
        "{refused:?}"
    );
    ring(session);
    pair.settle();
    assert_eq!(read_answer(pair, exchange), Found::Failure);
    pair.check();
}

/// What a side announces as zero is read as the default by the peer, and must be held to that.
#[test]
fn limits_of_zero_mean_the_defaults_at_both_ends() {
    let zero = || Config {
        limits: Limits {
            stream_credit: 0,
            max_streams: 0,
            max_head_bytes: 0,
            max_frame_bytes: 0,
        },
        ..Config::default()
    };
    let mut world = World::new(zero(), zero());
    let index = world.open(65_536, true, Terms::default()).unwrap();
    world.exchanges[index]
        .opener
        .write(&mut world.pair, 100_000);
    world.pair.settle();
    world.finish();
}

/// A frame limit below what a head needs is raised by the peer that reads it, so it must be here too.
#[test]
fn a_frame_limit_too_small_for_a_head_is_raised() {
    let narrow = || Config {
        limits: Limits {
            max_frame_bytes: 1_000,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut world = World::new(narrow(), narrow());
    let index = world.open(65_536, true, Terms::default()).unwrap();
    world.exchanges[index].opener.write(&mut world.pair, 60_000);
    world.pair.settle();
    world.finish();
}

#[test]
fn a_read_after_the_end_says_the_end_again() {
    let mut world = exchange(false);
    let (pair, exchange) = parts(&mut world);
    let id = exchange.opener.id;
    answer(pair, exchange, 0);
    pair.settle();
    assert_eq!(read_answer(pair, exchange), Found::End);
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    let again = pair.session(Side::Opener).poll_read(id, &cx);
    assert!(matches!(again, Poll::Ready(Ok(Read::End))), "{again:?}");
}
