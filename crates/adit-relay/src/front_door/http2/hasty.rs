//! Decides when a client takes back too many of its requests: each costs us more than it costs the client, who may go on
//! for ever within its limit of streams (CVE-2023-44487, rapid reset).

use tokio::time::Instant;

/// How many seconds' worth may come at once: a client that is interrupted takes back all it has.
const BURST_SECONDS: u32 = 10;

/// A bucket that drains.
#[derive(Debug)]
pub(super) struct Hasty {
    per_second: u32,
    /// In billionths of a request, of which a nanosecond drains `per_second`.
    level: u64,
    since: Instant,
}

/// One request.
const WEIGHT: u64 = 1_000_000_000;

impl Hasty {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            level: 0,
            since: now,
        }
    }

    /// Counts one, and says whether it was too many.
    pub(super) fn is_too_many(&mut self, now: Instant) -> bool {
        let per_second = u64::from(self.per_second);
        let passed = now.saturating_duration_since(self.since).as_nanos();
        let drained = u64::try_from(passed)
            .unwrap_or(u64::MAX)
            .saturating_mul(per_second);
        self.level = self.level.saturating_sub(drained).saturating_add(WEIGHT);
        self.since = now;
        self.level > u64::from(BURST_SECONDS) * per_second * WEIGHT
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn flood_of_resets_is_too_many_and_a_trickle_is_not() {
        for per_second in [1, 100, 3_000] {
            let start = Instant::now();
            let mut hasty = Hasty::new(per_second, start);
            let burst = BURST_SECONDS * per_second;
            for _ in 0..burst {
                assert!(!hasty.is_too_many(start));
            }
            assert!(hasty.is_too_many(start));
            let mut now = start + Duration::from_secs(60);
            for _ in 0..10 * burst {
                now += Duration::from_secs(1) / per_second + Duration::from_nanos(1);
                assert!(!hasty.is_too_many(now));
            }
        }
    }
}
