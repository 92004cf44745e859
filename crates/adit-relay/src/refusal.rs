//! Decides what the relay answers when the API server does not get to: each [`Refusal`] has a status, a stable reason,
//! the hop that failed and a message that says what to do.
//!
//! Every stage returns one; `respond.rs` alone turns it into bytes. Invariant: a reason, once published, keeps its name
//! and its meaning; it is the metric label, and `docs/errors.md` has a line for it (a test compares the two).

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use adit_authority::{Caller, CredentialError, Ended, GitLabError, NotAllowed, TokenError, Who};
use adit_exchange::BadRequest;
use adit_identity::AgentId;
use http::StatusCode;

/// Where an exchange failed, seen from the caller outwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// The request itself, or the credential it came with.
    Client,
    /// This relay, or what it depends on.
    Relay,
    /// The agent, or the way to it.
    Agent,
    /// The Kubernetes API server, or the way from the agent to it.
    ApiServer,
}

impl Hop {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Relay => "relay",
            Self::Agent => "agent",
            Self::ApiServer => "api-server",
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is fixed about a kind of refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The answer's status.
    pub(crate) status: StatusCode,
    /// Stable name: metric label, and a cause in the answer's details.
    pub(crate) reason: &'static str,
    /// Where it failed.
    pub(crate) hop: Hop,
    /// Seconds after which the same request may succeed. kubectl sleeps that long and tries again, ten times, before it
    /// shows the message: so only where waiting helps.
    pub(crate) retry_after: Option<u32>,
}

