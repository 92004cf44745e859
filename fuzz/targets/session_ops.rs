//! Any sequence of operations on an honest pair: the simulation of adit-mux's own tests, with its invariants.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/adit-mux/tests/session"]
#[allow(
    dead_code,
    reason = "shared with adit-mux's tests, which use all of it"
)]
mod session {
    pub(crate) mod support;
}

#[cfg(not(fuzzing))]
compile_error!("no coverage: run cargo in fuzz/ and without RUSTFLAGS");

use session::support::{operation::Operation, pair::Side, world::World};

fuzz_target!(|input: &[u8]| {
    let Some((&[shape, opener, acceptor, _], steps)) = input.split_first_chunk::<4>() else {
        return;
    };
    let config = || {
        if shape & 1 == 0 {
            adit_mux::Config::default()
        } else {
            World::tight()
        }
    };
    let mut world = World::new(config(), config());
    for (side, size) in Side::BOTH.into_iter().zip([opener, acceptor]) {
        if size > 0 {
            // Small pieces make long runs: none below 64 bytes, the decoder's target has those.
            world.pair.end(side).wire.pieces = vec![64 * usize::from(size), 100_000];
        }
    }
    for step in steps.as_chunks::<4>().0.iter().take(MAX_STEPS) {
        world.apply(Operation::from_bytes(*step));
    }
    world.finish();
});

const MAX_STEPS: usize = 200;
