//! A drain lets what runs finish and nothing new begin, whichever side asks and whatever crosses it.

use adit_mux::{Config, Terms};

use crate::support::{
    operation::Operation,
    pair::Side,
    single::{answer, exchange, parts, read_answer},
    user::Found,
    world::World,
};

#[test]
fn drain_lets_streams_finish_and_opens_nothing_new() {
    for side in Side::BOTH {
        let mut world = exchange(true);
        world.apply(Operation::Drain { side });
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
    world.apply(Operation::Drain {
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
    world.apply(Operation::Drain { side: Side::Opener });
    world.finish();
}
