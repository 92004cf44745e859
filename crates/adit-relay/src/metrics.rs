//! What operators see of a relay in numbers; `docs/configuration.md` lists them.
//!
//! Every stage holds the same [`Metrics`]. Invariant: labels come from fixed words, never from a request; on a request's
//! way only held handles are used, because one look-up in a family costs more than all the counting together. Every label is there
//! from the start, at 0: a series that begins with its first count shows whoever looks for a rise none.

use std::sync::Arc;

use adit_authority::Ended;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{agents::TunnelEnd, refusal};

mod gitlab;
mod scraped;

pub(crate) use scraped::Scraped;

/// How an exchange ended, up to its answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The API server answered, whatever it said.
    Answered,
    /// The relay answered itself.
    Refused,
    /// The caller left first.
    Cancelled,
}

const PREFIX: &str = "adit_relay";

/// Counted by the thread that writes the audit log.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditMetrics {
    pub(crate) write_failures: Counter,
}

/// The relay's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    outcomes: Outcomes,
    refusals: Family<Reason, Counter>,
    pub(crate) stages: Stages,
    pub(crate) request_bytes: Counter,
    pub(crate) answer_bytes: Counter,
    pub(crate) upgraded: Gauge,
    connections: Family<Protocol, Gauge>,
    /// See `front_door/http2.rs`.
    pub(crate) connections_full: Counter,
    connections_refused: Family<Reason, Counter>,
    handshakes_failed: Family<Reason, Counter>,
    heads_refused: Family<Reason, Counter>,
    exchanges_cut: Family<Reason, Counter>,
    gitlab_events: Family<Kind, Counter>,
    tunnels: Gauge,
    tunnels_opened: Counter,
    tunnels_refused: Family<Reason, Counter>,
    pub(crate) audit: AuditMetrics,
    tunnel_ends: Family<Cause, Counter>,
}

#[derive(Debug)]
struct Outcomes {
    answered: Counter,
    refused: Counter,
    cancelled: Counter,
}

/// Seconds spent in the stages that may take any.
#[derive(Debug)]
pub(crate) struct Stages {
    /// Checking a token that this connection has not shown before.
    pub(crate) authenticate: Histogram,
    /// Waiting for an agent that is reconnecting.
    pub(crate) route: Histogram,
    /// From the request's head to the answer's, all stages and the API server together.
    pub(crate) answer: Histogram,
    /// One call to GitLab.
    pub(crate) gitlab: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Protocol {
    protocol: &'static str,
}

impl Metrics {
    /// Registers everything; names begin with `adit_relay_`.
    pub(crate) fn register(registry: &mut Registry) -> Arc<Self> {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let outcomes: Family<OutcomeLabel, Counter> = Family::default();
        registry.register("requests", "Requests by how they ended", outcomes.clone());
        let outcome = |outcome| outcomes.get_or_create(&OutcomeLabel { outcome }).clone();
        let bytes: Family<Direction, Counter> = Family::default();
        registry.register(
            "body_bytes",
            "Bytes of bodies, without upgraded connections",
            bytes.clone(),
        );
        let direction = |direction| bytes.get_or_create(&Direction { direction }).clone();
        let metrics = Self {
            outcomes: Outcomes {
                answered: outcome("answered"),
                refused: outcome("refused"),
                cancelled: outcome("cancelled"),
            },
            refusals: by_reason(&refusal::REASONS),
            stages: Stages::register(registry),
            request_bytes: direction("request"),
            answer_bytes: direction("answer"),
            upgraded: Gauge::default(),
            connections: Family::default(),
            connections_full: Counter::default(),
            connections_refused: by_reason(&["relay", "address", "hasty"]),
            handshakes_failed: by_reason(&["tls", "timed_out", "http2_timed_out", "proxy_header"]),
            heads_refused: by_reason(&["malformed", "too_large", "slow"]),
            exchanges_cut: by_reason(&["over", "changed", "unproved"]),
            gitlab_events: Family::default(),
            tunnels: Gauge::default(),
            tunnels_opened: Counter::default(),
            tunnels_refused: by_reason(&[
                "unauthenticated",
                "other_agent",
                "gitlab_unavailable",
                "gitlab_bad_answer",
                "gitlab_busy",
                "too_many_bad_tokens",
                "too_many",
                "draining",
                "handshake",
            ]),
            audit: AuditMetrics::default(),
            tunnel_ends: Family::default(),
        };
        for protocol in ["http1", "http2"] {
            drop(metrics.connections.get_or_create(&Protocol { protocol }));
        }
        for kind in ["job_over", "other"] {
            drop(metrics.gitlab_events.get_or_create(&Kind { kind }));
        }
        for end in TunnelEnd::ALL {
            let cause = end.cause();
            drop(metrics.tunnel_ends.get_or_create(&Cause { cause }));
        }
        metrics.register_rest(registry);
        Arc::new(metrics)
    }

    /// Registers what is read where it is kept.
    pub(crate) fn register_scraped(registry: &mut Registry, scraped: Scraped) {
        registry
            .sub_registry_with_prefix(PREFIX)
            .register_collector(Box::new(scraped));
    }

