//! What a gauge counts as long as it lasts.

use prometheus_client::metrics::gauge::Gauge;

/// So much of something that a gauge counts; it is given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    gauge: Gauge,
    amount: i64,
}

impl Held {
    /// One more.
    #[must_use]
    pub fn one(gauge: &Gauge) -> Self {
        Self::some(gauge, 1)
    }

    /// So much more.
    #[must_use]
    pub fn some(gauge: &Gauge, amount: usize) -> Self {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        gauge.inc_by(amount);
        Self {
            gauge: gauge.clone(),
            amount,
        }
    }

    /// So much more, unless the gauge would then be above `max`. Two who ask at once may both be refused, but never both
    /// be let in above it.
    #[must_use]
    pub fn within(gauge: &Gauge, amount: usize, max: usize) -> Option<Self> {
        let (amount, max) = (
            i64::try_from(amount).ok()?,
            i64::try_from(max).unwrap_or(i64::MAX),
        );
        let held = Self {
            gauge: gauge.clone(),
            amount,
        };
        (gauge.inc_by(amount).saturating_add(amount) <= max).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.dec_by(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_and_never_above_its_bound() {
        let gauge = Gauge::default();
        let one = Held::one(&gauge);
        let three = Held::within(&gauge, 3, 4).unwrap();
        assert!(Held::within(&gauge, 1, 4).is_none());
        assert_eq!(gauge.get(), 4);
        drop(one);
        assert!(Held::within(&gauge, 1, 4).is_some());
        drop(three);
        assert_eq!(gauge.get(), 0);
    }
}
