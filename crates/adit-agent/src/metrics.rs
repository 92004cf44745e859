//! What the agent counts, listed in `docs/metrics.md`. Made once by [`crate::agent`] and shared; every stage counts where it decides.
//! Invariant: labels come from enums. No job, user, path or host is ever one.

mod tunnels;

use std::time::Duration;

use adit_process::label;
use adit_process::metrics::{Durations, Each, EachPair, Reload};
use adit_process::reread::Looks;
use adit_process::tls::Validity;
use adit_tunnel::{Cause, ResetReason};
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::tunnels::Tunnels;
use crate::kube::Window;

/// All metrics of one agent. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) tunnels: Gauge,
    connects: EachPair<Attempt, Transport, Counter>,
    ends: Each<End, Counter>,
    pub(crate) streams: Gauge,
    pub(crate) failures: Each<Failure, Counter>,
    answers: Each<Class, Counter>,
    first_byte: Durations,
    api_server: Durations,
    pub(crate) connections: Gauge,
    pub(crate) upgrades: Gauge,
    read_ahead: Each<Window, Gauge>,
    pub(crate) in_hand: Gauge,
    lost: Each<Loss, Counter>,
    pub(crate) credential_failures: Counter,
    pub(crate) leads: Gauge,
    pub(crate) pushes_told: Gauge,
    pub(crate) repositories: Gauge,
    reconciliations: Each<Reconciliation, Counter>,
    /// How it goes with the configuration's file.
    pub(crate) config_looks: Looks,
    pub(crate) config_keys_pending: Gauge,
    pub(crate) secret_reloads: Each<Reload, Counter>,
    pub(crate) server_ca_reloads: Each<Reload, Counter>,
}

label! {
    /// How an attempt to connect to the relay went.
    pub(crate) enum Attempt: "outcome" {
        Connected = "connected",
        Resolve = "resolve",
        Connect = "connect",
        TimedOut = "timed_out",
        Proxy = "proxy",
        Tls = "tls",
        NoHttp2 = "no_http2",
        NoWebSocket = "no_websocket",
        Token = "token",
        Unauthenticated = "unauthenticated",
        /// The relay wants another client certificate.
        Certificate = "certificate",
        Refused = "refused",
        Session = "session",
    }
}

label! {
    /// What carries a tunnel to the relay.
    pub(crate) enum Transport: "transport" {
        /// As it is.
        Http2 = "http2",
        /// HTTP/2 in a WebSocket.
        WebSocket = "websocket",
    }
}

label! {
    /// Why a tunnel ended.
    pub(crate) enum End: "cause" {
        /// The relay asked for it, and a new tunnel was opened beside it.
        Drained = "drained",
        /// The agent is stopping.
        Stopping = "stopping",
        /// The relay ended it, in good order.
        Closed = "closed",
        /// One side heard nothing of the other.
        Silent = "silent",
        /// One side broke the protocol, or flooded the other.
        Misbehaved = "misbehaved",
        /// The connection broke.
        Lost = "lost",
        /// The relay no longer accepts the agent's token, or its certificate.
        Revoked = "revoked",
        /// An operator of the relay cut it.
        CutByOperator = "cut_by_operator",
    }
}

label! {
    /// Why a request got no answer from the API server, or not to its end.
    pub(crate) enum Failure: "kind" {
        /// The caller or the relay ended it.
        Left = "left",
        Smuggled = "smuggled",
        BeyondCeiling = "beyond_ceiling",
        BadHead = "bad_head",
        Unreachable = "unreachable",
        TimedOut = "timed_out",
        Broken = "broken",
        Overloaded = "overloaded",
    }
}

label! {
    /// Why a connection to the API server ended.
    pub(crate) enum Loss: "cause" {
        /// In good order.
        Closed = "closed",
        /// It did not answer a ping in time.
        Silent = "silent",
        /// Not used for a while.
        Idle = "idle",
        Broken = "broken",
    }
}

label! {
    /// What became of a push for one of Flux's repositories, or of its Receiver.
    pub(crate) enum Reconciliation: "outcome" {
        /// Its Receiver took the call.
        Called = "called",
        /// notification-controller has not made it ready.
        NotReady = "not_ready",
        /// It did not take the call.
        Refused = "refused",
        /// It cannot be reached.
        Unreachable = "unreachable",
        /// The API server does not let the agent have a Secret or a Receiver.
        NotKept = "not_kept",
    }
}

label! {
    /// What the API server said, by its status.
    enum Class: "class" {
        Informational = "1xx",
        Success = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
    }
}

