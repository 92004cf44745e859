//! The table of refusals: what programs go by, each kind's status, reason and hop, and when to come back. People have it in
//! `docs/errors.md`. Invariant: every reason there can be is among [`super::REASONS`], and nothing else.

use std::{fmt, time::Duration};

use adit_authority::{Ended, GitLabError};
use http::StatusCode;

use super::Refusal;

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

impl Refusal {
    /// The row of the table in `docs/errors.md`.
    pub(crate) fn facts(&self) -> Facts {
        use Hop::{Agent, ApiServer, Client, Relay};
        match self {
            Self::UnknownPath => row(404, "unknown_path", Client, None),
            Self::BadPath(_) => row(400, "bad_path", Client, None),
            Self::BadMethod(_) => row(405, "bad_method", Client, None),
            Self::BadWebSocket(_) => row(400, "bad_websocket", Client, None),
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
            Self::Withdrawn { .. } => row(403, "access_withdrawn", Relay, None),
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

fn row(status: u16, reason: &'static str, hop: Hop, retry_after: Option<u32>) -> Facts {
    let status = StatusCode::from_u16(status).expect("the table holds valid statuses");
    Facts {
        status,
        reason,
        hop,
        retry_after,
    }
}
