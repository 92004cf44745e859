//! The decision: this caller, that agent, as that user, until then. Made by [`crate::Authoriser`], held by everything that
//! runs for the caller afterwards.
//! Invariant: only this crate makes one, so code that holds one cannot have skipped a check.

use std::time::SystemTime;

use adit_identity::{ActAs, AgentId, Label, ProjectId};

use crate::{Caller, Who};

/// Leave to send requests to one agent, on behalf of one caller.
#[derive(Debug)]
pub struct Permit {
    terms: PermitTerms,
    expires_at: Option<SystemTime>,
    owner: u64,
    who: Who,
}

/// What was decided.
#[derive(Debug)]
pub(crate) struct PermitTerms {
    pub(crate) agent: AgentId,
    pub(crate) context: Box<str>,
    pub(crate) act_as: ActAs,
    pub(crate) default_namespace: Option<Label>,
    // The agent's, when GitLab itself lets the caller in.
    pub(crate) gitlab_project: Option<ProjectId>,
    // Or else GitLab alone knows the agent.
    pub(crate) is_configured: bool,
    // Which authoriser decided: after a change of config nothing decided before it is used again.
    pub(crate) decided_by: u64,
}

impl Permit {
    pub(crate) fn new(caller: &Caller, terms: PermitTerms) -> Self {
        Self {
            terms,
            expires_at: caller.expires_at(),
            owner: caller.owner(),
            who: caller.who().clone(),
        }
    }

    pub(crate) fn terms(&self) -> &PermitTerms {
        &self.terms
    }

    /// The agent that requests may go to.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.terms.agent
    }

    /// `<config project path>:<agent name>`, as people know the agent; with its id for a name when only GitLab knows it.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.terms.context
    }

    /// Whether the relay's configuration has an agent of this id. If not, GitLab alone knows it.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.terms.is_configured
    }

    /// As whom the agent calls its API server for this caller.
    #[must_use]
    pub fn act_as(&self) -> &ActAs {
        &self.terms.act_as
    }

    /// The namespace for the kubeconfig's context. A convenience, not a boundary.
    #[must_use]
    pub fn default_namespace(&self) -> Option<&Label> {
        self.terms.default_namespace.as_ref()
    }

    /// When the permit ends and everything that runs under it is cut; see [`Caller::expires_at`].
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The issuer whose ID token it was given for; none when GitLab itself let the caller in.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        match &self.who {
            Who::Job(job) if self.terms.gitlab_project.is_none() => Some(&job.issuer),
            Who::Job(_) | Who::User(_) => None,
        }
    }

    /// The token it was given for, see [`Caller::owner`].
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.owner
    }

    /// To whom it was given.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }
}
