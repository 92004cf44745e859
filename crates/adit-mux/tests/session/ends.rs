//! How streams end: once, for one reason, whole or visibly not, and with nothing left behind.

use std::task::Poll;

use adit_mux::{Config, Read, RequestBody, ResetReason, SessionError, Terms};
use bytes::Bytes;

use crate::support::{
    alarm::ring,
    pair::{Pair, Side},
    single::{answer, exchange, parts, read_answer},
    user::{Found, Sent},
    world::World,
};

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