/// An answer the relay gives itself. The message is for the person who runs the job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No route of ours.
    #[error(
        "nothing is served at this path: the Kubernetes API is under /k8s-proxy/, check the server address in the kubeconfig"
    )]
    UnknownPath,
    /// The path could mean two things to two programs.
    #[error("the path is refused: {0}")]
    BadPath(&'static str),
    /// CONNECT, or a method nobody knows on a route of ours.
    #[error("the method is refused: {0}")]
    BadMethod(&'static str),
    /// What `adit-exchange` does not let into the tunnel, such as `Impersonate-*`.
    #[error("the request is refused: {0}")]
    BadRequest(BadRequest),
    /// The head does not fit into the tunnel.
    #[error(
        "the request's head is larger than the agent takes: send fewer or shorter header fields"
    )]
    HeadTooLarge,
    /// A bare token at the path that names no agent.
    #[error(
        "no agent is named: use the credential ci:<agent id>:<token>, which `adit kubeconfig` writes, or the path /k8s-proxy/agents/<agent id>/"
    )]
    NoAgentNamed,
    /// Path and credential name different agents.
    #[error("the path names agent {path} and the credential agent {credential}: name one")]
    AgentsDiffer {
        /// The one in the path.
        path: AgentId,
        /// The one in the credential.
        credential: AgentId,
    },

    /// The header is missing, or cannot be read as one credential.
    #[error(
        "{0}; a kubeconfig from `adit kubeconfig` sends `Authorization: Bearer ci:<agent id>:<ID token>`"
    )]
    BadCredential(CredentialError),
    /// A page of another origin asks.
    #[error(
        "pages of this origin may not ask: `authorities.gitlab.browsers.allowed_origins` of the relay lists those that may"
    )]
    ForeignOrigin,
    /// A browser shows GitLab's cookie, and not what must come with it.
    #[error("the browser's session is refused: {0}")]
    BadSession(&'static str),
    /// No authority vouches for the token.
    #[error("{0}")]
    TokenRefused(TokenError),
    /// GitLab does not vouch for the token, or cannot be asked.
    #[error("{0}")]
    GitLab(GitLabError),
    /// GitLab took its word on the caller back before an answer began.
    #[error("{}", ended(*.0))]
    AccessEnded(Ended),
    /// The webhook's secret is missing or wrong.
    #[error(
        "the secret token of GitLab's webhook is not one that `authorities.gitlab.webhook_secret_file` of the relay holds"
    )]
    EventSecret,
    /// What the webhook brought cannot be read.
    #[error("the event is refused: {0}")]
    BadEvent(&'static str),
    /// The permit ended before an answer began.
    #[error("the token expired while the request ran: run it again with a new one")]
    PermitEnded,
    /// The body broke off on its way from the caller, who is most likely gone.
    #[error("the request's body broke off: {0}")]
    BodyLost(String),
    /// No grant, or no such agent: the caller does not learn which.
    #[error("{0}")]
    NotPermitted(NotAllowed),

    /// One token, too many exchanges at once.
    #[error(
        "this job or user has {limit} requests running through this relay, which is as many as may be"
    )]
    JobStreams {
        /// The limit.
        limit: u32,
    },
    /// One token, too many exchanges in a second.
    #[error("this job or user sends more than {limit} requests a second")]
    JobRate {
        /// The limit.
        limit: u32,
    },
    /// Every tunnel of the agent has as many exchanges as it may.
    #[error("agent {name} is at its limit of requests at once")]
    TunnelFull {
        /// Path and name, as in a context.
        name: String,
    },
    /// What is asked may not happen unrecorded, and there is no room for the record.
    #[error(
        "the relay cannot write its audit log, and carries out nothing meanwhile that changes something: its operator finds the reason in the relay's log"
    )]
    AuditFull,
    /// The relay is stopping.
    #[error("this relay is stopping: the next attempt reaches another one")]
    Draining,

    /// No tunnel, but there was one.
    #[error("agent {name} has been offline since {}: look at the agent's log in its cluster", Moment(*since))]
    AgentOffline {
        /// Path and name, as in a context.
        name: String,
        /// When its last tunnel ended.
        since: SystemTime,
        /// It may be back in a moment: it left just now.
        reconnecting: bool,
    },
    /// No tunnel since this relay started.
    #[error("agent {name} has not connected to this relay since it started at {}: is it installed, with this relay's address and a current token?", Moment(*started))]
    AgentNeverConnected {
        /// Path and name, as in a context.
        name: String,
        /// When this relay started.
        started: SystemTime,
    },
    /// The tunnel ended while the exchange ran.
    #[error(
        "the connection to agent {name} ended before it answered: {why}; whether the request was carried out is not known"
    )]
    AgentLost {
        /// Path and name, as in a context.
        name: String,
        /// What ended the session.
        why: String,
    },
    /// An operator ended the tunnel while the exchange ran.
    #[error(
        "an operator of this relay cut the tunnel to agent {name} before it answered; whether the request was carried out is not known"
    )]
    CutByOperator {
        /// Path and name, as in a context.
        name: String,
    },
    /// The agent would not take the request.
    #[error("agent {name} did not take the request: {why}")]
    AgentRefused {
        /// Path and name, as in a context.
        name: String,
        /// What the agent said.
        why: String,
    },
    /// The agent's owner does not let it act as whom the permit names.
    #[error("agent {name} refuses the identity: {why}")]
    BeyondCeiling {
        /// Path and name, as in a context.
        name: String,
        /// What the agent said.
        why: String,
    },
    /// The agent gave up on the exchange for a reason of its own, or answered nonsense.
    #[error("agent {name} failed: {why}")]
    AgentFailed {
        /// Path and name, as in a context.
        name: String,
        /// What the agent said.
        why: String,
    },
    /// A bound on memory.
    #[error("the way to agent {name} is overloaded: {why}")]
    Overloaded {
        /// Path and name, as in a context.
        name: String,
        /// Which bound.
        why: String,
    },
    /// A bound on what the agent may take for a flood, which would cost the tunnel and everybody on it.
    #[error(
        "too many requests to agent {name} were cancelled before their answer: this one may come in a second"
    )]
    TooManyCancels {
        /// Path and name, as in a context.
        name: String,
    },
    /// The agent could not reach its API server.
    #[error("agent {name} cannot reach its Kubernetes API server: {why}")]
    ApiServerUnreachable {
        /// Path and name, as in a context.
        name: String,
        /// What the agent said.
        why: String,
    },
    /// The API server went away before it answered.
    #[error(
        "the Kubernetes API server behind agent {name} went away before it answered: {why}; whether the request was carried out is not known"
    )]
    ApiServerLost {
        /// Path and name, as in a context.
        name: String,
        /// What the agent said.
        why: String,
    },
    /// A deadline passed at the agent.
    #[error("the Kubernetes API server behind agent {name} did not answer in time: {why}")]
    TimedOut {
        /// Path and name, as in a context.
        name: String,
        /// Which deadline.
        why: String,
    },
}

impl Refusal {
    /// What a caller is told whose access ended before an answer began.
    pub(crate) fn access_ended(caller: &Caller, why: Ended) -> Self {
        match (caller.who(), why) {
            (Who::User(_), Ended::Over) => Self::GitLab(GitLabError::UserNotAccepted),
            (Who::Job(_) | Who::User(_), _) => Self::AccessEnded(why),
        }
    }

