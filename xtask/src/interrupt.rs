//! Ctrl-C: the first asks everything that waits to stop, so that what was started is taken down in order; the second
//! ends the process at once, and the cluster's guard cleans up behind it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// The person at the terminal, or a supervisor, asked us to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From now on signals ask instead of ending the process. Only the commands do this: tests end as tests do.
///
/// # Errors
/// The system refuses a signal handler.
pub fn install() -> Result<()> {
    let flag = Arc::clone(REQUESTED.get_or_init(Arc::default));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the second signal finds the flag set.
        flag::register_conditional_shutdown(signal, EXIT_CODE, Arc::clone(&flag))
            .and_then(|_| flag::register(signal, Arc::clone(&flag)))
            .context("cannot watch for Ctrl-C")?;
    }
    Ok(())
}

/// Fails once we were asked to stop; everything that waits calls it at each look.
///
/// # Errors
/// [`Interrupted`].
pub fn check() -> Result<(), Interrupted> {
    let requested = REQUESTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed));
    if requested { Err(Interrupted) } else { Ok(()) }
}

/// 128 and the number of SIGINT, as shells have it.
pub const EXIT_CODE: i32 = 130;

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
