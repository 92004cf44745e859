//! Numbers that are read where they are kept, at each scrape.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use adit_authority::{
    GitLab,
    gitlab::{AgentFiles, Gitaly},
};
use adit_process::metrics::Scrape;
use adit_tunnel::Budget;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::gitlab;
use crate::{
    audit::Audit,
    config::Pending,
    in_flight::InFlight,
    registry::Registry,
    rules::{Current, Rules},
};

/// Where they are kept.
#[derive(Debug)]
pub(crate) struct Scraped {
    pub(crate) rules: Current,
    pub(crate) pending: Pending,
    pub(crate) registry: Arc<Registry>,
    /// Of all tunnels.
    pub(crate) budget: Arc<Budget>,
    pub(crate) gitlab: Option<Arc<GitLab>>,
    pub(crate) gitaly: Option<Arc<Gitaly>>,
    pub(crate) agent_files: Option<Arc<AgentFiles>>,
    pub(crate) in_flight: InFlight,
    pub(crate) waiting: InFlight,
    pub(crate) audit: Audit,
}

impl Collector for Scraped {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape::new(encoder);
        let rules = self.rules.load();
        scrape.gauge(
            "config_keys_pending",
            "Keys of the configuration's file that say something else than what the relay runs by, and count from its next start on",
            self.pending.keys().len(),
        )?;
        self.tunnels(&rules, &mut scrape)?;
        self.buffers(&mut scrape)?;
        if rules.agent_series > 0 {
            self.agents(rules.agent_series, &mut scrape)?;
        }
        tokens(&rules, &mut scrape)?;
        keys(&rules, &mut scrape)?;
        self.audit(&mut scrape)?;
        let Some(gitlab) = &self.gitlab else {
            return Ok(());
        };
        gitlab::encode(gitlab, self.agent_files.as_deref(), &mut scrape)?;
        match &self.gitaly {
            Some(gitaly) => gitlab::encode_gitaly(gitaly, &mut scrape),
            None => Ok(()),
        }
    }
}

impl Scraped {
    fn tunnels(&self, rules: &Rules, scrape: &mut Scrape<'_>) -> fmt::Result {
        let (mut streams, mut queued, mut most_queued) = (0_usize, 0_usize, 0_usize);
        self.registry.each_tunnel(|_, tunnel| {
            let stats = tunnel.stats();
            streams += stats.streams;
            queued += stats.queued_bytes;
            most_queued = most_queued.max(stats.queued_bytes);
        });
        scrape.gauge(
            "exchanges_open",
            "Requests that run, from their head to their answer's last byte",
            self.in_flight.running(),
        )?;
        scrape.gauge(
            "requests_waiting",
            "Those of them that wait behind others of the same job: limits.turns_per_job",
            self.waiting.running(),
        )?;
        scrape.gauge(
            "connections_limit",
            "Connections that may be open: limits.connections",
            rules.limits.connections,
        )?;
        scrape.gauge("tunnel_streams_open", "Streams of all tunnels", streams)?;
        scrape.gauge(
            "tunnel_queued_bytes",
            "Bytes to agents that wait for credit or the wire, in all tunnels",
            queued,
        )?;
        scrape.gauge(
            "tunnel_most_queued_bytes",
            "The same in the tunnel that has most",
            most_queued,
        )?;
        scrape.gauge(
            "tunnel_queued_limit_bytes",
            "How many may wait in one tunnel: tunnel.max_queued",
            rules.options.max_queued_bytes,
        )
    }

    fn buffers(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        scrape.gauge(
            "tunnel_buffered_bytes",
            "Bytes from agents that lie unread, in all tunnels",
            self.budget.held(),
        )?;
        scrape.gauge(
            "tunnel_buffered_limit_bytes",
            "How many may: tunnel.max_buffered_in_all",
            self.budget.limit(),
        )?;
        let totals = self.budget.totals();
        scrape.counter(
            "tunnel_credit_stalls",
            "Times that the body of a request waited for an agent to read: see limits.stream_credit_bytes of the agent",
            totals.credit_stalls,
        )?;
        scrape.counter(
            "tunnel_streams_overloaded",
            "Requests that were reset because answers lay unread up to tunnel.max_buffered or tunnel.max_buffered_in_all, also those whose answer had begun",
            totals.overloaded,
        )
    }

