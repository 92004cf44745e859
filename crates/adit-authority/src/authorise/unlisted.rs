//! Why GitLab does not list an agent for a job that it vouches for. GitLab does not say; the agent's file does, as the relay has read it,
//! and the relay finds it by the rules that `adit access explain` shows ([`super::explain`]).
//!
//! Invariant: a job is told of the entry that covers its own project, and of nothing else. Where none does, it is told the same as of an
//! agent that does not exist.

use std::fmt;

use adit_identity::{AgentId, FullPath, JobIdentity};

use super::{Licence, NotAllowed, explain::Weighed};
use crate::{
    AgentFile, Home,
    agent_file::{Entry, Mode},
    ci_access::Passes,
    gitlab::{AgentFiles, JobPlace},
};

/// An agent that GitLab does not list for a job. Displayed in the same words whether there is such an agent or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// The id that the job has named.
    pub agent: AgentId,
    /// The job's project, when the relay knows it and has looked for an entry that covers it.
    pub project: Option<FullPath>,
}

/// The entry that covers a job, and what keeps the job out nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOut {
    /// Such as `ci_access.projects[0]`.
    key: Box<str>,
    /// What it says.
    entry: Box<str>,
    cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// The entry asks for an environment.
    NoEnvironment,
    /// It asks for another one than this, which GitLab names by its slug.
    Environment(Box<str>),
    /// It asks for a protected ref, which this is not.
    Ref(Box<str>),
    /// It asks for both, and which is missing cannot be told from a slug.
    EnvironmentOrRef(Box<str>, Box<str>),
    /// Its filters let the job in.
    NotInForce(Mode),
}

impl From<AgentId> for Unlisted {
    fn from(agent: AgentId) -> Self {
        Self {
            agent,
            project: None,
        }
    }
}

impl fmt::Display for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agent = self.agent;
        write!(f, "GitLab lets this job use no agent with the id {agent}")?;
        match &self.project {
            Some(project) => write!(
                f,
                ", and no entry of its ci_access that this relay has read covers the project {project}: ask for one; if there is one, look whether"
            )?,
            None => f.write_str(": ask for an entry in its ci_access, or look whether")?,
        }
        f.write_str(
            " `environments` or `protected_branches_only` of the entry keep this job out, which `adit access explain` tells rule by rule",
        )
    }
}

impl NotAllowed {
    /// Whether GitLab does not list the agent, and nobody has looked for the cause.
    #[must_use]
    pub const fn is_unlisted(&self) -> bool {
        matches!(self, Self::NotListed(_) | Self::NotGitLabs(_))
    }

    /// The same with the cause, as far as the agents' files tell it to a job of this place.
    #[must_use]
    pub fn with_cause(
        &self,
        files: &AgentFiles,
        job: &JobIdentity,
        place: &JobPlace,
    ) -> Option<Self> {
        let without_entry = |agent| Unlisted {
            agent,
            project: Some(place.project.clone()),
        };
        if let Self::NotListed(Unlisted { agent, .. }) = *self {
            let cause = files.why_unlisted(agent, job, place);
            return Some(cause.unwrap_or_else(|| Self::NotListed(without_entry(agent))));
        }
        if let Self::NotGitLabs(Unlisted { agent, .. }) = *self {
            return Some(Self::NotGitLabs(without_entry(agent)));
        }
        None
    }
}

/// Why, by the file of the agent as GitLab has it. `context` is the agent's name.
pub(crate) fn why_unlisted(
    agent: AgentId,
    context: &str,
    (home, file): (&Home, &AgentFile),
    (job, place): (&JobIdentity, &JobPlace),
) -> NotAllowed {
    let mut job = job.clone();
    job.project.path = Some(place.project.clone());
    // What an entry of another mode is to a project of the tier Free, nobody has said.
    let weighed = Weighed::new(file, home, &job, Licence::Premium);
    let Some(entry) = weighed.deciding() else {
        return NotAllowed::NotGranted(Unlisted {
            agent,
            project: Some(place.project.clone()),
        });
    };
    if entry.place.is_none() {
        // GitLab grants it whatever the file says, and so the file does not say why it does not.
        return NotAllowed::NotListed(agent.into());
    }
    NotAllowed::KeptOut {
        context: context.into(),
        why: KeptOut {
            key: entry.key.to_string().into(),
            entry: entry.to_string().into(),
            cause: cause(entry, &job, &place.git_ref),
        },
    }
}

/// What keeps the job out that the entry covers; it is known that something does.
fn cause(entry: &Entry, job: &JobIdentity, git_ref: &str) -> Cause {
    let filters = &entry.filters;
    let slug = job.environment.as_ref().map(|one| one.slug());
    let by_name = filters.of_environment(job);
    let of_environment = match (by_name, slug) {
        (Passes::Unknown, Some(slug)) => filters.of_slug(slug),
        (known, _) => known,
    };
    match (of_environment, filters.of_ref(job), slug) {
        (Passes::DoesNot, _, None) => Cause::NoEnvironment,
        (Passes::DoesNot, _, Some(slug)) | (Passes::Unknown, Passes::Does, Some(slug)) => {
            Cause::Environment(slug.into())
        }
        (Passes::Unknown, _, Some(slug)) => Cause::EnvironmentOrRef(slug.into(), git_ref.into()),
        (Passes::Does, Passes::Does, _) | (Passes::Unknown, _, None) => {
            Cause::NotInForce(entry.mode)
        }
        (Passes::Does, Passes::DoesNot | Passes::Unknown, _) => Cause::Ref(git_ref.into()),
    }
}

impl KeptOut {
    /// See [`NotAllowed::reason`].
    pub(super) const fn reason(&self) -> &'static str {
        match self.cause {
            Cause::NoEnvironment => "no_environment",
            Cause::Environment(_) => "environment_mismatch",
            Cause::Ref(_) => "ref_not_protected",
            Cause::EnvironmentOrRef(..) => "environment_or_ref",
            Cause::NotInForce(_) => "not_in_force",
        }
    }
}

impl fmt::Display for KeptOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, entry, cause } = self;
        write!(f, "{key} covers it ({entry}), ")?;
        match cause {
            Cause::NoEnvironment => f.write_str(
                "for jobs with certain environments, and this job has no `environment:`, or one that GitLab has not stored yet, as at its first run",
            ),
            Cause::Environment(slug) => write!(
                f,
                "for jobs with certain environments, and this job's, which GitLab calls `{slug}`, is none of them"
            ),
            Cause::Ref(git_ref) => write!(
                f,
                "for jobs on protected branches and tags, and `{git_ref}` is not protected"
            ),
            Cause::EnvironmentOrRef(slug, git_ref) => write!(
                f,
                "for jobs with certain environments and on protected branches and tags: this job's environment, which GitLab calls `{slug}`, is none of them, or `{git_ref}` is not protected"
            ),
            Cause::NotInForce(Mode::Agent) => f.write_str(
                "and lets it in, but GitLab does not: it has not taken the entry in yet, and will in a minute or two",
            ),
            Cause::NotInForce(mode) => write!(
                f,
                "and lets it in, but GitLab does not: `access_as: {}` takes Premium in the job's project, or GitLab has not taken the entry in yet, and will in a minute or two",
                mode.as_str()
            ),
        }
    }
}

#[cfg(test)]
mod tests;
