//! May this job reach that agent, and as whom there? Asked once for each request; the answer for a token's last agent is
//! remembered with the token.
//! Invariant: a [`Permit`] comes from here alone, and only when an entry of the agent's `ci_access` and all its filters
//! said yes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use adit_identity::{ActAs, AgentId, BadImpersonation, Environment, JobIdentity, Label};

use crate::{
    AccessAs, Agent, Agents, Caller, Permit,
    ci_access::{Filtered, Grant},
};

/// The rules of one config. A reload makes a new one.
#[derive(Debug)]
pub struct Authoriser {
    agents: Agents,
    // Tells this one's permits from those of the config before.
    number: u64,
}

impl Authoriser {
    /// Decides by what these agents' `ci_access` says.
    #[must_use]
    pub fn new(agents: Agents) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self {
            agents,
            number: COUNT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The agents that are decided about.
    #[must_use]
    pub fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Leave for this caller to use that agent.
    ///
    /// # Errors
    ///
    /// No entry covers the job, or the one that does keeps it out.
    pub fn permit(&self, caller: &Caller, agent: AgentId) -> Result<Arc<Permit>, NotAllowed> {
        if let Some(permit) = caller.last_permit()
            && permit.agent() == agent
            && permit.decided_by == self.number
        {
            return Ok(permit);
        }
        let permit = Arc::new(self.decide(caller, agent)?);
        caller.remember_permit(&permit);
        Ok(permit)
    }

    /// The agents that this caller may use, by context name: what `adit kubeconfig` writes.
    #[must_use]
    pub fn reachable(&self, caller: &Caller) -> Vec<Reachable> {
        let allowed = |agent: &Arc<Agent>| {
            let grant = grant(agent, caller.job()).ok()?;
            let context = agent.context().to_owned();
            Some(Reachable {
                agent: agent.id(),
                context,
                default_namespace: grant.default_namespace.clone(),
            })
        };
        let mut reachable: Vec<_> = self.agents.by_id.values().filter_map(allowed).collect();
        reachable.sort_unstable_by(|a, b| a.context.cmp(&b.context));
        reachable
    }

    /// Whether a permit given earlier would still be given, unchanged: asked for running streams after a reload.
    #[must_use]
    pub fn upholds(&self, permit: &Permit, now: SystemTime) -> bool {
        let Some(agent) = self.agents.agent(permit.agent()) else {
            return false;
        };
        let acts = grant(agent, permit.job())
            .ok()
            .and_then(|grant| act_as(grant, permit.job(), agent).ok());
        permit.expires_at() > now && acts.as_ref() == Some(permit.act_as())
    }

    fn decide(&self, caller: &Caller, id: AgentId) -> Result<Permit, NotAllowed> {
        let agent = self.agents.agent(id).ok_or(NotAllowed::UnknownAgent(id))?;
        let grant = grant(agent, caller.job())?;
        let act_as = act_as(grant, caller.job(), agent).map_err(NotAllowed::Identity)?;
        Ok(Permit::new(
            caller,
            agent,
            act_as,
            grant.default_namespace.clone(),
            self.number,
        ))
    }
}

/// An agent that a job may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachable {
    /// The agent's id, for the credential.
    pub agent: AgentId,
    /// `<config project path>:<agent name>`.
    pub context: String,
    /// The namespace for the context.
    pub default_namespace: Option<Label>,
}

/// Why a job may not use an agent. What is displayed may be told to the caller: it is the same for an agent that does
/// not exist and one that the job has nothing to do with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// No agent has this id.
    #[error(
        "jobs of this project may not use an agent with the id {0}: ask for an entry in its ci_access"
    )]
    UnknownAgent(AgentId),
    /// The agent trusts another issuer.
    #[error(
        "jobs of this project may not use an agent with the id {0}: ask for an entry in its ci_access"
    )]
    OtherIssuer(AgentId),
    /// No entry covers the job's project.
    #[error(
        "jobs of this project may not use an agent with the id {0}: ask for an entry in its ci_access"
    )]
    NoGrant(AgentId),
    /// The entry is limited to environments, and the job has none.
    #[error(
        "agent {context} is only for jobs with certain environments, and this job has no `environment:`"
    )]
    NoEnvironment {
        /// The agent's name.
        context: Box<str>,
    },
    /// The entry is limited to other environments.
    #[error(
        "agent {context} is only for jobs with certain environments, and `{environment}` is none of them"
    )]
    EnvironmentMismatch {
        /// The agent's name.
        context: Box<str>,
        /// The job's environment.
        environment: Box<str>,
    },
    /// The entry is limited to protected refs.
    #[error(
        "agent {context} is only for jobs on protected branches and tags, and `{git_ref}` is not protected"
    )]
    RefNotProtected {
        /// The agent's name.
        context: Box<str>,
        /// The job's ref.
        git_ref: Box<str>,
    },
    /// The job's facts make no user that could be impersonated.
    #[error("the job cannot be named to the cluster")]
    Identity(#[source] BadImpersonation),
}

impl NotAllowed {
    /// A stable name for logs and metrics, which tells apart what the caller is not told apart.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownAgent(_) => "unknown_agent",
            Self::OtherIssuer(_) => "other_issuer",
            Self::NoGrant(_) => "no_grant",
            Self::NoEnvironment { .. } => "no_environment",
            Self::EnvironmentMismatch { .. } => "environment_mismatch",
            Self::RefNotProtected { .. } => "ref_not_protected",
            Self::Identity(_) => "bad_identity",
        }
    }
}

/// The entry that lets the job in.
fn grant<'a>(agent: &'a Agent, job: &JobIdentity) -> Result<&'a Grant, NotAllowed> {
    if !agent.trusts_issuer_of(job) {
        return Err(NotAllowed::OtherIssuer(agent.id()));
    }
    let grant = agent
        .grant(job)
        .ok_or_else(|| NotAllowed::NoGrant(agent.id()))?;
    let context = || agent.context().into();
    let environment = || {
        let name = job.environment.as_ref().and_then(Environment::name);
        name.unwrap_or_default().into()
    };
    let git_ref = || {
        job.git_ref
            .as_ref()
            .map_or("", |git_ref| &git_ref.name)
            .into()
    };
    match grant.refusal(job) {
        None => Ok(grant),
        Some(Filtered::Ref) => Err(NotAllowed::RefNotProtected {
            context: context(),
            git_ref: git_ref(),
        }),
        Some(Filtered::NoEnvironment) => Err(NotAllowed::NoEnvironment { context: context() }),
        Some(Filtered::Environment) => Err(NotAllowed::EnvironmentMismatch {
            context: context(),
            environment: environment(),
        }),
    }
}

fn act_as(grant: &Grant, job: &JobIdentity, agent: &Agent) -> Result<ActAs, BadImpersonation> {
    match &grant.access_as {
        AccessAs::Agent => Ok(ActAs::Agent),
        AccessAs::Impersonate(user) => Ok(ActAs::Impersonate(user.clone())),
        AccessAs::CiJob => job
            .impersonation(agent.id(), agent.project_id())
            .map(ActAs::Impersonate),
    }
}

#[cfg(test)]
mod tests;
