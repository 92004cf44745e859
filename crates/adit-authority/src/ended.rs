//! Why a caller's access ended before its time, and how that is told to whatever runs under it.

use std::fmt;

use adit_identity::AgentId;

/// Why what an authority said of a token no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The authority no longer accepts the token: the job is over, or an agent's token was revoked.
    Over,
    /// The authority has not answered for too long.
    Unproved,
    /// The authority says something else of it now. The token may be good for other things.
    Changed,
}

impl Ended {
    /// All there are.
    pub const ALL: &[Self] = &[Self::Over, Self::Unproved, Self::Changed];

    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Unproved => "unproved",
            Self::Changed => "changed",
        }
    }
}

/// Whatever runs on behalf of callers. Implemented by the relay.
pub trait Running: fmt::Debug + Send + Sync + 'static {
    /// Cuts what runs for a caller, see [`crate::Caller::owner`]: all of it, or what goes to these agents. The caller is known to
    /// have ended already: what begins from now on finds out by itself.
    fn cut(&self, owner: u64, agents: Affected<'_>, why: Ended);
}

/// Which agents a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affected<'a> {
    /// Every one.
    All,
    /// These.
    Only(&'a [AgentId]),
}

impl Affected<'_> {
    /// Whether this agent is among them.
    #[must_use]
    pub fn contains(self, agent: AgentId) -> bool {
        match self {
            Self::All => true,
            Self::Only(agents) => agents.contains(&agent),
        }
    }
}
