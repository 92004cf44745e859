//! May this caller reach that agent, and as whom there? Asked once for each request; the answer for a token's last agent is
//! remembered with the token.
//! Invariant: a [`Permit`] comes from here alone, and only when an entry of the agent's `ci_access` and all its filters
//! said yes, or GitLab itself listed the agent for the job, or let the user use it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use adit_identity::{ActAs, AgentId, BadImpersonation, JobIdentity, Label, ProjectId};

use crate::{
    AccessAs, Agent, Agents, Caller, Permit, Unusable, Who,
    ci_access::{Filtered, Grant},
    gitlab::AgentNames,
    permit::PermitTerms,
};
use given::Given;

mod by_gitlab;
mod explain;
mod given;
mod unlisted;

pub(crate) use unlisted::why_unlisted;
pub use unlisted::{KeptOut, Unlisted};

pub use explain::{Admitted, Explanation, Licence, Question, Rule, Verdict};

/// The rules of one config. A reload makes a new one.
#[derive(Debug)]
pub struct Authoriser {
    agents: Agents,
    names: Arc<AgentNames>,
    given: Arc<Given>,
    // Tells this one's permits from those of the config before.
    number: u64,
}

impl Authoriser {
    /// Decides by what these agents' `ci_access` says, and knows agents of GitLab's alone by these names.
    #[must_use]
    pub fn new(agents: Agents, names: Arc<AgentNames>) -> Self {
        Self::of(agents, names, Arc::default())
    }

    /// One that decides by other agents, and knows which permits this one has given.
    #[must_use]
    pub fn successor(&self, agents: Agents) -> Self {
        Self::of(agents, Arc::clone(&self.names), Arc::clone(&self.given))
    }

    fn of(agents: Agents, names: Arc<AgentNames>, given: Arc<Given>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self {
            agents,
            names,
            given,
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
            && permit.terms().decided_by == self.number
        {
            return Ok(permit);
        }
        let terms = self.terms_for(caller, agent)?;
        let permit = Arc::new(Permit::new(caller, terms));
        self.given.note(&permit);
        caller.remember_permit(&permit);
        Ok(permit)
    }

    /// The agents that this caller may use, by context name: what `adit kubeconfig` writes.
    #[must_use]
    pub fn reachable(&self, caller: &Caller) -> Vec<Reachable> {
        let reach = |terms: PermitTerms| Reachable {
            agent: terms.agent,
            context: terms.context.into(),
            default_namespace: terms.default_namespace,
        };
        let agents: Vec<_> = match (caller.granted(), caller.user_grant()) {
            (Some(granted), _) => granted.iter().map(|(id, _)| id).collect(),
            (None, Some(grant)) => vec![grant.agent],
            (None, None) => self.agents.by_id.keys().copied().collect(),
        };
        let mut reachable: Vec<_> = agents
            .into_iter()
            .filter_map(|id| self.terms_for(caller, id).ok())
            .map(reach)
            .collect();
        reachable.sort_unstable_by(|a, b| a.context.cmp(&b.context));
        reachable
    }

    /// The permits that somebody holds, of whatever config they are, and that are not upheld. Each is told once.
    #[must_use]
    pub fn withdraw(&self, is_upheld: impl Fn(&Permit) -> bool) -> Vec<Arc<Permit>> {
        self.given.take(|permit| !is_upheld(permit))
    }

    /// Whether a permit given earlier would still be given, unchanged: asked for running streams after a reload.
    #[must_use]
    pub fn upholds(&self, permit: &Permit, now: SystemTime) -> bool {
        if permit.expires_at().is_some_and(|end| end <= now) {
            return false;
        }
        if let Some(project) = permit.terms().gitlab_project {
            return self.agents.may_be_gitlabs(permit.agent(), project);
        }
        let Who::Job(job) = permit.who() else {
            return false;
        };
        self.terms(job, permit.agent())
            .is_ok_and(|terms| terms.act_as == *permit.act_as())
    }

    fn terms_for(&self, caller: &Caller, id: AgentId) -> Result<PermitTerms, NotAllowed> {
        match (caller.who(), caller.granted(), caller.user_grant()) {
            (Who::Job(job), Some(granted), _) => self.terms_by_gitlab(granted, job, id),
            (Who::Job(job), None, _) => self.terms(job, id),
            (Who::User(_), _, Some(grant)) => self.terms_of_user(grant, id),
            (Who::User(_), _, None) => Err(NotAllowed::NotListed(id.into())),
        }
    }

    /// What the agent's own `ci_access` says.
    fn terms(&self, job: &JobIdentity, id: AgentId) -> Result<PermitTerms, NotAllowed> {
        let agent = self.agents.agent(id).ok_or(NotAllowed::UnknownAgent(id))?;
        let grant = grant(agent, job)?;
        Ok(PermitTerms {
            agent: id,
            context: agent.context().into(),
            act_as: act_as(grant, job, agent).map_err(NotAllowed::Identity)?,
            default_namespace: grant.default_namespace.clone(),
            gitlab_project: None,
            is_configured: true,
            decided_by: self.number,
        })
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
    #[error(fmt = no_entry)]
    UnknownAgent(AgentId),
    /// The agent trusts another issuer.
    #[error(fmt = no_entry)]
    OtherIssuer(AgentId),
    /// No entry covers the job's project.
    #[error(fmt = no_entry)]
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
    /// The entry is limited to protected refs, and nobody has said on which the job runs.
    #[error(
        "agent {context} is only for jobs on protected branches and tags, and it is not known on which this one runs"
    )]
    RefUnknown {
        /// The agent's name.
        context: Box<str>,
    },
    /// GitLab does not list the agent for the job.
    #[error("{0}")]
    NotListed(Unlisted),
    /// The same, and no entry of the agent's file covers the job's project.
    #[error("{0}")]
    NotGranted(Unlisted),
    /// GitLab lists an agent of this id, and here another one has it.
    #[error("{0}")]
    NotGitLabs(Unlisted),
    /// GitLab does not list the agent for the job, and the entry of its file that covers the job says why.
    #[error("GitLab does not let this job use agent {context}: {why}")]
    KeptOut {
        /// The agent's name.
        context: Box<str>,
        /// The entry, and what keeps the job out.
        why: KeptOut,
    },
    /// GitLab lists an agent of this id, and the configuration has it as GitLab's, in another project.
    #[error(
        "agent {agent} is in the project {project} at GitLab, and in another one in this relay's configuration: whoever runs the relay mends `project_id` or `id` of the agent there"
    )]
    OtherProject {
        /// The agent's id.
        agent: AgentId,
        /// What GitLab says.
        project: ProjectId,
    },
    /// GitLab lists the agent, and nobody knows as whom the job should act.
    #[error("agent {context} cannot be used by this job: {why}")]
    Unusable {
        /// The agent's name.
        context: Box<str>,
        /// What is wrong with its entry.
        why: Unusable,
    },
    /// The job's facts make no user that could be impersonated.
    #[error("the job cannot be named to the cluster")]
    Identity(#[source] BadImpersonation),
}

