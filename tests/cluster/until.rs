//! Waiting for a condition, never by the clock.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a condition may take that is expected at once, on two cores with everybody's compiler.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
///
/// # Panics
///
/// When it takes longer than [`SOON`].
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(SOON, what, look)
}

/// The same with a deadline of its own.
///
/// # Panics
///
/// When it takes longer than that.
pub fn until_within<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            began.elapsed() < within,
            "waited {} s in vain until {what}",
            within.as_secs()
        );
        thread::sleep(POLL);
    }
}

const POLL: Duration = Duration::from_millis(20);
