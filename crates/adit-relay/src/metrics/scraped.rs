//! Numbers that are read where they are kept, at each scrape, instead of being counted a second time.

use std::sync::Arc;

use adit_authority::{GitLab, Oidc};
use adit_tunnel::Budget;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use super::gitlab;
use crate::{audit::Audit, in_flight::InFlight, registry::Registry};

/// Where they are kept.
#[derive(Debug)]
pub(crate) struct Scraped {
    pub(crate) registry: Arc<Registry>,
    /// Of all tunnels.
    pub(crate) budget: Arc<Budget>,
    pub(crate) oidc: Arc<Oidc>,
    pub(crate) gitlab: Option<Arc<GitLab>>,
    pub(crate) in_flight: InFlight,
    pub(crate) audit: Audit,
}

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (mut streams, mut queued) = (0, 0);
        self.registry.each_tunnel(|_, tunnel| {
            let stats = tunnel.stats();
            streams += stats.streams;
            queued += stats.queued_bytes;
        });
        let audit = self.audit.stats();
        let (tokens, tunnels) = (self.oidc.stats(), self.budget.totals());
        let gauges = [
            (
                "exchanges_open",
                "Requests running, upgraded ones included",
                self.in_flight.running(),
            ),
            ("tunnel_streams_open", "Streams of all tunnels", streams),
            (
                "tunnel_buffered_bytes",
                "Bytes from agents that lie unread",
                self.budget.held(),
            ),
            (
                "tunnel_queued_bytes",
                "Bytes to agents that wait for credit or the wire",
                queued,
            ),
            (
                "tokens_cached",
                "Verified tokens remembered",
                tokens.cached_tokens,
            ),
            (
                "audit_queue_bytes",
                "Bytes of audit records that wait to be written, or for which room is kept",
                audit.bytes,
            ),
            (
                "audit_queue_limit_bytes",
                "Bytes that may wait, `audit.queue`; 0 without an audit log",
                self.audit.most_bytes(),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = [
            (
                "tunnel_credit_stalls",
                "Times that a request's body waited for an agent's credit",
                tunnels.credit_stalls,
            ),
            (
                "tunnel_streams_overloaded",
                "Streams reset because a bound on unread bytes was reached",
                tunnels.overloaded,
            ),
            (
                "token_cache_hits",
                "Tokens that were remembered",
                tokens.cache_hits,
            ),
            (
                "token_cache_misses",
                "Tokens that were not, valid or not",
                tokens.cache_misses,
            ),
            (
                "token_cache_evictions",
                "Tokens forgotten early for want of room",
                tokens.cache_evictions,
            ),
            (
                "key_fetches",
                "Fetches of issuers' keys",
                tokens.key_fetches,
            ),
            (
                "key_fetch_failures",
                "Fetches of issuers' keys that failed",
                tokens.key_fetch_failures,
            ),
            (
                "key_fetches_withheld",
                "Fetches that would have come too soon after the last",
                tokens.key_fetches_withheld,
            ),
            ("audit_records_made", "Audit records made", audit.made),
            (
                "audit_records_dropped",
                "Audit records lost for want of room",
                audit.missing.dropped,
            ),
            (
                "audit_records_withheld",
                "Audit records not made, since strangers caused too many",
                audit.missing.withheld,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        match &self.gitlab {
            Some(gitlab) => gitlab::encode(gitlab, &mut encoder),
            None => Ok(()),
        }
    }
}