/// In the same words whether there is such an agent or not.
fn no_entry(id: &AgentId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "jobs of this project may not use an agent with the id {id}: ask for an entry in its ci_access"
    )
}

impl NotAllowed {
    /// A stable name for logs and metrics, which tells apart what the caller is not told apart.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownAgent(_) => "unknown_agent",
            Self::OtherIssuer(_) => "other_issuer",
            Self::NoGrant(_) | Self::NotGranted(_) => "no_grant",
            Self::NoEnvironment { .. } => "no_environment",
            Self::EnvironmentMismatch { .. } => "environment_mismatch",
            Self::RefNotProtected { .. } => "ref_not_protected",
            Self::RefUnknown { .. } => "ref_unknown",
            Self::KeptOut { why, .. } => why.reason(),
            Self::NotListed(_) => "not_listed",
            Self::NotGitLabs(_) => "not_gitlabs",
            Self::OtherProject { .. } => "other_project",
            Self::Unusable { .. } => "unusable_access_as",
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
    match grant.filters.refusal(job) {
        None => Ok(grant),
        Some(filtered) => Err(kept_out(filtered, agent.context(), job)),
    }
}

/// What is said of a job that a filter keeps out.
fn kept_out(filtered: Filtered, context: &str, job: &JobIdentity) -> NotAllowed {
    let context = context.into();
    match (filtered, &job.git_ref) {
        (Filtered::Ref, Some(git_ref)) => NotAllowed::RefNotProtected {
            context,
            git_ref: git_ref.name.clone(),
        },
        (Filtered::Ref, None) => NotAllowed::RefUnknown { context },
        (Filtered::NoEnvironment, _) => NotAllowed::NoEnvironment { context },
        (Filtered::Environment, _) => {
            let environment = job.environment.as_ref();
            let name = environment.map(|one| one.name().unwrap_or_else(|| one.slug()));
            NotAllowed::EnvironmentMismatch {
                context,
                environment: name.unwrap_or_default().into(),
            }
        }
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
