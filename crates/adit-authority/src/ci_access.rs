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

use adit_identity::{Impersonation, JobIdentity, Label};

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
    /// Why a filter keeps the job out, if one does. What is not known of the job keeps it out, too.
    pub(crate) fn refusal(&self, job: &JobIdentity) -> Option<Filtered> {
        if self.of_ref(job) != Passes::Does {
            return Some(Filtered::Ref);
        }
        match (&job.environment, self.of_environment(job)) {
            (_, Passes::Does) => None,
            (None, _) => Some(Filtered::NoEnvironment),
            (Some(_), _) => Some(Filtered::Environment),
        }
    }

    /// What `protected_branches_only` says.
    pub(crate) fn of_ref(&self, job: &JobIdentity) -> Passes {
        match &job.git_ref {
            _ if !self.protected_branches_only => Passes::Does,
            Some(git_ref) => Passes::if_so(git_ref.protected),
            None => Passes::Unknown,
        }
    }

    /// What `environments` says. Of an environment that is known by its slug alone, it says nothing.
    pub(crate) fn of_environment(&self, job: &JobIdentity) -> Passes {
        let Some(patterns) = &self.environments else {
            return Passes::Does;
        };
        let Some(environment) = &job.environment else {
            return Passes::DoesNot;
        };
        environment.name().map_or(Passes::Unknown, |name| {
            Passes::if_so(patterns.iter().any(|pattern| pattern.matches(name)))
        })
    }

    /// What `environments` would say of an environment with this slug. Not for letting anybody in: two names may have the same slug.
    pub(crate) fn of_slug(&self, slug: &str) -> Passes {
        let mut all = Passes::DoesNot;
        for pattern in self.environments.iter().flatten() {
            match pattern.matches_slug(slug) {
                Passes::Does => return Passes::Does,
                Passes::Unknown => all = Passes::Unknown,
                Passes::DoesNot => {}
            }
        }
        all
    }
}

/// Whether a job passes a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passes {
    Does,
    DoesNot,
    /// What the filter asks for is not known of the job.
    Unknown,
}

impl Passes {
    const fn if_so(is_so: bool) -> Self {
        if is_so { Self::Does } else { Self::DoesNot }
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
