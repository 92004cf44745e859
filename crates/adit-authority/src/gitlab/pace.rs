//! How many calls a second this relay sends to GitLab. Asked by [`super::line`] before each call; [`super::addresses`] uses
//! the same bucket for each address, and [`super::gitaly`] for each server. Invariant: a call leaves a fifth to each more urgent kind, so
//! that strangers cannot keep known jobs from being asked about, nor those who bring bad tokens keep out new jobs from elsewhere.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of calls, filled at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: f64,
    most: f64,
    level: f64,
    at: Instant,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A token that GitLab has vouched for before.
    Known,
    /// A token that nobody has seen, or that is known and that nobody uses.
    New,
    /// One from an address that has brought a bad one lately.
    Doubted,
}

impl Pace {
    /// Full to begin with: `most` calls may go out at once.
    pub(super) fn new(per_second: u32, most: u32, now: Instant) -> Self {
        Self {
            per_second: f64::from(per_second),
            most: f64::from(most),
            level: f64::from(most),
            at: now,
        }
    }

    /// Takes a call; if there is none left for this urgency, says when there may be.
    pub(super) fn take(&mut self, now: Instant, urgency: Urgency) -> Result<(), Duration> {
        self.fill(now);
        let fifths = match urgency {
            Urgency::Known => 0.0,
            Urgency::New => 1.0,
            Urgency::Doubted => 2.0,
        };
        let least = (self.most * fifths / 5.0).max(1.0);
        if self.level >= least {
            self.level -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64(
            (least - self.level) / self.per_second,
        ))
    }

    /// Gives one back.
    pub(super) fn give_back(&mut self) {
        self.level = (self.level + 1.0).min(self.most);
    }

    /// Whether nothing has been taken for a while.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.most
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.most);
        self.at = now.max(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are to be had.
    fn drain(pace: &mut Pace, now: Instant, urgency: Urgency) -> usize {
        std::iter::from_fn(|| pace.take(now, urgency).ok()).count()
    }

    #[test]
    fn calls_come_at_a_steady_rate_after_the_first() {
        let now = Instant::now();
        let mut pace = Pace::new(10, 50, now);
        assert_eq!(drain(&mut pace, now, Urgency::Known), 50);
        assert_eq!(
            pace.take(now, Urgency::Known),
            Err(Duration::from_millis(100))
        );
        let later = now + Duration::from_secs(2);
        assert_eq!(drain(&mut pace, later, Urgency::Known), 20);
        let much_later = now + Duration::from_hours(1);
        assert_eq!(drain(&mut pace, much_later, Urgency::Known), 50);
    }

    #[test]
    fn each_kind_leaves_a_fifth_to_those_more_urgent() {
        let now = Instant::now();
        let mut pace = Pace::new(10, 50, now);
        assert_eq!(drain(&mut pace, now, Urgency::Doubted), 31);
        assert_eq!(drain(&mut pace, now, Urgency::New), 10);
        let wait = pace.take(now, Urgency::New).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(drain(&mut pace, now, Urgency::Known), 9);
    }

    #[test]
    fn a_bucket_of_one_works() {
        let now = Instant::now();
        let mut pace = Pace::new(1, 1, now);
        assert_eq!(drain(&mut pace, now, Urgency::New), 1);
        assert!(!pace.is_full(now));
        assert!(pace.is_full(now + Duration::from_secs(1)));
    }
}
