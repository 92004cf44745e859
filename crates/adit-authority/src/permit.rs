//! The decision: this job, that agent, as that user, until then. Made by [`crate::Authoriser`], held by everything that
//! runs for the caller afterwards.
//! Invariant: only this crate makes one, so code that holds one cannot have skipped a check.

use std::{sync::Arc, time::SystemTime};

use adit_identity::{ActAs, AgentId, JobIdentity, Label};

use crate::{Agent, Caller};

/// Leave to send requests to one agent, on behalf of one job.
#[derive(Debug)]
pub struct Permit {
    agent: Arc<Agent>,
    act_as: ActAs,
    default_namespace: Option<Label>,
    expires_at: SystemTime,
    owner: u64,
    job: Arc<JobIdentity>,
    // Which authoriser decided: after a change of config nothing decided before it is used again.
    pub(crate) decided_by: u64,
}

impl Permit {
    pub(crate) fn new(
        caller: &Caller,
        agent: &Arc<Agent>,
        act_as: ActAs,
        default_namespace: Option<Label>,
        decided_by: u64,
    ) -> Self {
        Self {
            agent: Arc::clone(agent),
            act_as,
            default_namespace,
            expires_at: caller.expires_at(),
            owner: caller.owner(),
            job: Arc::clone(caller.job()),
            decided_by,
        }
    }

    /// The agent that requests may go to.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.agent.id()
    }

    /// `<config project path>:<agent name>`, as people know the agent.
    #[must_use]
    pub fn context(&self) -> &str {
        self.agent.context()
    }

    /// As whom the agent calls its API server for this job.
    #[must_use]
    pub fn act_as(&self) -> &ActAs {
        &self.act_as
    }

    /// The namespace for the kubeconfig's context. A convenience, not a boundary.
    #[must_use]
    pub fn default_namespace(&self) -> Option<&Label> {
        self.default_namespace.as_ref()
    }

    /// When the permit ends and everything that runs under it is cut.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// The token it was given for, see [`Caller::owner`].
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.owner
    }

    /// The job it was given to.
    #[must_use]
    pub fn job(&self) -> &Arc<JobIdentity> {
        &self.job
    }
}