    fn register_rest(&self, registry: &mut Registry) {
        registry.register(
            "refusals",
            "Answers of the relay's own, by reason",
            self.refusals.clone(),
        );
        registry.register(
            "upgraded_open",
            "Upgraded connections running",
            self.upgraded.clone(),
        );
        registry.register(
            "connections_open",
            "Connections by protocol",
            self.connections.clone(),
        );
        registry.register(
            "connections_full",
            "Times that an HTTP/2 connection had as many requests as it may",
            self.connections_full.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections hung up on before the first byte",
            self.connections_refused.clone(),
        );
        registry.register(
            "handshakes_failed",
            "TLS handshakes that failed",
            self.handshakes_failed.clone(),
        );
        registry.register(
            "heads_refused",
            "HTTP/1 heads that became no request",
            self.heads_refused.clone(),
        );
        registry.register(
            "exchanges_cut",
            "Requests ended because their job's access was",
            self.exchanges_cut.clone(),
        );
        registry.register(
            "gitlab_events",
            "Events that GitLab's webhook brought",
            self.gitlab_events.clone(),
        );
        registry.register(
            "tunnels_open",
            "Tunnels that agents hold",
            self.tunnels.clone(),
        );
        registry.register(
            "tunnels_opened",
            "Tunnels that agents opened",
            self.tunnels_opened.clone(),
        );
        registry.register(
            "tunnels_refused",
            "Tunnels that were not opened, by reason",
            self.tunnels_refused.clone(),
        );
        registry.register(
            "audit_write_failures",
            "Attempts to write the audit log that failed",
            self.audit.write_failures.clone(),
        );
        registry.register(
            "tunnel_ends",
            "Tunnels that ended, by cause",
            self.tunnel_ends.clone(),
        );
    }

    /// A request on its way to an answer; dropped before [`Running::ended`] it counts as cancelled.
    pub(crate) fn running(&self) -> Running<'_> {
        Running {
            outcomes: &self.outcomes,
            outcome: Outcome::Cancelled,
        }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn connection_refused(&self, reason: &'static str) {
        self.connections_refused
            .get_or_create(&Reason { reason })
            .inc();
    }

    pub(crate) fn handshake_failed(&self, reason: &'static str) {
        self.handshakes_failed
            .get_or_create(&Reason { reason })
            .inc();
    }

    pub(crate) fn head_refused(&self, reason: &'static str) {
        self.heads_refused.get_or_create(&Reason { reason }).inc();
    }

    /// So many exchanges ended with what they ran under.
    pub(crate) fn exchanges_cut(&self, why: Ended, count: usize) {
        let reason = why.as_str();
        self.exchanges_cut
            .get_or_create(&Reason { reason })
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// An event, and whether it says that a job is over.
    pub(crate) fn gitlab_event(&self, ends_job: bool) {
        let kind = if ends_job { "job_over" } else { "other" };
        self.gitlab_events.get_or_create(&Kind { kind }).inc();
    }

    pub(crate) fn tunnel_refused(&self, reason: &'static str) {
        self.tunnels_refused.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn tunnel_ended(&self, end: TunnelEnd) {
        let cause = end.cause();
        self.tunnel_ends.get_or_create(&Cause { cause }).inc();
    }

    /// A connection, counted until the guard is dropped.
    pub(crate) fn connection(&self, protocol: &'static str) -> Up {
        Up::new(&self.connections.get_or_create(&Protocol { protocol }))
    }

    /// A tunnel, counted until the guard is dropped.
    pub(crate) fn tunnel(&self) -> Up {
        self.tunnels_opened.inc();
        Up::new(&self.tunnels)
    }
}

fn by_reason(reasons: &[&'static str]) -> Family<Reason, Counter> {
    let family = Family::default();
    for reason in reasons {
        drop(family.get_or_create(&Reason { reason }));
    }
    family
}

impl Stages {
    fn register(registry: &mut Registry) -> Self {
        // 0.1 ms to 13 s, doubling.
        let new = || Histogram::new(exponential_buckets(0.0001, 2.0, 18));
        let family: Family<Stage, Histogram> = Family::new_with_constructor(new);
        registry.register(
            "stage_duration_seconds",
            "Time spent in a stage",
            family.clone(),
        );
        let stage = |stage| family.get_or_create(&Stage { stage }).clone();
        Self {
            authenticate: stage("authenticate"),
            route: stage("route"),
            answer: stage("answer"),
            gitlab: stage("gitlab"),
        }
    }
}

/// A request without an answer so far.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    outcomes: &'a Outcomes,
    outcome: Outcome,
}

impl Running<'_> {
    pub(crate) fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let counter = match self.outcome {
            Outcome::Answered => &self.outcomes.answered,
            Outcome::Refused => &self.outcomes.refused,
            Outcome::Cancelled => &self.outcomes.cancelled,
        };
        counter.inc();
    }
}

/// One of something that is counted while it lasts.
#[derive(Debug)]
pub(crate) struct Up(Gauge);

impl Up {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.0.dec();
    }
}
