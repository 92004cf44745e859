//! Numbers that are read where they are kept, at each scrape, instead of being counted a second time.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabel, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// One scrape, for collectors. A name that ends in `_bytes` or `_seconds` has that unit.
#[derive(Debug)]
pub struct Scrape<'a>(DescriptorEncoder<'a>);

impl<'a> Scrape<'a> {
    /// Writes there.
    #[must_use]
    pub fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// What goes up and down.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl TryInto<i64>) -> fmt::Result {
        self.one(name, help, &gauge(value))
    }

    /// What goes up and down, for each set of labels.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn gauges<L, V, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([L; LABELS], V)>,
    ) -> fmt::Result
    where
        L: EncodeLabel,
        V: TryInto<i64>,
    {
        let samples = samples
            .into_iter()
            .map(|(labels, value)| (labels, gauge(value)));
        self.each(name, help, &gauge(0), samples)
    }

    /// How long something takes now; the name ends in `_seconds`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn duration(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        self.one(name, help, &ConstGauge::new(value.as_secs_f64()))
    }

    /// What goes up alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.one(name, help, &ConstCounter::new(value))
    }

    /// What goes up alone, for each set of labels.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn counters<L: EncodeLabel, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([L; LABELS], u64)>,
    ) -> fmt::Result {
        let samples = samples
            .into_iter()
            .map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.each(name, help, &ConstCounter::new(0), samples)
    }

    fn one(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let (name, unit) = split(name);
        let (help, kind) = (sentence(help), metric.metric_type());
        metric.encode(self.0.encode_descriptor(name, &help, unit.as_ref(), kind)?)
    }

    fn each<M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        example: &M,
        samples: impl Iterator<Item = (impl EncodeLabelSet, M)>,
    ) -> fmt::Result {
        let (name, unit) = split(name);
        let (help, kind) = (sentence(help), example.metric_type());
        let mut family = self.0.encode_descriptor(name, &help, unit.as_ref(), kind)?;
        for (labels, metric) in samples {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauge(value: impl TryInto<i64>) -> ConstGauge<i64> {
    ConstGauge::new(value.try_into().unwrap_or(i64::MAX))
}

/// With the full stop that a registry puts after what is registered.
fn sentence(help: &str) -> String {
    format!("{help}.")
}

/// A name's unit, which the encoder puts back.
fn split(name: &str) -> (&str, Option<Unit>) {
    for (end, unit) in [("_bytes", Unit::Bytes), ("_seconds", Unit::Seconds)] {
        if let Some(name) = name.strip_suffix(end) {
            return (name, Some(unit));
        }
    }
    (name, None)
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Kept;

    impl Collector for Kept {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let mut scrape = Scrape::new(encoder);
            scrape.gauge("held_bytes", "Bytes that are held", 3_usize)?;
            scrape.gauges(
                "doors",
                "Doors",
                [([("is", "open")], 1), ([("is", "shut")], 2)],
            )?;
            scrape.duration("wait_seconds", "Wait", Duration::from_millis(250))?;
            scrape.counter("knocks", "Knocks", 4_u64)?;
            scrape.counters("calls", "Calls", [([("from", "here")], 5)])
        }
    }

    #[test]
    fn what_is_kept_elsewhere_is_told_with_its_unit() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Kept));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let expected = "\
# HELP held_bytes Bytes that are held.
# TYPE held_bytes gauge
# UNIT held_bytes bytes
held_bytes 3
# HELP doors Doors.
# TYPE doors gauge
doors{is=\"open\"} 1
doors{is=\"shut\"} 2
# HELP wait_seconds Wait.
# TYPE wait_seconds gauge
# UNIT wait_seconds seconds
wait_seconds 0.25
# HELP knocks Knocks.
# TYPE knocks counter
knocks_total 4
# HELP calls Calls.
# TYPE calls counter
calls_total{from=\"here\"} 5
# EOF
";
        assert_eq!(text, expected);
    }
}
