//! Any sequence of frames from a peer that keeps to no rule, among calls of an honest user: no panic, and the invariants.
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

use session::support::{mischief, rogue::Rogue};

fuzz_target!(|input: &[u8]| {
    let Some((shape, steps)) = input.split_first() else {
        return;
    };
    let rogue = if shape & 1 == 0 {
        Rogue::relay()
    } else {
        Rogue::agent()
    };
    let mut rogue = if shape & 2 == 0 {
        rogue.greeted()
    } else {
        rogue
    };
    for step in steps.as_chunks::<4>().0.iter().take(MAX_STEPS) {
        mischief::step(&mut rogue, *step);
    }
});

const MAX_STEPS: usize = 300;