    /// The first of them by id, as many as configured.
    fn agents(&self, most: usize, scrape: &mut Scrape<'_>) -> fmt::Result {
        let mut agents = self.registry.seen();
        agents.sort_unstable_by_key(|seen| seen.agent);
        let left_out = agents.len().saturating_sub(most);
        agents.truncate(most);
        let tunnels = agents
            .iter()
            .map(|seen| ([("agent", seen.agent.0)], seen.tunnels.len()));
        scrape.gauges(
            "agent_tunnels_open",
            "Tunnels of an agent, 0 once it has left; with metrics.agents",
            tunnels,
        )?;
        let streams = agents.iter().map(|seen| {
            let tunnels = seen.tunnels.iter();
            let streams: usize = tunnels.map(|(_, tunnel)| tunnel.stats().streams).sum();
            ([("agent", seen.agent.0)], streams)
        });
        scrape.gauges(
            "agent_streams_open",
            "Requests that run at an agent; with metrics.agents",
            streams,
        )?;
        scrape.gauge(
            "agents_left_out",
            "Agents past metrics.agents, which have no series of their own",
            left_out,
        )
    }

    fn audit(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let audit = self.audit.stats();
        scrape.gauge(
            "audit_queue_bytes",
            "Bytes of audit records that wait to be written, room that is kept for running requests included",
            audit.bytes,
        )?;
        scrape.gauge(
            "audit_queue_limit_bytes",
            "How many may wait: audit.queue; 0 without an audit log",
            self.audit.most_bytes(),
        )?;
        scrape.counter("audit_records_made", "Audit records made", audit.made)?;
        scrape.counter(
            "audit_records_dropped",
            "Audit records that were lost for want of room",
            audit.missing.dropped,
        )?;
        scrape.counter(
            "audit_records_withheld",
            "Audit records that were not made, since strangers caused too many",
            audit.missing.withheld,
        )?;
        scrape.counter(
            "audit_records_rejected",
            "Audit records that the collector threw away, instead of taking them or having them sent again",
            audit.missing.rejected,
        )
    }
}

fn tokens(rules: &Rules, scrape: &mut Scrape<'_>) -> fmt::Result {
    let stats = rules.oidc.stats();
    scrape.gauge(
        "tokens_cached",
        "Verified ID tokens that are remembered",
        stats.cached_tokens,
    )?;
    scrape.counter(
        "token_cache_hits",
        "ID tokens shown that were remembered",
        stats.cache_hits,
    )?;
    scrape.counter(
        "token_cache_misses",
        "ID tokens shown that were not, valid or not",
        stats.cache_misses,
    )?;
    scrape.counter(
        "token_cache_evictions",
        "ID tokens that were forgotten early for want of room",
        stats.cache_evictions,
    )
}

fn keys(rules: &Rules, scrape: &mut Scrape<'_>) -> fmt::Result {
    let stats = rules.oidc.stats();
    scrape.counter("key_fetches", "Fetches of issuers' keys", stats.key_fetches)?;
    scrape.counter(
        "key_fetch_failures",
        "Those of them that failed",
        stats.key_fetch_failures,
    )?;
    scrape.counter(
        "key_fetches_withheld",
        "Fetches that would have come too soon after the last",
        stats.key_fetches_withheld,
    )?;
    let Some(left) = stats.keys_usable_for else {
        return Ok(());
    };
    let end = (SystemTime::now() + left).duration_since(UNIX_EPOCH);
    scrape.gauge(
        "issuer_keys_expiry_timestamp_seconds",
        "From when on tokens of an issuer can no longer be checked, if its keys cannot be fetched until then, in seconds since 1970",
        end.unwrap_or_default().as_secs(),
    )
}
