//! Refusals by reason. What reasons there are is written down once, in `refusal.rs`.

use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter},
};

use crate::refusal::REASONS;

/// A count for each reason. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Refusals(Arc<[Counter]>);

impl Refusals {
    /// One more; the look-up is a walk along a short list, and nothing to what an answer costs.
    pub(super) fn count(&self, reason: &str) {
        let mut all = REASONS.iter().zip(self.0.iter());
        if let Some((_, counter)) = all.find(|(known, _)| **known == reason) {
            counter.inc();
        }
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self(REASONS.iter().map(|_| Counter::default()).collect())
    }
}

impl EncodeMetric for Refusals {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (reason, counter) in REASONS.iter().zip(self.0.iter()) {
            counter.encode(encoder.encode_family(&[("reason", *reason)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
