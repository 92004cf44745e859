//! Decides when the log is told that the API server is away, and that it is back. Noted by [`super::pool`], which dials it, and by
//! [`super::Kube`] for who asks it something.
//! Invariant: while it is away that is said once; and however often it comes and goes, once a minute.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<Told>);

/// What the log has.
#[derive(Debug, Default)]
struct Told {
    is_away: bool,
    at: Option<Instant>,
}

impl Presence {
    pub(super) fn away(&self, api_server: &str, error: &str) {
        let is_due = self.0.lock().away();
        if is_due {
            tracing::warn!(error, api_server, "the API server does not answer");
        }
    }

    pub(super) fn there(&self, api_server: &str) {
        let is_due = self.0.lock().there();
        if is_due {
            tracing::info!(api_server, "the API server is there again");
        }
    }
}

impl Told {
    fn away(&mut self) -> bool {
        let now = Instant::now();
        let is_due = !self.is_away && self.at.is_none_or(|at| now >= at + QUIET);
        if is_due {
            (self.is_away, self.at) = (true, Some(now));
        }
        is_due
    }

    fn there(&mut self) -> bool {
        std::mem::take(&mut self.is_away)
    }
}

/// Of several servers behind one address some may be away for long, and each dial meets another.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_told_once_a_minute() {
        let mut told = Told::default();
        assert!(!told.there(), "nobody said otherwise");
        assert!(told.away());
        assert!(!told.away(), "once");
        assert!(told.there());
        assert!(!told.away(), "it has just been told");
        assert!(!told.there(), "and so this is no news");
        tokio::time::advance(QUIET).await;
        assert!(told.away());
        tokio::time::advance(QUIET).await;
        assert!(!told.away(), "it was not there in between");
    }
}