    /// The row of the table in `docs/errors.md`.
    pub(crate) fn facts(&self) -> Facts {
        use Hop::{Agent, ApiServer, Client, Relay};
        match self {
            Self::UnknownPath => row(404, "unknown_path", Client, None),
            Self::BadPath(_) => row(400, "bad_path", Client, None),
            Self::BadMethod(_) => row(405, "bad_method", Client, None),
            Self::BadRequest(_) => row(400, "bad_request", Client, None),
            Self::HeadTooLarge => row(431, "head_too_large", Client, None),
            Self::NoAgentNamed => row(400, "no_agent_named", Client, None),
            Self::AgentsDiffer { .. } => row(400, "agents_differ", Client, None),
            Self::BadCredential(why) => row(401, why.reason(), Client, None),
            Self::ForeignOrigin => row(403, "foreign_origin", Client, None),
            Self::BadSession(_) => row(401, "bad_session", Client, None),
            Self::TokenRefused(why) => match why.retry_after() {
                Some(seconds) => row(503, why.reason(), Relay, Some(seconds)),
                None => row(401, why.reason(), Client, None),
            },
            Self::GitLab(why) => of_gitlab(*why),
            Self::AccessEnded(Ended::Over) => of_gitlab(GitLabError::Ended),
            Self::AccessEnded(Ended::Unproved) => row(503, "gitlab_unavailable", Relay, Some(2)),
            Self::AccessEnded(Ended::Changed) => row(503, "access_changed", Relay, Some(1)),
            Self::EventSecret => row(401, "event_secret", Client, None),
            Self::BadEvent(_) => row(400, "bad_event", Client, None),
            Self::PermitEnded => row(401, "permit_ended", Client, None),
            Self::BodyLost(_) => row(400, "body_lost", Client, None),
            Self::NotPermitted(_) => row(403, "not_permitted", Client, None),
            Self::JobStreams { .. } => row(429, "job_streams", Client, Some(1)),
            Self::JobRate { .. } => row(429, "job_rate", Client, Some(1)),
            Self::TunnelFull { .. } => row(503, "tunnel_full", Agent, Some(1)),
            Self::AuditFull => row(503, "audit_full", Relay, Some(1)),
            Self::Draining => row(503, "draining", Relay, Some(1)),
            Self::AgentOffline { reconnecting, .. } => {
                row(503, "agent_offline", Agent, reconnecting.then_some(1))
            }
            Self::AgentNeverConnected { .. } => row(503, "agent_never_connected", Agent, None),
            Self::AgentLost { .. } => row(502, "agent_lost", Agent, None),
            Self::CutByOperator { .. } => row(502, "cut_by_operator", Relay, None),
            Self::AgentRefused { .. } => row(503, "agent_refused", Agent, Some(1)),
            Self::BeyondCeiling { .. } => row(403, "beyond_ceiling", Agent, None),
            Self::AgentFailed { .. } => row(502, "agent_failed", Agent, None),
            Self::Overloaded { .. } => row(503, "overloaded", Agent, Some(1)),
            Self::TooManyCancels { .. } => row(429, "too_many_cancels", Agent, Some(1)),
            Self::ApiServerUnreachable { .. } => {
                row(502, "api_server_unreachable", ApiServer, None)
            }
            Self::ApiServerLost { .. } => row(502, "api_server_lost", ApiServer, None),
            Self::TimedOut { .. } => row(504, "timed_out", ApiServer, None),
        }
    }

    /// Whether anybody can cause it, without a token that an authority vouches for. Such refusals must not fill a log.
    pub(crate) fn is_to_a_stranger(&self) -> bool {
        match self {
            Self::UnknownPath
            | Self::BadPath(_)
            | Self::BadMethod(_)
            | Self::BadCredential(_)
            | Self::ForeignOrigin
            | Self::BadSession(_)
            | Self::TokenRefused(_)
            | Self::GitLab(_)
            | Self::EventSecret => true,
            Self::BadRequest(_)
            | Self::HeadTooLarge
            | Self::NoAgentNamed
            | Self::AgentsDiffer { .. }
            | Self::AccessEnded(_)
            | Self::BadEvent(_)
            | Self::PermitEnded
            | Self::BodyLost(_)
            | Self::NotPermitted(_)
            | Self::JobStreams { .. }
            | Self::JobRate { .. }
            | Self::TunnelFull { .. }
            | Self::AuditFull
            | Self::Draining
            | Self::AgentOffline { .. }
            | Self::AgentNeverConnected { .. }
            | Self::AgentLost { .. }
            | Self::CutByOperator { .. }
            | Self::AgentRefused { .. }
            | Self::BeyondCeiling { .. }
            | Self::AgentFailed { .. }
            | Self::Overloaded { .. }
            | Self::TooManyCancels { .. }
            | Self::ApiServerUnreachable { .. }
            | Self::ApiServerLost { .. }
            | Self::TimedOut { .. } => false,
        }
    }

