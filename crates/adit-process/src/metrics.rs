//! Metrics of the process itself, and what the crates make theirs of, which they register beside them.
//!
//! Labels are enums ([`Label`](trait@Label)), and a metric has a series for each of their values from the start ([`Each`], [`EachPair`]): one
//! that begins with its first count shows whoever looks for a rise none, and no request pays for a look-up. `docs/metrics.md` is
//! written from what is registered. The certificate's metrics are registered by [`OwnCertificate::register`](crate::tls::OwnCertificate::register).

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::logging;

mod durations;
mod held;
mod label;
mod scrape;
mod usage;

pub use durations::{Durations, Spread};
pub use held::Held;
pub use label::{Each, EachPair, Label};
pub use scrape::Scrape;

crate::label! {
    /// What looking again at a file found: a certificate's, a secret's, a configuration's.
    pub enum Reload: "outcome" {
        /// Something else than before, which counts from now on.
        Replaced = "replaced",
        /// Nothing that can be used. What counted before counts on.
        Failed = "failed",
    }
}

/// Registers `adit_build_info{version}`, `process_start_time_seconds`, with now as the start, `adit_log_lines_lost_total`, and what
/// the process uses of its machine.
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
    registry.register_collector(Box::new(usage::Usage));
    registry.register_collector(Box::new(LostLines));
}

/// Counted where lines are written, read when somebody asks.
#[derive(Debug)]
struct LostLines;

impl Collector for LostLines {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Lines of the log that were lost because nobody read it";
        Scrape::new(encoder).counter("adit_log_lines_lost", help, logging::lost_lines())
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
