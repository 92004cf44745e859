//! Metrics of the process itself; each crate registers its own beside them.
//!
//! The certificate's expiry is registered by [`ServerTls::register`](crate::tls::ServerTls::register).

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::logging;

/// Registers `adit_build_info{version}`, `process_start_time_seconds`, with now as the start, and `adit_log_lines_lost_total`.
pub fn register(registry: &mut Registry, version: &'static str) {
    registry.register(
        "adit_build",
        "What this process was built from",
        Info::new([("version", version)]),
    );
    let started = Gauge::<f64, AtomicU64>::default();
    started.set(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs_f64(),
    );
    let help = "When the process started, in seconds since 1970";
    registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
    registry.register_collector(Box::new(LostLines));
}

/// Counted where lines are written, read when somebody asks.
#[derive(Debug)]
struct LostLines;

impl Collector for LostLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counter = ConstCounter::new(logging::lost_lines());
        let help = "Lines of the log that were lost because nobody read it";
        let encoder =
            encoder.encode_descriptor("adit_log_lines_lost", help, None, counter.metric_type())?;
        counter.encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn version_and_start_are_told() {
        let mut registry = Registry::default();
        register(&mut registry, "1.2.3");
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("adit_build_info{version=\"1.2.3\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("\nprocess_start_time_seconds "), "{text}");
        assert!(text.contains("\nadit_log_lines_lost_total 0\n"), "{text}");
    }
}
