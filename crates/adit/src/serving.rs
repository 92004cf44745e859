//! What the commands that keep running share: a runtime, and the order of stopping: the first
//! signal drains, the second ends at once.

use std::future::Future;

use adit_process::{Exit, Stop};
use anyhow::Context;
use tokio::runtime::Builder;

use crate::failure::{Ends, Failure};

/// Runs `work` on this thread, with SIGINT and SIGTERM turned into [`Stop`].
///
/// `work` ends by itself once it has drained. When the second signal comes it is dropped where it
/// is, which cuts all that it owns.
pub(crate) fn run_until_stopped<W, F>(work: W) -> Result<(), Failure>
where
    W: FnOnce(Stop) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .ends(Exit::Failed)?;
    let outcome = runtime.block_on(async {
        let stop = Stop::new();
        let signals = stop
            .on_signals()
            .context("cannot listen for signals")
            .ends(Exit::Failed)?;
        tokio::select! {
            biased;
            () = signals => unreachable!("it only turns signals into phases"),
            () = stop.aborting() => Ok(()),
            outcome = work(stop.clone()) => outcome,
        }
    });
    // Not `drop`, which would wait for blocking calls such as a name lookup.
    runtime.shutdown_background();
    outcome
}
