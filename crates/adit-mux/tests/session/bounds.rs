//! What a session, a process and a peer take at most, and who pays when there is more.

use adit_mux::{Config, Limits, RequestBody, StreamError, Terms};
use bytes::Bytes;

use crate::support::{
    alarm::ring,
    pair::{Pair, Side},
    single::{exchange, parts, read_answer},
    user::{Found, Sent},
    world::World,
};

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
fn past_the_bound_on_unsent_bytes_only_streams_with_nothing_waiting_have_room() {
    const PIECE: usize = 1000;
    let bounds = Config {
        max_queued_bytes: 100_000,
        ..Config::default()
    };
    let nothing_is_taken = Config {
        limits: Limits {
            stream_credit: 1,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut world = World::new(bounds, nothing_is_taken);
    for _ in 0..20 {
        let index = world.open(1, true, Terms::default()).unwrap();
        let opener = &mut world.exchanges[index].opener;
        while opener.has_room(&mut world.pair) {
            opener.write(&mut world.pair, PIECE);
        }
    }
    world.pair.settle();
    let queued = world.pair.session(Side::Opener).stats().queued_bytes;
    assert!(
        (100_000 - 20..=100_000 + 20 * PIECE).contains(&queued),
        "{queued}"
    );
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
