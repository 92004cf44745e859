//! The words that metrics are counted by. They come from what happened here, never from a request's own words.

use adit_authority::Ended;
use adit_identity::operation::{Kind, Object, Operation, Verb};
use adit_process::label;
use adit_tunnel::Cause;

label! {
    /// How a request ended, up to its answer's head.
    pub(crate) enum Outcome: "outcome" {
        /// The API server answered, whatever it said.
        Answered = "answered",
        /// The relay answered itself.
        Refused = "refused",
        /// The caller left first.
        Cancelled = "cancelled",
    }
}

label! {
    /// What a request asks for, by what it may do and how long it may take.
    pub(crate) enum Class: "class" {
        /// Get and list.
        Read = "read",
        /// Watch, and a log that is followed.
        Watch = "watch",
        /// Create, update, patch, delete.
        Change = "change",
        /// Exec, attach, port-forward, and proxies to pods and services.
        Run = "run",
        /// What goes to no API server: the relay's own routes, and paths that are none.
        Relay = "relay",
    }
}

label! {
    /// What kind of exchange runs on a stream.
    pub(crate) enum StreamKind: "kind" {
        Short = "short",
        Watch = "watch",
        Log = "log",
        Exec = "exec",
        PortForward = "port_forward",
    }
}

label! {
    /// Which way bytes go.
    pub(crate) enum Direction: "direction" {
        /// From the caller.
        Request = "request",
        /// To the caller.
        Answer = "answer",
    }
}

label! {
    /// Where time is spent.
    pub(crate) enum Stage: "stage" {
        /// Checking a token that this connection has not shown before.
        Authenticate = "authenticate",
        /// Waiting for room in the audit log.
        Audit = "audit",
        /// Waiting behind other requests of the same job.
        Turn = "turn",
        /// Waiting for an agent that is reconnecting.
        Route = "route",
        /// From when a request is put into a tunnel to its answer's head.
        Forward = "forward",
        /// From the request's head to the answer's, all stages and the API server together.
        Answer = "answer",
        /// One call to GitLab.
        GitLab = "gitlab",
    }
}

label! {
    /// How far a connection is, and what it speaks then.
    pub(crate) enum Spoken: "protocol" {
        /// Not known yet.
        Handshake = "handshake",
        Http1 = "http1",
        Http2 = "http2",
        /// HTTP/2 inside, an agent's.
        WebSocket = "websocket",
    }
}

label! {
    /// Why a connection is hung up on.
    pub(crate) enum NoConnection: "reason" {
        /// The relay has as many as it may.
        Relay = "relay",
        /// The address has.
        Address = "address",
        /// Too many requests were taken back on it.
        Hasty = "hasty",
        /// GitLab has as many as it may.
        GitLabApi = "gitlab_api",
        /// It is plain, and not of the balancer at which TLS ends.
        PastBalancer = "past_balancer",
    }
}

label! {
    /// Why a handshake came to nothing.
    pub(crate) enum NoHandshake: "reason" {
        Tls = "tls",
        TimedOut = "timed_out",
        Http2TimedOut = "http2_timed_out",
        ProxyHeader = "proxy_header",
    }
}

label! {
    /// Why an HTTP/1 head became no request.
    pub(crate) enum NoHead: "reason" {
        Malformed = "malformed",
        TooLarge = "too_large",
        Slow = "slow",
    }
}

label! {
    /// Why a tunnel was not opened.
    pub(crate) enum NoTunnel: "reason" {
        Unauthenticated = "unauthenticated",
        /// GitLab's agent has the id of one of the relay's own.
        OtherAgent = "other_agent",
        /// The agent shows none, where it must.
        NoCertificate = "no_certificate",
        UnknownCa = "unknown_ca",
        CertificateExpired = "certificate_expired",
        /// One that does not hold yet, is a server's, or cannot be used.
        BadCertificate = "bad_certificate",
        GitLabUnavailable = "gitlab_unavailable",
        GitLabBadAnswer = "gitlab_bad_answer",
        GitLabBusy = "gitlab_busy",
        TooManyBadTokens = "too_many_bad_tokens",
        TooMany = "too_many",
        Draining = "draining",
        Handshake = "handshake",
    }
}

