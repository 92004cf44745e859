//! The certificates that a relay shows, and the CAs whose clients it believes, each by its port.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use adit_process::{
    metrics::{Label as _, Reload, Scrape},
    reread::{Kept as _, Looks},
    tls::{ClientRoots, ServerTls},
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Registry};

/// Read where they are kept.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    shown: Vec<(&'static str, ServerTls)>,
    believed: Vec<(&'static str, ClientRoots)>,
}

impl Certificates {
    /// `port` is how its metrics call it.
    pub(crate) fn add(&mut self, port: &'static str, shown: &ServerTls) {
        self.shown.push((port, shown.clone()));
    }

    /// Likewise, of the CAs whose clients are believed there.
    pub(crate) fn believe(&mut self, port: &'static str, believed: &ClientRoots) {
        self.believed.push((port, believed.clone()));
    }

    /// Once they are all there. Without any, there are no metrics of them.
    pub(crate) fn register(self, registry: &mut Registry) {
        if !self.shown.is_empty() {
            registry.register_collector(Box::new(self));
        }
    }

    fn encode_shown(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        scrape.gauges(
            "adit_tls_certificate_expiry_timestamp_seconds",
            "When the certificate ends that is shown, by the port that shows it, or without one by an agent to its relay, in seconds since 1970",
            self.shown
                .iter()
                .map(|(port, shown)| ([("port", *port)], since_1970(shown.own().not_after()))),
        )?;
        scrape.gauges(
            "adit_tls_certificate_lifetime_seconds",
            "How long it holds in all, from its begin to its end",
            self.shown.iter().map(|(port, shown)| {
                let life = shown.own().certificate().life();
                ([("port", *port)], life.as_secs())
            }),
        )?;
        scrape.counters(
            "adit_tls_certificate_reloads",
            "Looks at the certificate's files that found something new, or failed",
            self.shown
                .iter()
                .flat_map(|(port, shown)| by_outcome(port, shown.own().looks())),
        )
    }

    fn encode_believed(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        scrape.gauges(
            "adit_relay_client_ca_expiry_timestamp_seconds",
            "When the first of the CAs ends whose clients are believed, by port (public: agents, admin: operators), in seconds since 1970",
            self.believed.iter().filter_map(|(port, roots)| {
                let first = roots.first_to_end()?;
                Some(([("port", *port)], since_1970(first.not_after)))
            }),
        )?;
        scrape.gauges(
            "adit_relay_client_ca_lifetime_seconds",
            "How long that one holds in all, from its begin to its end",
            self.believed.iter().filter_map(|(port, roots)| {
                let life = roots.first_to_end()?.life();
                Some(([("port", *port)], life.as_secs()))
            }),
        )?;
        scrape.counters(
            "adit_relay_client_ca_reloads",
            "Looks at the file of these CAs that found something new, or failed",
            self.believed
                .iter()
                .flat_map(|(port, roots)| by_outcome(port, roots.looks())),
        )
    }
}

impl Collector for Certificates {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape::new(encoder);
        self.encode_shown(&mut scrape)?;
        if self.believed.is_empty() {
            return Ok(());
        }
        self.encode_believed(&mut scrape)
    }
}

fn by_outcome<'a>(
    port: &'a str,
    looks: &'a Looks,
) -> impl Iterator<Item = ([(&'a str, &'a str); 2], u64)> {
    let reloads = looks.reloads();
    Reload::ALL.iter().map(move |outcome| {
        let labels = [("port", port), (Reload::NAME, outcome.as_str())];
        (labels, reloads.of(*outcome).get())
    })
}

fn since_1970(end: SystemTime) -> u64 {
    let end = end.duration_since(UNIX_EPOCH);
    end.unwrap_or(Duration::ZERO).as_secs()
}
