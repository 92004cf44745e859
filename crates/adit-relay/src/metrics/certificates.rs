//! The certificates that a relay shows, each by the port that shows it.

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use adit_process::{
    metrics::{Label as _, Reload, Scrape},
    reread::Kept as _,
    tls::ServerTls,
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Registry};

/// Read where they are kept.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Vec<(&'static str, ServerTls)>);

impl Certificates {
    /// `port` is how its metrics call it.
    pub(crate) fn add(&mut self, port: &'static str, shown: &ServerTls) {
        self.0.push((port, shown.clone()));
    }

    /// Once they are all there. Without any, there are no metrics of them.
    pub(crate) fn register(self, registry: &mut Registry) {
        if !self.0.is_empty() {
            registry.register_collector(Box::new(self));
        }
    }
}

impl Collector for Certificates {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape::new(encoder);
        scrape.gauges(
            "adit_tls_certificate_expiry_timestamp_seconds",
            "When the certificate ends that is shown, by the port that shows it, or without one by an agent to its relay, in seconds since 1970",
            self.0.iter().map(|(port, shown)| {
                let end = shown.own().not_after().duration_since(UNIX_EPOCH);
                let end = end.unwrap_or(Duration::ZERO).as_secs();
                ([("port", *port)], end)
            }),
        )?;
        scrape.counters(
            "adit_tls_certificate_reloads",
            "Looks at the certificate's files that found something new, or failed",
            self.0.iter().flat_map(|(port, shown)| {
                let reloads = shown.own().looks().reloads();
                Reload::ALL.iter().map(move |outcome| {
                    let labels = [("port", *port), (Reload::NAME, outcome.as_str())];
                    (labels, reloads.of(*outcome).get())
                })
            }),
        )
    }
}
