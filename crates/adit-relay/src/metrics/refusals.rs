//! Refusals by reason, since the start and within the last hour. What reasons there are is written down once, in `refusal/reasons.rs`.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use parking_lot::Mutex;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter},
};

use crate::refusal::REASONS;

/// A count for each reason. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    counters: Arc<[Counter]>,
    /// What the counts were, minute by minute; the oldest is an hour old, or of the start.
    minutes: Arc<Mutex<VecDeque<Box<[u64]>>>>,
}

const HOUR: usize = 60;

impl Refusals {
    /// One more; the look-up is a walk along a short list, and nothing to what an answer costs.
    pub(super) fn count(&self, reason: &str) {
        let mut all = REASONS.iter().zip(self.counters.iter());
        if let Some((_, counter)) = all.find(|(known, _)| known.name == reason) {
            counter.inc();
        }
    }

    /// A minute has passed.
    pub(super) fn remember(&self) {
        let now = self.counters.iter().map(Counter::get).collect();
        let mut minutes = self.minutes.lock();
        if minutes.len() > HOUR {
            minutes.pop_front();
        }
        minutes.push_back(now);
    }

    /// Those within the last hour, give or take a minute; what did not occur is left out.
    pub(super) fn of_the_last_hour(&self) -> BTreeMap<String, u64> {
        let before = self.minutes.lock().front().cloned().unwrap_or_default();
        let before = before.iter().copied().chain(std::iter::repeat(0));
        let counts = REASONS.iter().zip(self.counters.iter()).zip(before);
        counts
            .map(|((reason, now), before)| {
                (reason.name.to_owned(), now.get().saturating_sub(before))
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            counters: REASONS.iter().map(|_| Counter::default()).collect(),
            minutes: Arc::default(),
        }
    }
}

impl EncodeMetric for Refusals {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (reason, counter) in REASONS.iter().zip(self.counters.iter()) {
            counter.encode(encoder.encode_family(&[("reason", reason.name)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_forgotten_after_an_hour() {
        let refusals = Refusals::default();
        let of_the_last_hour = || refusals.of_the_last_hour().get("draining").copied();
        refusals.remember();
        refusals.count("draining");
        assert_eq!(of_the_last_hour(), Some(1));
        for _ in 0..HOUR {
            refusals.remember();
        }
        assert_eq!(of_the_last_hour(), Some(1));
        refusals.count("draining");
        refusals.remember();
        assert_eq!(of_the_last_hour(), Some(1));
        assert_eq!(refusals.of_the_last_hour().len(), 1);
    }
}
