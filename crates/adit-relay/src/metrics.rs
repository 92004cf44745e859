//! What operators see of a relay in numbers; `docs/metrics.md` lists them, written from what is registered here.
//!
//! Every stage holds the same [`Metrics`]. Invariant: labels come from fixed words (`metrics/labels.rs`), never from a request; on a
//! request's way a metric is found by an index, and counted without a lock.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use adit_process::{
    metrics::{Durations, Each, EachPair, Held, Label as _, Reload},
    reread::Looks,
};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

mod certificates;
mod gitlab;
mod history;
mod labels;
mod refusals;
mod scraped;

pub(crate) use self::{
    certificates::Certificates,
    labels::{
        ApiCall, ApiOutcome, Class, Cut, Direction, Event, NoConnection, NoHandshake, NoHead,
        NoTunnel, Outcome, Spoken, Stage, StreamKind, Telling, TunnelEnd,
    },
    scraped::Scraped,
};
use self::{
    history::{Counts, Past},
    refusals::Refusals,
};

use crate::status::History;

const PREFIX: &str = "adit_relay";
const MINUTE: Duration = Duration::from_secs(60);

/// Counted by the thread that writes the audit log.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditMetrics {
    pub(crate) write_failures: Counter,
}

/// The relay's metrics.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: EachPair<Outcome, Class, Counter>,
    refusals: Refusals,
    past: Past,
    stages: Each<Stage, Durations>,
    streams: Each<StreamKind, Counter>,
    streams_open: Each<StreamKind, Gauge>,
    bytes: EachPair<StreamKind, Direction, Counter>,
    pub(crate) upgraded: Gauge,
    exchanges_cut: Each<Cut, Counter>,
    connections: Each<Spoken, Gauge>,
    /// See `front_door/http2.rs`.
    pub(crate) connections_full: Counter,
    connections_refused: Each<NoConnection, Counter>,
    handshakes_failed: Each<NoHandshake, Counter>,
    heads_refused: Each<NoHead, Counter>,
    tunnels: Gauge,
    tunnels_opened: Counter,
    tunnels_refused: Each<NoTunnel, Counter>,
    tunnel_ends: Each<TunnelEnd, Counter>,
    gitlab_events: Each<Event, Counter>,
    gitlab_api_calls: EachPair<ApiCall, ApiOutcome, Counter>,
    gitlab_api_connections: Gauge,
    pub(crate) push_followers: Gauge,
    pub(crate) push_projects: Gauge,
    tellings: Each<Telling, Counter>,
    pub(crate) secret_reloads: Each<Reload, Counter>,
    pub(crate) server_ca_reloads: Each<Reload, Counter>,
    /// How it goes with the configuration's file.
    pub(crate) config_looks: Looks,
    pub(crate) audit: AuditMetrics,
}

