//! What a session that ends leaves of its streams: what had arrived whole, an error for the rest, and no memory.

use adit_mux::{SessionError, Terms};

use crate::support::{
    alarm::ring,
    pair::Side,
    single::{exchange, parts, read_answer},
    user::{Found, Sent},
};

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