label! {
    /// Why a tunnel ended.
    pub(crate) enum TunnelEnd: "cause" {
        Closed = "closed",
        Silent = "silent",
        Misbehaved = "misbehaved",
        Lost = "lost",
        Revoked = "revoked",
        CutByOperator = "cut_by_operator",
    }
}

label! {
    /// Why exchanges were ended that would have gone on.
    pub(crate) enum Cut: "reason" {
        Over = "over",
        Changed = "changed",
        Unproved = "unproved",
        /// By a change of the configuration.
        Withdrawn = "withdrawn",
        Operator = "operator",
    }
}

label! {
    /// What GitLab's webhook told of.
    pub(crate) enum Event: "kind" {
        JobOver = "job_over",
        Other = "other",
    }
}

label! {
    /// What GitLab calls at this relay.
    pub(crate) enum ApiCall: "call" {
        ServerInfo = "server_info",
        Agents = "agents",
        ConfigFiles = "config_files",
        Push = "push",
        Other = "other",
    }
}

label! {
    /// How such a call ended.
    pub(crate) enum ApiOutcome: "outcome" {
        Answered = "answered",
        Unauthenticated = "unauthenticated",
        InvalidArgument = "invalid_argument",
        Unimplemented = "unimplemented",
        Failed = "failed",
    }
}

label! {
    /// What became of a push to a project that an agent follows.
    pub(crate) enum Telling: "outcome" {
        Told = "told",
        /// GitLab does not let the agent read the project.
        Refused = "refused",
        /// GitLab did not say whether it does.
        Unproved = "unproved",
        /// Too many waited.
        Dropped = "dropped",
    }
}

impl Class {
    pub(crate) fn of(operation: &Operation<'_>) -> Self {
        let is_proxy = matches!(&operation.object, Object::Resource(resource) if resource.subresource == "proxy");
        match operation.kind {
            Kind::Watch | Kind::Log => Self::Watch,
            Kind::Exec | Kind::PortForward => Self::Run,
            Kind::Short if is_proxy || operation.verb == Verb::Proxy => Self::Run,
            Kind::Short if operation.is_read() => Self::Read,
            Kind::Short => Self::Change,
        }
    }
}

impl From<Kind> for StreamKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Short => Self::Short,
            Kind::Watch => Self::Watch,
            Kind::Log => Self::Log,
            Kind::Exec => Self::Exec,
            Kind::PortForward => Self::PortForward,
        }
    }
}

impl From<Cause> for TunnelEnd {
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

impl From<Ended> for Cut {
    fn from(why: Ended) -> Self {
        match why {
            Ended::Over => Self::Over,
            Ended::Changed => Self::Changed,
            Ended::Unproved => Self::Unproved,
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_identity::operation::Target;
    use adit_process::metrics::Label as _;

    use super::*;

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
            assert_eq!(TunnelEnd::from(cause).as_str(), label);
        }
    }

    #[test]
    fn exchange_that_is_cut_is_counted_under_its_reasons_name() {
        for why in Ended::ALL {
            let label = match why {
                Ended::Over => "over",
                Ended::Changed => "changed",
                Ended::Unproved => "unproved",
            };
            assert_eq!(Cut::from(*why).as_str(), label);
        }
    }

    #[test]
    fn requests_are_classed_by_what_they_may_do() {
        let cases = [
            ("GET", "/api/v1/pods", Class::Read),
            ("GET", "/version", Class::Read),
            ("GET", "/api/v1/pods?watch=1", Class::Watch),
            (
                "GET",
                "/api/v1/namespaces/a/pods/p/log?follow=1",
                Class::Watch,
            ),
            ("POST", "/api/v1/namespaces/a/pods", Class::Change),
            ("DELETE", "/api/v1/pods", Class::Change),
            ("POST", "/unknown", Class::Change),
            ("GET", "/api/v1/namespaces/a/pods/p/exec", Class::Run),
            (
                "POST",
                "/api/v1/namespaces/a/pods/p/portforward",
                Class::Run,
            ),
            ("GET", "/api/v1/namespaces/a/services/s/proxy/x", Class::Run),
        ];
        for (method, target, class) in cases {
            let operation = Target::new(target);
            assert_eq!(
                Class::of(&operation.operation(method)),
                class,
                "{method} {target}"
            );
        }
    }
}
