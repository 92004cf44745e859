//! Decides when the log is told that the API server is away, and that it answers again. Noted by [`super::Kube`] with what became of
//! each call, and for who waited for one and gave up.
//! Invariant: while it is away that is said once; however often it comes and goes, once a minute; and that it is back only of one
//! that has answered: a connection says nothing, which what stands in between may open by itself.
//!
//! ```text
//!  Unknown ──away──▶ Missed ─┐
//!     └────answer───▶ There ◀┴─answer── Gone
//!                       └────────away────▲
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Presence {
    api_server: String,
    /// Nothing is told by an answer: most need not wait for each other.
    is_there: AtomicBool,
    told: Mutex<Told>,
}

/// What the log has.
#[derive(Debug, Default)]
struct Told {
    state: State,
    at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nobody has called it.
    #[default]
    Unknown,
    /// It has never answered, and that was told.
    Missed,
    There,
    /// It had answered, and that it does not was told.
    Gone,
}

/// What an answer tells.
#[derive(Debug, PartialEq, Eq)]
enum News {
    First,
    Again,
}

impl Presence {
    /// Of an API server that the log calls so.
    pub(super) fn of(api_server: String) -> Self {
        Self {
            api_server,
            is_there: AtomicBool::new(false),
            told: Mutex::default(),
        }
    }

    pub(super) fn away(&self, error: &str) {
        let is_due = {
            let mut told = self.told.lock();
            let is_due = told.away();
            self.is_there.store(told.is_there(), Ordering::Relaxed);
            is_due
        };
        if is_due {
            let api_server = &self.api_server;
            tracing::warn!(error, api_server, "the API server does not answer");
        }
    }

    pub(super) fn answers(&self) {
        if self.is_there.load(Ordering::Relaxed) {
            return;
        }
        let news = {
            let mut told = self.told.lock();
            let news = told.answers();
            self.is_there.store(told.is_there(), Ordering::Relaxed);
            news
        };
        let api_server = &self.api_server;
        match news {
            Some(News::First) => tracing::info!(api_server, "the API server answers at last"),
            Some(News::Again) => tracing::info!(api_server, "the API server is there again"),
            None => {}
        }
    }
}

impl Told {
    fn away(&mut self) -> bool {
        let now = Instant::now();
        let next = match self.state {
            State::Unknown => State::Missed,
            State::There => State::Gone,
            State::Missed | State::Gone => return false,
        };
        let is_due = self.at.is_none_or(|at| now >= at + QUIET);
        if is_due {
            (self.state, self.at) = (next, Some(now));
        }
        is_due
    }

    fn answers(&mut self) -> Option<News> {
        match std::mem::replace(&mut self.state, State::There) {
            State::Missed => Some(News::First),
            State::Gone => Some(News::Again),
            State::Unknown | State::There => None,
        }
    }

    fn is_there(&self) -> bool {
        self.state == State::There
    }
}

/// Of several servers behind one address some may be away for long, and each call meets another.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_told_once_a_minute() {
        let mut told = Told::default();
        assert_eq!(told.answers(), None, "nobody said otherwise");
        assert!(told.away());
        assert!(!told.away(), "once");
        assert_eq!(told.answers(), Some(News::Again));
        assert!(!told.away(), "it has just been told");
        assert_eq!(told.answers(), None, "and so this is no news");
        tokio::time::advance(QUIET).await;
        assert!(told.away());
        tokio::time::advance(QUIET).await;
        assert!(!told.away(), "it was not there in between");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_answered_is_not_back() {
        let mut told = Told::default();
        assert!(told.away());
        tokio::time::advance(QUIET).await;
        assert!(!told.away(), "nothing has changed");
        assert_eq!(told.answers(), Some(News::First));
    }
}
