//! Keeps a sick GitLab from being hammered: after a few calls in a row that failed nobody asks for a while, then one does.
//! Asked by [`super::line`] before each call, and by [`super::gitaly`], which has one for each server. Invariant: while it is open, one call at a time goes out, and waits between
//! such calls double up to [`LONGEST`], each cut by chance, so that many relays do not come back in one moment.
//!
//! ```text
//!          FAILURES in a row                 its time is over
//! closed ───────────────────▶ open ────────────────────────────▶ probing
//!    ▲                          ▲                                  │   │
//!    │                          └──────────── failed ──────────────┘   │
//!    └─────────────────────────── answered ────────────────────────────┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::BreakerState;

/// Failures in a row before it opens.
const FAILURES: u32 = 5;
/// How long it stays open the first time, at most.
const FIRST: Duration = Duration::from_secs(2);
/// How long it stays open by itself, at most.
const LONGEST: Duration = Duration::from_secs(30);
/// How long GitLab may have it open: a `Retry-After` beyond that is a mistake of somebody's.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// Whether GitLab is asked.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// How long a probe may take before another one goes out.
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, times: u32 },
    Probing { until: Instant, times: u32 },
}

impl Breaker {
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            state: State::Closed { failures: 0 },
            patience,
        }
    }

    /// Whether a call may go out; if not, how long it will be.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until, .. } | State::Probing { until, .. } if now < until => {
                Err(until - now)
            }
            State::Open { times, .. } | State::Probing { times, .. } => {
                let until = now + self.patience;
                self.state = State::Probing { until, times };
                Ok(())
            }
        }
    }

    /// How long it will stay open, without asking for anything.
    pub(super) fn closed_to(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until, .. } if now < until => Some(until - now),
            State::Closed { .. } | State::Open { .. } | State::Probing { .. } => None,
        }
    }

    /// GitLab answered, whatever it said. True if that is news.
    pub(super) fn answered(&mut self) -> bool {
        let is_news = self.state() != BreakerState::Closed;
        self.state = State::Closed { failures: 0 };
        is_news
    }

    /// GitLab did not answer, or said that it cannot. True if it is left alone from now on, and was not before.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                let failures = failures + 1;
                self.state = State::Closed { failures };
                false
            }
            State::Closed { .. } => {
                self.open(now, 0);
                true
            }
            State::Probing { times, .. } => {
                self.open(now, times);
                false
            }
            // A call that began before.
            State::Open { .. } => false,
        }
    }

    /// GitLab asked to be left alone for so long. True if it was not before.
    pub(super) fn asked_to_wait(&mut self, now: Instant, wait: Duration) -> bool {
        let is_news = self.state() == BreakerState::Closed;
        let until = now + wait.min(LONGEST_ASKED);
        match &mut self.state {
            State::Open { until: held, .. } => *held = until.max(*held),
            State::Closed { .. } => self.state = State::Open { until, times: 0 },
            State::Probing { times, .. } => {
                let times = *times;
                self.state = State::Open { until, times };
            }
        }
        is_news
    }

    pub(super) const fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::Probing,
        }
    }

    fn open(&mut self, now: Instant, times: u32) {
        let doubled = 2_u32
            .checked_pow(times)
            .and_then(|factor| FIRST.checked_mul(factor));
        let most = doubled.unwrap_or(LONGEST).min(LONGEST);
        // Half of it for certain, the rest by chance.
        let wait = most.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.state = State::Open {
            until: now + wait,
            times: times.saturating_add(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// One that has just opened for the first time.
    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(PATIENCE);
        for _ in 0..FAILURES {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[test]
    fn a_few_failures_in_a_row_open_it_and_an_answer_between_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(PATIENCE);
        for _ in 0..10 {
            for _ in 1..FAILURES {
                breaker.failed(now);
            }
            breaker.answered();
        }
        assert_eq!(breaker.admit(now), Ok(()));
        let wait = opened(now).admit(now).unwrap_err();
        assert!(wait >= FIRST / 2 && wait <= FIRST, "{wait:?}");
    }

    #[test]
    fn one_call_at_a_time_looks_whether_gitlab_is_back() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + FIRST;
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(PATIENCE));
        // The first was given up without a word.
        assert_eq!(breaker.admit(later + PATIENCE), Ok(()));
        breaker.answered();
        assert_eq!(breaker.admit(later + PATIENCE), Ok(()));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut most = FIRST;
        for _ in 0..8 {
            let wait = breaker.admit(now).unwrap_err();
            assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
            now += wait;
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now);
            most = (most * 2).min(LONGEST);
        }
        assert_eq!(most, LONGEST);
    }

    #[test]
    fn waits_differ_between_relays() {
        let now = Instant::now();
        let waits: std::collections::BTreeSet<_> = (0..50)
            .map(|_| opened(now).admit(now).unwrap_err())
            .collect();
        assert!(waits.len() > 40, "{}", waits.len());
    }

    #[test]
    fn gitlab_may_ask_for_longer_but_not_for_ever() {
        let now = Instant::now();
        let mut breaker = Breaker::new(PATIENCE);
        breaker.asked_to_wait(now, Duration::from_secs(60));
        assert_eq!(breaker.closed_to(now), Some(Duration::from_secs(60)));
        breaker.asked_to_wait(now, Duration::from_secs(10));
        assert_eq!(breaker.admit(now), Err(Duration::from_secs(60)));
        breaker.asked_to_wait(now, Duration::from_hours(24));
        assert_eq!(breaker.admit(now), Err(LONGEST_ASKED));
        // Late failures of calls that were out already change nothing.
        breaker.failed(now);
        assert_eq!(breaker.admit(now), Err(LONGEST_ASKED));
    }
}
