//! Decides when a client takes back too many of its requests: each costs us more than it costs the client, who may go on
//! for ever within its limit of streams (CVE-2023-44487, rapid reset).

use std::time::Duration;

use tokio::time::Instant;

/// Requests taken back that are let pass at once: a kubectl that is interrupted takes back a hundred at most.
const BURST: u32 = 1000;
/// And after that: one per this time.
const ONE_PER: Duration = Duration::from_millis(10);

/// A bucket that drains.
#[derive(Debug)]
pub(super) struct Hasty {
    level: u32,
    since: Instant,
}

impl Hasty {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: 0,
            since: now,
        }
    }

    /// Counts one, and says whether it was too many.
    pub(super) fn is_too_many(&mut self, now: Instant) -> bool {
        let drained = now.saturating_duration_since(self.since).as_millis() / ONE_PER.as_millis();
        if drained > 0 {
            self.level = self
                .level
                .saturating_sub(u32::try_from(drained).unwrap_or(u32::MAX));
            self.since = now;
        }
        self.level = self.level.saturating_add(1);
        self.level > BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_of_resets_is_too_many_and_a_trickle_is_not() {
        let start = Instant::now();
        let mut hasty = Hasty::new(start);
        for _ in 0..BURST {
            assert!(!hasty.is_too_many(start));
        }
        assert!(hasty.is_too_many(start));
        let mut now = start + Duration::from_secs(60);
        for _ in 0..10 * BURST {
            now += ONE_PER;
            assert!(!hasty.is_too_many(now));
        }
    }
}
