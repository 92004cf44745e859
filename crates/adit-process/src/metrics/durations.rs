//! A histogram of durations for the way of every request: an observation is two additions, without a lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// How long something took, counted in buckets of which each reaches twice as far as the one before: 0.1 ms to 13 s, and
/// what is longer. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Durations(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Each for itself; a scrape adds up those below it.
    buckets: [AtomicU64; BOUNDED],
    longer: AtomicU64,
    nanos: AtomicU64,
}

impl Durations {
    /// Once more, and so long.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.0.buckets.get(place(nanos));
        bucket
            .unwrap_or(&self.0.longer)
            .fetch_add(1, Ordering::Relaxed);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// The first bucket that reaches so far.
fn place(nanos: u64) -> usize {
    let steps = nanos.div_ceil(FIRST_NANOS).max(1);
    steps.next_power_of_two().trailing_zeros() as usize
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts = self.0.buckets.iter().chain([&self.0.longer]);
        let bounds = (0..BOUNDED).map(|place| FIRST_SECONDS * f64::from(1_u32 << place));
        let buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .zip(counts.map(|count| count.load(Ordering::Relaxed)))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

/// Buckets that end somewhere.
const BOUNDED: usize = 18;
const FIRST_NANOS: u64 = 100_000;
const FIRST_SECONDS: f64 = 0.0001;

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn each_duration_is_in_the_first_bucket_that_reaches_so_far() {
        let durations = Durations::default();
        for micros in [0, 100, 101, 200, 13_107_200, 13_107_201] {
            durations.observe(Duration::from_micros(micros));
        }
        let mut registry = Registry::default();
        registry.register("took", "How long", durations);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "took_sum 26.214802",
            "took_count 6",
            "took_bucket{le=\"0.0001\"} 2",
            "took_bucket{le=\"0.0002\"} 4",
            "took_bucket{le=\"6.5536\"} 4",
            "took_bucket{le=\"13.1072\"} 5",
            "took_bucket{le=\"+Inf\"} 6",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
