//! Why a token is refused that only GitLab can vouch for. Answered to callers and agents, and counted by reason.
//! Invariant: no variant holds a byte of the token, or of GitLab's answer.

use std::time::Duration;

/// Why there is nobody behind a token, or nobody can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitLabError {
    /// GitLab answered 401.
    #[error(
        "GitLab does not accept the token: the job has ended, or it is no CI_JOB_TOKEN; of ID tokens the relay takes those of its `authorities.oidc.issuers` alone"
    )]
    NotAccepted,
    /// GitLab answered 403.
    #[error("GitLab forbids this job to ask which agents it may use")]
    Forbidden,
    /// GitLab answered 404: the token is good, and of another kind.
    #[error("GitLab says that this is no job's token: send CI_JOB_TOKEN")]
    OtherKind,
    /// GitLab answered 400, 401, 403 or 404 about a user and an agent. Which, would tell strangers what agents there are.
    #[error(
        "GitLab does not let the token's user use this agent: the token is over or has not the scope k8s_proxy, the browser is not logged in or its page is not GitLab's, or the agent's user_access does not name a project or group in which the user is a developer"
    )]
    UserNotAccepted,
    /// GitLab has said that the job is over.
    #[error("the job has ended, and its access with it")]
    Ended,
    /// An agent token of adit's, which is nobody else's business.
    #[error("an agent's token is no job's")]
    AgentToken,
    /// GitLab answered 200, and something that cannot be believed.
    #[error("GitLab's answer about the token cannot be used: its {0} is missing or malformed")]
    BadAnswer(&'static str),
    /// GitLab did not answer, or not with yes or no.
    #[error("GitLab did not answer when it was asked about the token ({why})")]
    Unavailable {
        /// What happened instead.
        why: Trouble,
        /// When the same question is worth asking again.
        retry_after: Duration,
    },
    /// This relay has as many questions for GitLab as it may.
    #[error("too many tokens are waiting for GitLab's word")]
    Busy,
    /// The address has brought too many tokens that GitLab does not know.
    #[error("too many tokens that GitLab does not know came from this address")]
    TooManyBadTokens,
}

impl GitLabError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAccepted => "gitlab_not_accepted",
            Self::Forbidden => "gitlab_forbidden",
            Self::OtherKind => "gitlab_other_kind",
            Self::UserNotAccepted => "gitlab_user_not_accepted",
            Self::Ended => "job_ended",
            Self::AgentToken => "gitlab_agent_token",
            Self::BadAnswer(_) => "gitlab_bad_answer",
            Self::Unavailable { .. } => "gitlab_unavailable",
            Self::Busy => "gitlab_busy",
            Self::TooManyBadTokens => "too_many_bad_tokens",
        }
    }

    /// Whether GitLab has said no, in which case nothing that it said before counts any more.
    #[must_use]
    pub(super) const fn is_no(self) -> bool {
        match self {
            Self::NotAccepted
            | Self::Forbidden
            | Self::OtherKind
            | Self::UserNotAccepted
            | Self::Ended => true,
            Self::AgentToken
            | Self::BadAnswer(_)
            | Self::Unavailable { .. }
            | Self::Busy
            | Self::TooManyBadTokens => false,
        }
    }
}

/// What happened instead of a yes or a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Trouble {
    /// No connection, or one that broke.
    #[error("it cannot be reached")]
    Unreachable,
    /// Nothing within the timeout.
    #[error("it takes too long")]
    TimedOut,
    /// Status 5xx.
    #[error("it has an error of its own")]
    ServerError,
    /// A status that means nothing here, such as a redirect.
    #[error("it answers with a status that means nothing here")]
    UnexpectedStatus,
    /// Status 401, and a body that says that it is about this relay.
    #[error("it does not accept this relay's proof of being its agent server")]
    NotTrusted,
    /// Status 400, 413 or 431: about this question alone.
    #[error("it cannot read the question, most likely because of the token")]
    NotUnderstood,
    /// Status 429, or none left of what it allows.
    #[error("it allows no more questions for now")]
    RateLimited,
    /// More than [`super::MAX_ANSWER_BYTES`].
    #[error("its answer is too long")]
    TooLong,
    /// It failed a moment ago, or has asked for it, and is left alone.
    #[error("it failed a moment ago")]
    LeftAlone,
}
