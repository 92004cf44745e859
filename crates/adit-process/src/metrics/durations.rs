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

    /// How many took how long so far.
    #[must_use]
    pub fn spread(&self) -> Spread {
        let mut spread = Spread::default();
        for (count, bucket) in spread.0.iter_mut().zip(self.buckets()) {
            *count = bucket.load(Ordering::Relaxed);
        }
        spread
    }

    fn buckets(&self) -> impl Iterator<Item = &AtomicU64> {
        self.0.buckets.iter().chain([&self.0.longer])
    }
}

/// How many took how long, at one moment or within a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread([u64; BOUNDED + 1]);

impl Spread {
    /// What came since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (count, before) in since.0.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(before);
        }
        since
    }

    /// Seconds within which this share of them was done, as exactly as the buckets tell it; none, when there was nothing. What took
    /// longer than all bounds counts as the last of them.
    #[must_use]
    pub fn within(&self, share: f64) -> Option<f64> {
        let wanted = share * self.0.iter().sum::<u64>() as f64;
        let mut below = 0.0;
        let filled = self.0.iter().zip(bounds());
        for (count, end) in filled.filter(|(count, _)| **count > 0) {
            let count = *count as f64;
            if below + count >= wanted {
                let end = end.min(LAST_SECONDS);
                return Some(end / 2.0 * (1.0 + (wanted - below) / count));
            }
            below += count;
        }
        None
    }
}

/// Where each bucket ends, in seconds.
fn bounds() -> impl Iterator<Item = f64> {
    let bounds = (0..BOUNDED).map(|place| FIRST_SECONDS * f64::from(1_u32 << place));
    bounds.chain([f64::INFINITY])
}

/// The first bucket that reaches so far.
fn place(nanos: u64) -> usize {
    let steps = nanos.div_ceil(FIRST_NANOS).max(1);
    steps.next_power_of_two().trailing_zeros() as usize
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let buckets: Vec<(f64, u64)> = bounds().zip(self.spread().0).collect();
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
/// Where the last bucket ends that ends somewhere.
const LAST_SECONDS: f64 = 13.1072;

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn share_of_what_came_since_was_done_within_a_time() {
        let durations = Durations::default();
        assert_eq!(durations.spread().within(0.5), None);
        durations.observe(Duration::from_secs(3600));
        let before = durations.spread();
        for millis in [1, 1, 1, 100] {
            durations.observe(Duration::from_millis(millis));
        }
        let spread = durations.spread().since(&before);
        // The buckets are 0.8 to 1.6 ms, and 51.2 to 102.4 ms.
        let median = spread.within(0.5).unwrap();
        assert!((0.0008..=0.0016).contains(&median), "{median}");
        let most = spread.within(0.99).unwrap();
        assert!((0.0512..=0.1024).contains(&most), "{most}");
        assert_eq!(before.within(1.0), Some(LAST_SECONDS));
    }

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
