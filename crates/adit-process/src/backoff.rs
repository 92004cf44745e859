//! Decides how long to wait before somebody is called again: the relay by agents, and by whoever plays many of them; the API server.
//! Invariant: a fleet of agents that lost one relay comes back spread out, not in one second: full jitter, so that each
//! wait is anything between nothing and the ceiling, and the ceiling doubles with each failure.

use std::time::Duration;

/// Exponential backoff with full jitter.
#[derive(Debug)]
pub struct Backoff {
    terms: BackoffTerms,
    failures: u32,
}

/// Between which bounds one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffTerms {
    /// Ceiling of the first wait.
    pub base: Duration,
    /// Ceiling of all waits.
    pub cap: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new(terms: BackoffTerms) -> Self {
        Self { terms, failures: 0 }
    }

    /// How long to wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(rand::random::<f64>())
    }

    /// What was connected lived long enough: the next failure is a first one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    fn ceiling(&self) -> Duration {
        let doubled = 2_u32
            .checked_pow(self.failures)
            .and_then(|times| self.terms.base.checked_mul(times));
        doubled.unwrap_or(self.terms.cap).min(self.terms.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: BackoffTerms = BackoffTerms {
        base: Duration::from_millis(500),
        cap: Duration::from_secs(10),
    };

    #[test]
    fn ceiling_doubles_up_to_the_cap_and_stays_there() {
        let mut backoff = Backoff::new(TERMS);
        let mut ceilings = Vec::new();
        for _ in 0..7 {
            ceilings.push(backoff.ceiling().as_millis());
            let _ = backoff.failed();
        }
        assert_eq!(ceilings, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        for _ in 0..100 {
            let _ = backoff.failed();
        }
        assert_eq!(backoff.ceiling(), TERMS.cap);
    }

    #[test]
    fn waits_lie_anywhere_below_the_ceiling() {
        let waits: Vec<_> = (0..200).map(|_| Backoff::new(TERMS).failed()).collect();
        assert!(waits.iter().all(|wait| *wait <= TERMS.base));
        assert!(
            waits.iter().any(|wait| *wait < TERMS.base / 2)
                && waits.iter().any(|wait| *wait > TERMS.base / 2)
        );
    }

    #[test]
    fn healthy_spell_starts_over() {
        let mut backoff = Backoff::new(TERMS);
        for _ in 0..5 {
            let _ = backoff.failed();
        }
        backoff.reset();
        assert_eq!(backoff.ceiling(), TERMS.base);
    }
}
