//! Decides which of many like events are logged: one a second, with how many were not. For what strangers or one job can cause at will.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const APART: Duration = Duration::from_secs(1);

/// Shared by all shards.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    unlogged: u64,
}

impl Seldom {
    /// Counts an event. If it is to be logged, says how many were not since the last that was.
    pub(crate) fn told(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        let is_soon = told
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < APART);
        if is_soon {
            told.unlogged += 1;
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_a_second_is_logged_and_the_others_are_counted() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.told(start), Some(0));
        for _ in 0..1000 {
            assert_eq!(seldom.told(start), None);
        }
        assert_eq!(seldom.told(start + APART), Some(1000));
        assert_eq!(seldom.told(start + APART * 3), Some(0));
    }
}