impl Metrics {
    /// Registers everything; names begin with `adit_relay_`.
    pub(crate) fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix(PREFIX);
        metrics.register_requests(registry);
        metrics.register_streams(registry);
        metrics.register_connections(registry);
        metrics.register_tunnels(registry);
        metrics.register_others(registry);
        metrics.register_pushes(registry);
        Arc::new(metrics)
    }

    /// Registers what is read where it is kept.
    pub(crate) fn register_scraped(registry: &mut Registry, scraped: Scraped) {
        registry
            .sub_registry_with_prefix(PREFIX)
            .register_collector(Box::new(scraped));
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests, by how they ended up to their answer's head (answered by the API server, refused by the relay, cancelled by the caller) and by what they ask for: read; watch, which a followed log is, too; change; run: exec, attach, port-forward and proxies; relay: nothing of an API server",
            self.requests.clone(),
        );
        registry.register(
            "refusals",
            "Answers of the relay's own, by reason",
            self.refusals.clone(),
        );
        registry.register_with_unit(
            "stage_duration",
            "Time that a stage took: authenticate (checking a token that is new to its connection), audit (waiting for room in the audit log: audit.changes_when_full, audit.reads_when_full), turn (waiting behind other requests of the same job: limits.turns_per_job), route (waiting for an agent that is not there), forward (from the tunnel to the answer's head), answer (from a request's head to its answer's, all stages together), gitlab (one call to it)",
            Unit::Seconds,
            self.stages.clone(),
        );
        registry.register(
            "exchanges_cut",
            "Requests that were ended because what they ran under was, or by an operator. over: the job has ended, or the user's access; changed: GitLab took the agent away, or roles; unproved: GitLab has not answered for authorities.gitlab.max_stale; withdrawn: the configuration was changed, and does not allow them; operator: one of a kind that lasts was cut on the private port",
            self.exchanges_cut.clone(),
        );
    }

    fn register_streams(&self, registry: &mut Registry) {
        registry.register(
            "streams",
            "Requests that were put into a tunnel, by kind; log is one that is followed",
            self.streams.clone(),
        );
        registry.register(
            "streams_open",
            "Those of them that run: their answer is not over, or their upgraded connection is used",
            self.streams_open.clone(),
        );
        registry.register_with_unit(
            "stream",
            "Bytes of bodies and of upgraded connections, while they run",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "upgraded_open",
            "Upgraded connections that are used: exec, attach, port-forward, and what goes through proxies",
            self.upgraded.clone(),
        );
    }

    fn register_connections(&self, registry: &mut Registry) {
        registry.register(
            "connections_open",
            "Connections of callers and agents, from when they take a place of limits.connections; an agent's is http2 or websocket. handshake: what it speaks is not known yet",
            self.connections.clone(),
        );
        registry.register(
            "connections_full",
            "Times that an HTTP/2 connection had as many requests as it may: limits.streams_per_connection",
            self.connections_full.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections that were hung up on. relay: limits.connections; address: limits.connections_per_address; hasty: limits.cancels_per_second; gitlab_api: gitlab_api.connections; past_balancer: listen.tls_ended_before",
            self.connections_refused.clone(),
        );
        registry.register(
            "handshakes_failed",
            "Connections that came to no HTTP; proxy_header: a balancer's that did not begin with a good header of the PROXY protocol",
            self.handshakes_failed.clone(),
        );
        registry.register(
            "heads_refused",
            "HTTP/1 heads that became no request",
            self.heads_refused.clone(),
        );
    }

    fn register_tunnels(&self, registry: &mut Registry) {
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
            "Tunnels that were not opened. other_agent: GitLab's agent has the id of one of the relay's own; no_certificate, unknown_ca, certificate_expired, bad_certificate: of tunnel.client_ca_file, the last when it does not hold yet, is a server's, or cannot be used; too_many: limits.tunnels_per_agent; handshake: it broke off, or the versions do not fit; the others as for callers",
            self.tunnels_refused.clone(),
        );
        registry.register(
            "tunnel_ends",
            "Tunnels that ended. closed: in good order; silent: nothing was heard in time, see tunnel.dead_after; misbehaved: broke the protocol, or sent a flood; lost: with its connection; revoked: GitLab no longer vouches for the agent's token, or the configuration no longer lists it, or the CA of its certificate; cut_by_operator: on the private port",
            self.tunnel_ends.clone(),
        );
    }

    fn register_others(&self, registry: &mut Registry) {
        registry.register(
            "gitlab_events",
            "Events that GitLab's webhook brought",
            self.gitlab_events.clone(),
        );
        registry.register(
            "gitlab_api_calls",
            "What GitLab called at gitlab_api. unauthenticated: the caller has not proved to be GitLab; invalid_argument: a field is missing; unimplemented: there is no such call; failed: the message could not be read, or Gitaly gave no answer",
            self.gitlab_api_calls.clone(),
        );
        registry.register(
            "gitlab_api_connections_open",
            "Connections of GitLab's at gitlab_api",
            self.gitlab_api_connections.clone(),
        );
        registry.register(
            "secret_reloads",
            "Looks at authorities.gitlab.webhook_secret_file, its api_secret_file and agent_files.token_file, gitlab_api.secret_file, admin.token_file, traces.token_file and audit.otlp.token_file that found another secret, or none that can be used",
            self.secret_reloads.clone(),
        );
        registry.register(
            "server_ca_reloads",
            "Looks at authorities.ca_file, authorities.gitlab.ca_file, authorities.gitlab.gitaly.ca_file, traces.ca_file and audit.otlp.ca_file that found other CAs, or a file that cannot be used",
            self.server_ca_reloads.clone(),
        );
        registry.register(
            "config_reloads",
            "Looks at the configuration's file that found another one, or one that cannot be used",
            self.config_looks.reloads(),
        );
        registry.register(
            "audit_write_failures",
            "Attempts to write the audit log that failed",
            self.audit.write_failures.clone(),
        );
    }

    fn register_pushes(&self, registry: &mut Registry) {
        registry.register(
            "push_followers",
            "Agents that are told of pushes, by their leaders",
            self.push_followers.clone(),
        );
        registry.register(
            "push_projects",
            "Projects that they follow, counted for each",
            self.push_projects.clone(),
        );
        registry.register(
            "push_tellings",
            "Pushes to projects that an agent follows, for each agent. told: the agent was; refused: GitLab does not let it read the project; unproved: GitLab was asked about that and did not answer; dropped: too many waited",
            self.tellings.clone(),
        );
    }

    /// A request on its way to an answer; dropped before [`Running::ended`] it counts as cancelled.
    pub(crate) fn running(&self) -> Running<'_> {
        Running {
            requests: &self.requests,
            class: Class::Relay,
            outcome: Outcome::Cancelled,
        }
    }

    /// How long a stage takes.
    pub(crate) fn stage(&self, stage: Stage) -> &Durations {
        self.stages.of(stage)
    }

    /// A request that is put into a tunnel, counted as running until the guard is dropped.
    pub(crate) fn stream(self: &Arc<Self>, kind: StreamKind) -> Streaming {
        self.streams.of(kind).inc();
        self.streams_open.of(kind).inc();
        Streaming {
            metrics: Arc::clone(self),
            kind,
        }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.count(reason);
    }

    /// Those within the last hour, by reason; what did not occur is left out.
    pub(crate) fn refusals_of_the_last_hour(&self) -> BTreeMap<String, u64> {
        self.refusals.of_the_last_hour()
    }

    /// Remembers how many refusals there were, every minute, for ever; the relay runs it.
    pub(crate) fn remember_refusals(&self) -> impl Future<Output = ()> + Send + use<> {
        let refusals = self.refusals.clone();
        async move {
            let mut minutes = tokio::time::interval(MINUTE);
            loop {
                minutes.tick().await;
                refusals.remember();
            }
        }
    }

    /// What the last hour was like.
    pub(crate) fn history(&self) -> History {
        self.past.history()
    }

    /// Remembers every ten seconds what came meanwhile, for ever; the relay runs it.
    pub(crate) fn remember_history(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let metrics = Arc::clone(self);
        async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(history::EVERY));
            loop {
                ticks.tick().await;
                metrics.past.remember(metrics.counts());
            }
        }
    }

    fn counts(&self) -> Counts {
        let requests = |outcome| {
            let of = |class: &Class| self.requests.of(outcome, *class).get();
            Class::ALL.iter().map(of).sum()
        };
        let bytes = |direction| {
            let of = |kind: &StreamKind| self.bytes.of(*kind, direction).get();
            StreamKind::ALL.iter().map(of).sum()
        };
        Counts {
            answered: requests(Outcome::Answered),
            refused: requests(Outcome::Refused),
            cancelled: requests(Outcome::Cancelled),
            request_bytes: bytes(Direction::Request),
            answer_bytes: bytes(Direction::Answer),
            took: self.stages.of(Stage::Answer).spread(),
        }
    }

    pub(crate) fn connection_refused(&self, reason: NoConnection) {
        self.connections_refused.of(reason).inc();
    }

    pub(crate) fn handshake_failed(&self, reason: NoHandshake) {
        self.handshakes_failed.of(reason).inc();
    }

    pub(crate) fn head_refused(&self, reason: NoHead) {
        self.heads_refused.of(reason).inc();
    }

    /// So many exchanges were ended.
    pub(crate) fn exchanges_cut(&self, why: Cut, count: usize) {
        self.exchanges_cut.of(why).inc_by(count as u64);
    }

    pub(crate) fn gitlab_event(&self, event: Event) {
        self.gitlab_events.of(event).inc();
    }

    /// A call of GitLab's at this relay.
    pub(crate) fn gitlab_api_call(&self, call: ApiCall, outcome: ApiOutcome) {
        self.gitlab_api_calls.of(call, outcome).inc();
    }

    /// A connection of GitLab's, counted until the guard is dropped.
    pub(crate) fn gitlab_api_connection(&self) -> Held {
        Held::one(&self.gitlab_api_connections)
    }

    pub(crate) fn tunnel_refused(&self, reason: NoTunnel) {
        self.tunnels_refused.of(reason).inc();
    }

    pub(crate) fn tunnel_ended(&self, end: TunnelEnd) {
        self.tunnel_ends.of(end).inc();
    }

    /// A connection, counted until the guard is dropped.
    pub(crate) fn connection(&self, spoken: Spoken) -> Held {
        Held::one(self.connections.of(spoken))
    }

    /// A tunnel, counted until the guard is dropped.
    pub(crate) fn tunnel(&self) -> Held {
        self.tunnels_opened.inc();
        Held::one(&self.tunnels)
    }

    /// So many pushes of which an agent was told, or not.
    pub(crate) fn telling(&self, what: Telling, count: u64) {
        self.tellings.of(what).inc_by(count);
    }
}

/// A request without an answer so far.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    requests: &'a EachPair<Outcome, Class, Counter>,
    class: Class,
    outcome: Outcome,
}

impl Running<'_> {
    pub(crate) fn asks(&mut self, class: Class) {
        self.class = class;
    }

    pub(crate) fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.requests.of(self.outcome, self.class).inc();
    }
}

/// A stream that runs. Small, since it lives as long as a watch.
#[derive(Debug)]
pub(crate) struct Streaming {
    metrics: Arc<Metrics>,
    kind: StreamKind,
}

impl Streaming {
    /// Whether it is of a kind that lasts.
    pub(crate) fn lasts(&self) -> bool {
        self.kind != StreamKind::Short
    }

    /// Where its bytes are counted.
    pub(crate) fn bytes(&self, direction: Direction) -> &Counter {
        self.metrics.bytes.of(self.kind, direction)
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.metrics.streams_open.of(self.kind).dec();
    }
}
