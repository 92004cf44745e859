//! Decides what the relay answers when the API server does not get to: each [`Refusal`] has a message that says what to do, and
//! [`Facts`]: a status, a stable reason, and the hop that failed.
//!
//! Every stage returns one; `respond.rs` alone turns it into bytes. Invariant: a reason is the
//! metric label, and `docs/errors.md` has a line for it (a test compares the two).

use std::{fmt, time::SystemTime};

use adit_authority::{Caller, CredentialError, Ended, GitLabError, NotAllowed, TokenError, Who};
use adit_exchange::BadRequest;
use adit_identity::AgentId;
use adit_process::net::websocket::NoUpgrade;

mod facts;
mod reasons;

pub(crate) use facts::{Facts, Hop};
pub use reasons::{REASONS, Reason};

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
    /// Not what an agent sends that opens its tunnel so.
    #[error("this path is for agents, which open their tunnels here: {0}")]
    BadWebSocket(NoUpgrade),
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
        "{0}; a kubeconfig from `adit kubeconfig` sends `Authorization: Bearer ci:<agent id>:<the job's token>`"
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
    /// The configuration was changed, and no longer lets the caller use the agent as the permit said.
    #[error(
        "the relay's configuration was changed while the request ran, and no longer lets it use agent {name} as it did: run it again to hear whether it may now; whether it was carried out is not known"
    )]
    Withdrawn {
        /// Path and name, as in a context.
        name: String,
    },
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
    #[error("agent {name} has not connected to this relay since it started at {}: is it installed, with this relay's address and a current token{}?", Moment(*started), listed_as(*unlisted))]
    AgentNeverConnected {
        /// Path and name, as in a context.
        name: String,
        /// When this relay started.
        started: SystemTime,
        /// Its id, if this relay's configuration has none of that id: it may stand there under another.
        unlisted: Option<AgentId>,
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
    /// The agent's owner does not let it act as whom the permit names, or do that.
    #[error("agent {name} refuses the request: {why}")]
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

    /// Whether anybody can cause it, without a token that an authority vouches for. Such refusals must not fill a log.
    pub(crate) fn is_to_a_stranger(&self) -> bool {
        match self {
            Self::UnknownPath
            | Self::BadPath(_)
            | Self::BadMethod(_)
            | Self::BadWebSocket(_)
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
            | Self::Withdrawn { .. }
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

const fn ended(why: Ended) -> &'static str {
    match why {
        Ended::Over => "the job has ended, and its access with it",
        Ended::Unproved => {
            "GitLab has not answered for too long: nobody knows whether the access still holds"
        }
        Ended::Changed => "GitLab says something else about the access now: ask again",
    }
}

fn listed_as(unlisted: Option<AgentId>) -> String {
    unlisted.map_or_else(String::new, |id| {
        format!(
            ", and if it stands in this relay's configuration, has it GitLab's `id` there, {id}"
        )
    })
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