    /// A finer reason for the log, where the caller is not told it.
    pub(crate) fn detail(&self) -> &'static str {
        if let Self::NotPermitted(why) = self {
            return why.reason();
        }
        self.facts().reason
    }
}

fn of_gitlab(why: GitLabError) -> Facts {
    use Hop::{Client, Relay};
    let reason = why.reason();
    match why {
        GitLabError::NotAccepted
        | GitLabError::OtherKind
        | GitLabError::UserNotAccepted
        | GitLabError::Ended
        | GitLabError::AgentToken => row(401, reason, Client, None),
        GitLabError::Forbidden => row(403, reason, Client, None),
        GitLabError::BadAnswer(_) => row(502, reason, Relay, None),
        GitLabError::Unavailable { retry_after, .. } => {
            row(503, reason, Relay, Some(seconds(retry_after)))
        }
        GitLabError::Busy => row(503, reason, Relay, Some(1)),
        GitLabError::TooManyBadTokens => row(429, reason, Client, Some(1)),
    }
}

/// Whole ones, at least one.
fn seconds(time: Duration) -> u32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

const fn ended(why: Ended) -> &'static str {
    match why {
        Ended::Over => "the job has ended, and its access with it",
        Ended::Unproved => {
            "GitLab has not answered for too long: nobody knows whether the access still holds"
        }
        Ended::Changed => "GitLab says something else about the access now: ask again",
    }
}

/// Every reason, in the order of the table in `docs/errors.md`: so that it is a metric's label before its first refusal. A test
/// compares it with [`Refusal::facts`].
pub(crate) const REASONS: [&str; 67] = [
    "unknown_path",
    "bad_path",
    "bad_method",
    "bad_request",
    "head_too_large",
    "no_agent_named",
    "agents_differ",
    "body_lost",
    "credential_missing",
    "credential_repeated",
    "credential_too_long",
    "credential_scheme",
    "credential_empty",
    "credential_joined",
    "credential_character",
    "credential_kind",
    "credential_agent",
    "foreign_origin",
    "bad_session",
    "token_malformed",
    "token_algorithm_refused",
    "token_algorithm_mismatch",
    "token_critical_header",
    "token_no_key_id",
    "token_unknown_issuer",
    "token_unknown_key",
    "token_keys_unavailable",
    "token_key_pending",
    "token_bad_signature",
    "token_missing_claim",
    "token_bad_claim",
    "token_wrong_audience",
    "token_expired",
    "token_not_yet_valid",
    "token_lifetime_too_long",
    "gitlab_not_accepted",
    "gitlab_other_kind",
    "gitlab_forbidden",
    "gitlab_user_not_accepted",
    "gitlab_agent_token",
    "gitlab_bad_answer",
    "gitlab_unavailable",
    "gitlab_busy",
    "too_many_bad_tokens",
    "job_ended",
    "access_changed",
    "event_secret",
    "bad_event",
    "permit_ended",
    "not_permitted",
    "job_streams",
    "job_rate",
    "audit_full",
    "draining",
    "agent_offline",
    "agent_never_connected",
    "agent_lost",
    "cut_by_operator",
    "agent_refused",
    "beyond_ceiling",
    "agent_failed",
    "tunnel_full",
    "overloaded",
    "too_many_cancels",
    "api_server_unreachable",
    "api_server_lost",
    "timed_out",
];

fn row(status: u16, reason: &'static str, hop: Hop, retry_after: Option<u32>) -> Facts {
    let status = StatusCode::from_u16(status).expect("the table holds valid statuses");
    Facts {
        status,
        reason,
        hop,
        retry_after,
    }
}

/// A time as RFC 3339 in UTC, to the second.
pub(crate) struct Moment(pub(crate) SystemTime);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = prost_types::Timestamp::from(self.0);
        prost_types::Timestamp { nanos: 0, ..exact }.fmt(f)
    }
}

#[cfg(test)]
pub(crate) mod tests;
