//! Decides how a process is told to stop: first to drain, then to abort; and what else signals mean.
//!
//! `main` turns signals into it; the relay, the agent and the tests hold clones of [`Stop`] and
//! wait for either phase. The phase only ever goes forward.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::Reread;

/// How far the stopping of a process has come. Later phases compare greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nobody has asked for an end.
    #[default]
    Running,
    /// Finish what was begun, take nothing new.
    Draining,
    /// End now; what still runs is cut.
    Aborting,
}

/// Tells everything in a process to stop, and lets everything wait for it.
///
/// Clones share one phase. It belongs to no runtime: shards on threads of their own wait on the
/// same value.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    phase: watch::Sender<Phase>,
}

impl Stop {
    /// A process in [`Phase::Running`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a drain. Does nothing when draining or aborting already.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Asks for the end now.
    pub fn abort(&self) {
        self.advance(Phase::Aborting);
    }

    /// The phase at this moment.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// True from the first call of [`drain`](Self::drain) or [`abort`](Self::abort) on.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// True from the first call of [`abort`](Self::abort) on.
    #[must_use]
    pub fn is_aborting(&self) -> bool {
        self.phase() == Phase::Aborting
    }

    /// Resolves once draining or aborting; at once when that is so already. Cancel-safe.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Resolves once aborting; at once when that is so already. Cancel-safe.
    pub async fn aborting(&self) {
        self.reached(Phase::Aborting).await;
    }

    /// Catches SIGINT and SIGTERM from this call on; the future, which never ends, turns the
    /// first into a drain and each later one into an abort.
    ///
    /// # Errors
    /// When the handlers cannot be installed, or outside a tokio runtime with signals enabled.
    pub fn on_signals(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(follow(self.clone(), interrupt, terminate))
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_forward = to > *phase;
            if is_forward {
                *phase = to;
            }
            is_forward
        });
    }

    async fn reached(&self, wanted: Phase) {
        self.phase
            .subscribe()
            .wait_for(|phase| *phase >= wanted)
            .await
            .expect("self holds a sender for as long as it waits");
    }
}

/// Catches SIGHUP from this call on; the future, which never ends, has files read again at each.
///
/// # Errors
/// When the handler cannot be installed, or outside a tokio runtime with signals enabled.
pub fn reread_on_hangup(reread: &Reread) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let reread = reread.clone();
    Ok(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "reading files again");
            reread.now();
        }
        std::future::pending().await
    })
}

async fn follow(stop: Stop, mut interrupt: Signal, mut terminate: Signal) {
    loop {
        let name = tokio::select! {
            biased;
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        if stop.is_draining() {
            tracing::warn!(signal = name, "stopping now, what still runs is cut");
            stop.abort();
        } else {
            tracing::info!(signal = name, "draining; a second signal ends at once");
            stop.drain();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn drain_then_abort_wake_their_waiters() {
        let stop = Stop::new();
        let (drained, aborted) = (stop.clone(), stop.clone());
        let waiters = async {
            drained.draining().await;
            assert_eq!(drained.phase(), Phase::Draining);
            drained.abort();
            aborted.aborting().await;
        };
        stop.drain();
        timeout(SOON, waiters).await.expect("both waiters wake");
        assert!(stop.is_aborting());
    }

    #[tokio::test]
    async fn abort_counts_as_draining_and_is_never_taken_back() {
        let stop = Stop::new();
        stop.abort();
        stop.drain();
        timeout(SOON, stop.draining())
            .await
            .expect("already past it");
        assert_eq!(stop.phase(), Phase::Aborting);
    }
}
