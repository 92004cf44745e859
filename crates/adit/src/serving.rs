//! What the commands that keep running share: a runtime; the order of stopping: the first signal
//! drains, the second ends at once; and that SIGHUP has files read again.

use std::future::{Future, pending};
use std::sync::Arc;

use adit_process::reread::{Kept, keep};
use adit_process::signals::reread_on_hangup;
use adit_process::{Exit, Reread, Stop, shards};
use anyhow::Context;

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
    let runtime = shards::runtime()
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

/// Keeps the config file, if there is one, and has all files read again at SIGHUP, until the process
/// drains: what ends is not changed any more.
pub(crate) async fn keep_until_drain<K: Kept>(
    file: Option<K>,
    reread: &Reread,
    stop: &Stop,
) -> Result<(), Failure> {
    let hangups = reread_on_hangup(reread)
        .context("cannot listen for SIGHUP")
        .ends(Exit::Failed)?;
    let kept = async {
        match file {
            Some(file) => keep(Arc::new(file), reread).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stop.draining() => {}
        ((), ()) = async { tokio::join!(hangups, kept) } => {}
    }
    Ok(())
}
