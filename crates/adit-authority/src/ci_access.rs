//! `ci_access`: which jobs may use an agent, and as whom, in GitLab's own words. Read from the relay's config, asked by
//! [`crate::Authoriser`]. Its rules are asked, too, about an agent's file at GitLab ([`crate::agent_file`]).
//!
//! The rules, which are GitLab's:
//!  - One entry decides, the first of: the entry of the job's project; the implicit one, for jobs of the agent's own config
//!    project; the entry of the nearest group above the project, and so on outwards; the entry of the whole instance.
//!    Entries are never merged.
//!  - Its filters are applied afterwards: a project entry limited to `staging` hides a group entry that would have
//!    allowed `production`.
//!  - A filter that asks for what the job does not say refuses the job.
//!
//! Left out on purpose: GitLab's rule that project and agent share a top-level group, and its limit of 500 entries. Both
//! protect GitLab from users; whoever writes a relay's config owns the relay.

mod pattern;
mod raw;
mod scopes;

use adit_identity::{Environment, Impersonation, JobIdentity, Label};

pub use pattern::{BadPattern, EnvironmentPattern};
pub use raw::{
    Nothing, RawAccessAs, RawCiAccess, RawExtra, RawImpersonation, RawOptions, RawScope,
};
pub(crate) use scopes::Scopes;

/// As whom a job acts at the agent's API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessAs {
    /// As the agent's own service account.
    Agent,
    /// As this user, whatever the job.
    Impersonate(Impersonation),
    /// As the job: [`JobIdentity::impersonation`].
    CiJob,
}

/// The checked `ci_access` of one agent.
#[derive(Clone, Debug)]
pub struct CiAccess(Scopes<Grant>);

/// One entry: its mode and its filters.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(crate) access_as: AccessAs,
    pub(crate) default_namespace: Option<Label>,
    pub(crate) filters: Filters,
}

/// Which jobs of those that an entry covers may use it. Without any, all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    pub(crate) environments: Option<Vec<EnvironmentPattern>>,
    pub(crate) protected_branches_only: bool,
}

impl CiAccess {
    /// The entry that decides about a job, if any. `is_own` says that the job's project holds the agent's config.
    pub(crate) fn grant(&self, job: &JobIdentity, is_own: bool) -> Option<&Grant> {
        self.0.covering(job.project.path.as_ref(), is_own).next()
    }
}

impl Grant {
    /// An entry without filters.
    pub(crate) fn plain(access_as: AccessAs) -> Self {
        Self {
            access_as,
            default_namespace: None,
            filters: Filters::default(),
        }
    }
}

impl Filters {
    /// Why a filter keeps the job out, if one does.
    pub(crate) fn refusal(&self, job: &JobIdentity) -> Option<Filtered> {
        let is_protected = job
            .git_ref
            .as_ref()
            .is_some_and(|git_ref| git_ref.protected);
        if self.protected_branches_only && !is_protected {
            return Some(Filtered::Ref);
        }
        let patterns = self.environments.as_ref()?;
        let environment = job.environment.as_ref();
        let Some(name) = environment.and_then(Environment::name) else {
            return Some(Filtered::NoEnvironment);
        };
        let matched = patterns.iter().any(|pattern| pattern.matches(name));
        (!matched).then_some(Filtered::Environment)
    }
}

/// The filter that kept a job out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filtered {
    /// `protected_branches_only`, and the ref is not known to be protected.
    Ref,
    /// `environments`, and the job has none.
    NoEnvironment,
    /// `environments`, and the job's is not among them.
    Environment,
}

#[cfg(test)]
mod tests;
