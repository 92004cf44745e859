//! Any sequence of operations, any chunking and interleaving: what must hold, holds after each step, and at the end nothing is
//! left over.

use adit_mux::Config;
use proptest::{collection::vec, prelude::*};

use crate::support::{operation::Operation, pair::Side, world::World};

fn operations(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    vec(any::<[u8; 4]>().prop_map(Operation::from_bytes), 0..most)
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![]),
        vec(1_usize..40, 1..4),
        vec(1_usize..20_000, 1..8)
    ]
}

fn play(mut world: World, pieces: [Vec<usize>; 2], operations: Vec<Operation>) {
    for (side, pieces) in Side::BOTH.into_iter().zip(pieces) {
        world.pair.end(side).wire.pieces = pieces;
    }
    for operation in operations {
        world.apply(operation);
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        // What once failed has a named test in `ends.rs`.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_operations_keeps_the_invariants(
        operations in operations(150),
        opener in pieces(),
        acceptor in pieces(),
    ) {
        let world = World::new(Config::default(), Config::default());
        play(world, [opener, acceptor], operations);
    }

    #[test]
    fn tight_bounds_keep_the_invariants(
        operations in operations(150),
        opener in pieces(),
        acceptor in pieces(),
    ) {
        play(World::new(World::tight(), World::tight()), [opener, acceptor], operations);
    }
}
