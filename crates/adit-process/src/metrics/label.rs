//! Labels whose values are known beforehand, and metrics that have one series for each of them from the start: a look-up costs an
//! index, and an alert sees 0 before it sees 1.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A label with few values. Made by [`label!`](crate::label).
pub trait Label: Copy + Send + Sync + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// The value as it is written.
    fn as_str(self) -> &'static str;

    /// Its place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Declares an enum and how it is written as a label: `enum Ended: "cause" { Drained = "drained" }`.
#[macro_export]
macro_rules! label {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident: $label:literal {
            $( $(#[$value_meta:meta])* $value:ident = $text:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $name {
            $( $(#[$value_meta])* $value, )+
        }

        impl $crate::metrics::Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$( Self::$value, )+];

            fn as_str(self) -> &'static str {
                match self {
                    $( Self::$value => $text, )+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// A metric for each value of a label. Clones share them.
#[derive(Debug)]
pub struct Each<L, M> {
    metrics: Arc<[M]>,
    label: PhantomData<fn() -> L>,
}

impl<L: Label, M> Each<L, M> {
    /// As `make` makes them.
    pub fn new(make: impl Fn() -> M) -> Self {
        Self {
            metrics: L::ALL.iter().map(|_| make()).collect(),
            label: PhantomData,
        }
    }

    /// The one of that value.
    #[must_use]
    pub fn of(&self, label: L) -> &M {
        self.metrics.get(label.index()).expect(ONE_EACH)
    }
}

impl<L: Label, M: Default> Default for Each<L, M> {
    fn default() -> Self {
        Self::new(M::default)
    }
}

impl<L, M> Clone for Each<L, M> {
    fn clone(&self) -> Self {
        Self {
            metrics: Arc::clone(&self.metrics),
            label: PhantomData,
        }
    }
}

impl<L: Label, M: EncodeMetric + TypedMetric> EncodeMetric for Each<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for label in L::ALL {
            let labels = [(L::NAME, label.as_str())];
            self.of(*label).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// A metric for each pair of values of two labels. Clones share them.
#[derive(Debug)]
pub struct EachPair<A, B, M> {
    metrics: Arc<[M]>,
    labels: PhantomData<fn() -> (A, B)>,
}

impl<A: Label, B: Label, M> EachPair<A, B, M> {
    /// The one of those values.
    #[must_use]
    pub fn of(&self, first: A, second: B) -> &M {
        let index = first.index() * B::ALL.len() + second.index();
        self.metrics.get(index).expect(ONE_EACH)
    }
}

impl<A: Label, B: Label, M: Default> Default for EachPair<A, B, M> {
    fn default() -> Self {
        let count = A::ALL.len() * B::ALL.len();
        Self {
            metrics: (0..count).map(|_| M::default()).collect(),
            labels: PhantomData,
        }
    }
}

impl<A, B, M> Clone for EachPair<A, B, M> {
    fn clone(&self) -> Self {
        Self {
            metrics: Arc::clone(&self.metrics),
            labels: PhantomData,
        }
    }
}

impl<A: Label, B: Label, M: EncodeMetric + TypedMetric> EncodeMetric for EachPair<A, B, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for first in A::ALL {
            for second in B::ALL {
                let labels = [(A::NAME, first.as_str()), (B::NAME, second.as_str())];
                let encoder = encoder.encode_family(&labels)?;
                self.of(*first, *second).encode(encoder)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

const ONE_EACH: &str = "there is one for each value";

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::registry::Registry;

    use super::*;

    label! {
        /// How it ended.
        enum Ended: "ended" {
            /// Well.
            Well = "well",
            /// Not well.
            Badly = "badly",
        }
    }

    label! {
        enum Way: "way" {
            Up = "up",
            Down = "down",
        }
    }

    #[test]
    fn every_value_has_its_series_from_the_start() {
        let (one, two) = (
            Each::<Ended, Counter>::default(),
            EachPair::<Ended, Way, Counter>::default(),
        );
        let mut registry = Registry::default();
        registry.register("one", "By one", one.clone());
        registry.register("two", "By two", two.clone());
        one.of(Ended::Badly).inc();
        two.of(Ended::Well, Way::Down).inc();
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let expected = "\
# HELP one By one.
# TYPE one counter
one_total{ended=\"well\"} 0
one_total{ended=\"badly\"} 1
# HELP two By two.
# TYPE two counter
two_total{ended=\"well\",way=\"up\"} 0
two_total{ended=\"well\",way=\"down\"} 1
two_total{ended=\"badly\",way=\"up\"} 0
two_total{ended=\"badly\",way=\"down\"} 0
# EOF
";
        assert_eq!(text, expected);
    }
}
