//! How long requests took.

use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What so large a share of them took at most, in microseconds. 0 without any.
    #[must_use]
    pub fn percentile_us(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let at = (sorted.len() as f64 * share) as usize;
        let took = sorted.get(at.min(sorted.len().saturating_sub(1)));
        took.map_or(0.0, |took| took.as_secs_f64() * 1e6)
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(took: I) -> Self {
        Self(took.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_found_in_any_order_and_of_few() {
        let took: Latencies = (0..100).rev().map(Duration::from_micros).collect();
        assert_eq!(took.percentile_us(0.5), 50.0);
        assert_eq!(took.percentile_us(0.99), 99.0);
        let one = Latencies::from_iter([Duration::from_micros(7)]);
        assert_eq!(one.percentile_us(0.99), 7.0);
        assert_eq!(Latencies::default().percentile_us(0.99), 0.0);
    }
}