impl Metrics {
    /// Makes and registers all.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("adit_agent");
        metrics.register_tunnels(registry);
        metrics.register_requests(registry);
        metrics.register_connections(registry);
        metrics.register_flux(registry);
        metrics.register_config(registry);
        metrics
    }

    fn register_tunnels(&self, registry: &mut Registry) {
        registry.register(
            "tunnels",
            "Tunnels of this replica that are up: 1, or 2 while a relay drains; when all replicas are at 0 nobody reaches their cluster",
            self.tunnels.clone(),
        );
        registry.register(
            "connects",
            "Attempts to connect to the relay, one after the other if HTTP/2 does not get through: connected, or why not, as docs/agent.md tells",
            self.connects.clone(),
        );
        registry.register(
            "tunnel_ends",
            "Tunnels that ended; the agent connects again unless it is stopping. drained: the relay asked for it; closed: it ended it without asking; silent: nothing was heard in time, see relay.dead_after; misbehaved: broke the protocol, or sent a flood; lost: with its connection; revoked: the relay no longer accepts the token, or the certificate; cut_by_operator: an operator of the relay cut it",
            self.ends.clone(),
        );
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "streams_open",
            "Requests that are being served",
            self.streams.clone(),
        );
        registry.register(
            "failures",
            "Requests that got no answer from the API server, or not to its end. left: the caller ended it, as callers end a watch, or the relay; smuggled: it came with headers of impersonation; beyond_ceiling: the agent's own configuration forbids it; bad_head: it cannot be read; the others tell how the API server failed, but for overloaded, which is a limit of the agent's",
            self.failures.clone(),
        );
        registry.register(
            "api_server_answers",
            "Answers of the API server by class of status; 1xx are upgrades",
            self.answers.clone(),
        );
        registry.register_with_unit(
            "first_byte",
            "From the request's arrival to the head of the API server's answer",
            Unit::Seconds,
            self.first_byte.clone(),
        );
        registry.register_with_unit(
            "api_server",
            "From the call of the API server to the head of its answer, as in the audit log: without the wait for a connection, unless it is an upgrade, which makes its own",
            Unit::Seconds,
            self.api_server.clone(),
        );
        registry.register_with_unit(
            "in_hand",
            "Bytes of requests that the API server has not taken",
            Unit::Bytes,
            self.in_hand.clone(),
        );
    }

    fn register_connections(&self, registry: &mut Registry) {
        registry.register(
            "connections_open",
            "Connections to the API server",
            self.connections.clone(),
        );
        registry.register(
            "upgrades_open",
            "Upgraded connections to the API server",
            self.upgrades.clone(),
        );
        registry.register_with_unit(
            "read_ahead",
            "Bytes that the API server may send before they are read, by the window's width; least above 0 for long: raise kubernetes.max_read_ahead_bytes",
            Unit::Bytes,
            self.read_ahead.clone(),
        );
        registry.register(
            "connection_ends",
            "Connections to the API server that ended. idle: not used for a while; silent: no answer to a ping",
            self.lost.clone(),
        );
        registry.register(
            "credential_failures",
            "Times the agent's own Kubernetes credentials could not be renewed",
            self.credential_failures.clone(),
        );
    }

    /// Those of the client certificate that the API server is shown, where there is one.
    pub(crate) fn register_certificate(validity: Validity, registry: &mut Registry) {
        registry.register_with_unit(
            "adit_agent_kubernetes_certificate_expiry_timestamp",
            "When the client certificate ends that the API server is shown, from a kubeconfig or the files that it names, in seconds since 1970",
            Unit::Seconds,
            validity.expiry,
        );
        registry.register_with_unit(
            "adit_agent_kubernetes_certificate_lifetime",
            "How long it holds in all, from its begin to its end",
            Unit::Seconds,
            validity.life,
        );
    }

    fn register_flux(&self, registry: &mut Registry) {
        registry.register(
            "flux_leads",
            "1 at the replica that sees to Flux; 0 everywhere with `flux` in the configuration: nobody holds the Lease",
            self.leads.clone(),
        );
        registry.register(
            "flux_pushes_told",
            "1 while the relay tells this replica of pushes; 0 for long at the one that leads: pushes wait for Flux's own intervals",
            self.pushes_told.clone(),
        );
        registry.register(
            "flux_repositories",
            "Repositories of Flux's whose project is at this GitLab",
            self.repositories.clone(),
        );
        registry.register(
            "flux_reconciliations",
            "Calls of Receivers, and attempts to keep one that failed. called: Flux was told of a push; not_ready: notification-controller has not seen to the Receiver yet; refused: it did not answer 200; unreachable: it did not answer; not_kept: the API server refuses the Secret or the Receiver",
            self.reconciliations.clone(),
        );
    }

    fn register_config(&self, registry: &mut Registry) {
        registry.register(
            "config_reloads",
            "Looks at the configuration's file that found another one, or one that cannot be used",
            self.config_looks.reloads(),
        );
        registry.register(
            "config_keys_pending",
            "Keys of the configuration's file that say something else than what the agent runs by, and count from its next start on",
            self.config_keys_pending.clone(),
        );
        registry.register(
            "secret_reloads",
            "Looks at traces.token_file that found another token, or none that can be used",
            self.secret_reloads.clone(),
        );
        registry.register(
            "server_ca_reloads",
            "Looks at relay.ca_file, traces.ca_file and the API server's CA that found other CAs, or a file that cannot be used",
            self.server_ca_reloads.clone(),
        );
    }

    pub(crate) fn reconciliation(&self, outcome: Reconciliation) {
        self.reconciliations.of(outcome).inc();
    }

    /// What answers with this window may be ahead of their readers.
    pub(crate) fn read_ahead(&self, window: Window) -> &Gauge {
        self.read_ahead.of(window)
    }

    pub(crate) fn connect(&self, outcome: Attempt, transport: Transport) {
        self.connects.of(outcome, transport).inc();
    }

    pub(crate) fn tunnel_end(&self, cause: End) {
        self.ends.of(cause).inc();
    }

    pub(crate) fn failure(&self, kind: Failure) {
        self.failures.of(kind).inc();
    }

    pub(crate) fn connection_end(&self, cause: Loss) {
        self.lost.of(cause).inc();
    }

    /// An answer came, so long after its request, and so long after the API server was called.
    pub(crate) fn answer(&self, status: StatusCode, after: Duration, called: Duration) {
        self.answers.of(Class::of(status)).inc();
        self.first_byte.observe(after);
        self.api_server.observe(called);
    }
}

impl Class {
    /// A status that is in none of the classes of HTTP is the server's fault.
    fn of(status: StatusCode) -> Self {
        match status.as_u16() / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

impl From<Cause> for End {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Closed => Self::Closed,
            Cause::Silent => Self::Silent,
            Cause::Misbehaved => Self::Misbehaved,
            Cause::Lost => Self::Lost,
            Cause::Revoked => Self::Revoked,
            Cause::CutByOperator => Self::CutByOperator,
        }
    }
}

impl From<ResetReason> for Failure {
    fn from(reason: ResetReason) -> Self {
        match reason {
            ResetReason::ApiServerUnreachable => Self::Unreachable,
            ResetReason::ApiServerLost => Self::Broken,
            ResetReason::TimedOut => Self::TimedOut,
            ResetReason::Overloaded => Self::Overloaded,
            ResetReason::BeyondCeiling => Self::BeyondCeiling,
            ResetReason::Protocol | ResetReason::Internal | ResetReason::Unspecified => {
                Self::BadHead
            }
            ResetReason::Cancelled
            | ResetReason::Refused
            | ResetReason::PermitEnded
            | ResetReason::CutByOperator
            | ResetReason::Withdrawn => Self::Left,
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_process::metrics::Label as _;
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn every_metric_has_its_name_once() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.connect(Attempt::NoHttp2, Transport::Http2);
        metrics.tunnel_end(End::Drained);
        metrics.failure(Failure::BeyondCeiling);
        metrics.connection_end(Loss::Silent);
        let [after, called] = [3, 2].map(Duration::from_millis);
        metrics.answer(StatusCode::NOT_FOUND, after, called);
        metrics.streams.inc();
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "adit_agent_connects_total{outcome=\"no_http2\",transport=\"http2\"} 1",
            "adit_agent_tunnel_ends_total{cause=\"drained\"} 1",
            "adit_agent_failures_total{kind=\"beyond_ceiling\"} 1",
            "adit_agent_connection_ends_total{cause=\"silent\"} 1",
            "adit_agent_api_server_answers_total{class=\"4xx\"} 1",
            "adit_agent_first_byte_seconds_count 1",
            "adit_agent_api_server_seconds_sum 0.002",
            "adit_agent_streams_open 1",
            "adit_agent_read_ahead_bytes{window=\"wide\"} 0",
            "adit_agent_in_hand_bytes 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }

    #[test]
    fn end_of_a_tunnel_is_counted_under_its_causes_name() {
        for (cause, label) in [
            (Cause::Closed, "closed"),
            (Cause::Silent, "silent"),
            (Cause::Misbehaved, "misbehaved"),
            (Cause::Lost, "lost"),
            (Cause::Revoked, "revoked"),
            (Cause::CutByOperator, "cut_by_operator"),
        ] {
            assert_eq!(End::from(cause).as_str(), label);
        }
    }

    #[test]
    fn request_without_an_answer_is_counted_by_whose_fault_it_is() {
        for (reason, label) in [
            (ResetReason::ApiServerUnreachable, "unreachable"),
            (ResetReason::ApiServerLost, "broken"),
            (ResetReason::TimedOut, "timed_out"),
            (ResetReason::Overloaded, "overloaded"),
            (ResetReason::BeyondCeiling, "beyond_ceiling"),
            (ResetReason::Protocol, "bad_head"),
            (ResetReason::Internal, "bad_head"),
            (ResetReason::Unspecified, "bad_head"),
            (ResetReason::Cancelled, "left"),
            (ResetReason::Refused, "left"),
            (ResetReason::PermitEnded, "left"),
            (ResetReason::CutByOperator, "left"),
            (ResetReason::Withdrawn, "left"),
        ] {
            assert_eq!(Failure::from(reason).as_str(), label, "{reason:?}");
        }
    }
}
