//! Which agents GitLab lets a job use, and as whom: the list in the answer of `GET /job/allowed_agents`. Read once for each
//! answer, asked by [`crate::Authoriser`] in place of a relay's own `ci_access`.
//!
//! GitLab has applied precedence, environments, protected refs and its licence already; what is in the list is allowed.
//! Invariant: an entry whose `access_as` is not understood in full lets nobody in. It hides no other entry.

use std::collections::{HashMap, hash_map::Entry};

use adit_identity::{
    ActAs, AgentId, BadImpersonation, FullPath, Impersonation, JobIdentity, Label, ProjectId,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::ci_access::RawImpersonation;

use super::answer::Id;

/// The agents of one job, and the roles that `ci_user` needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    agents: HashMap<AgentId, Allowed>,
    /// Of the job's user in the job's project, the lowest first.
    roles: Box<[Box<str>]>,
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    mode: Result<Mode, Unusable>,
    pub(crate) config_project: ProjectId,
    /// GitLab states it, for people.
    pub(crate) config_path: Option<FullPath>,
    pub(crate) default_namespace: Option<Label>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// Also where GitLab says nothing.
    Agent,
    Impersonate(Impersonation),
    CiJob,
    CiUser,
}

/// Why nobody can act by an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// None, two, or not an object.
    #[error("`access_as` does not hold exactly one mode")]
    Form,
    /// A mode of a GitLab to come.
    #[error("`access_as` holds a mode that this version does not know")]
    UnknownMode,
    /// It is off.
    #[error("`ci_user` is not switched on in this relay's configuration")]
    CiUserOff,
    /// `ci_user`, and GitLab does not say which roles the user has.
    #[error("`ci_user` needs the user's roles, which GitLab did not state")]
    NoRoles,
    /// `impersonate` with a field that is missing, of another type, or unknown.
    #[error("`impersonate` is malformed")]
    Impersonate,
    /// A user that cannot be put into headers.
    #[error("the user to act as cannot be named to the cluster")]
    Identity(#[source] BadImpersonation),
    /// The agent is listed twice, and entries are never merged.
    #[error("GitLab lists it twice")]
    Twice,
}

/// One entry as it is sent. GitLab sends more of the project than is read here, and filters that it has applied itself.
#[derive(Debug, Deserialize)]
pub(super) struct RawAllowed<'a> {
    id: Id,
    config_project: RawConfigProject,
    #[serde(borrow)]
    configuration: Option<RawConfiguration<'a>>,
}

#[derive(Debug, Deserialize)]
struct RawConfigProject {
    id: Id,
    path_with_namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct RawConfiguration<'a> {
    default_namespace: Option<String>,
    #[serde(borrow)]
    access_as: Option<&'a RawValue>,
}

impl Granted {
    pub(super) fn new(
        entries: Vec<RawAllowed<'_>>,
        roles: Box<[Box<str>]>,
        ci_user: CiUser,
    ) -> Self {
        let mut agents = HashMap::with_capacity(entries.len());
        for raw in entries {
            let id = AgentId(raw.id.get());
            match agents.entry(id) {
                Entry::Vacant(entry) => _ = entry.insert(raw.allowed(ci_user)),
                Entry::Occupied(mut entry) => {
                    let allowed: &mut Allowed = entry.get_mut();
                    allowed.mode = Err(Unusable::Twice);
                }
            }
        }
        Self { agents, roles }
    }

    pub(crate) fn agent(&self, id: AgentId) -> Option<&Allowed> {
        self.agents.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AgentId, &Allowed)> {
        self.agents.iter().map(|(id, allowed)| (*id, allowed))
    }

    /// As whom a job acts at an agent of the list.
    pub(crate) fn act_as(
        &self,
        id: AgentId,
        allowed: &Allowed,
        job: &JobIdentity,
    ) -> Result<ActAs, Unusable> {
        let config_project = Some(allowed.config_project);
        let user = match allowed.mode.as_ref().map_err(Unusable::clone)? {
            Mode::Agent => return Ok(ActAs::Agent),
            Mode::Impersonate(user) => Ok(user.clone()),
            Mode::CiJob => job.impersonation(id, config_project),
            Mode::CiUser if self.roles.is_empty() => return Err(Unusable::NoRoles),
            Mode::CiUser => job.user_impersonation(id, config_project, &self.roles),
        };
        user.map(ActAs::Impersonate).map_err(Unusable::Identity)
    }
}

/// Whether `ci_user` is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CiUser {
    Accepted,
    Refused,
}

impl RawAllowed<'_> {
    fn allowed(self, ci_user: CiUser) -> Allowed {
        let configuration = self.configuration.unwrap_or_default();
        let parse = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Allowed {
            mode: configuration
                .access_as
                .map_or(Ok(Mode::Agent), |raw| mode(raw, ci_user)),
            config_project: ProjectId(self.config_project.id.get()),
            config_path: self
                .config_project
                .path_with_namespace
                .and_then(|path| path.parse().ok()),
            // For a kubeconfig, no boundary: one that cannot be a namespace is no reason to keep anybody out.
            default_namespace: parse(configuration.default_namespace),
        }
    }
}

fn mode(raw: &RawValue, ci_user: CiUser) -> Result<Mode, Unusable> {
    let modes: HashMap<String, &RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| Unusable::Form)?;
    let mut modes = modes.into_iter();
    let (Some((name, options)), None) = (modes.next(), modes.next()) else {
        return Err(Unusable::Form);
    };
    // Of `agent`, `ci_job` and `ci_user` nothing is known that could stand in them.
    let is_plain = || {
        serde_json::from_str::<HashMap<String, IgnoredAny>>(options.get())
            .is_ok_and(|options| options.is_empty())
    };
    match name.as_str() {
        "impersonate" => {
            let user: RawImpersonation =
                serde_json::from_str(options.get()).map_err(|_| Unusable::Impersonate)?;
            user.build()
                .map(Mode::Impersonate)
                .map_err(Unusable::Identity)
        }
        "agent" if is_plain() => Ok(Mode::Agent),
        "ci_job" if is_plain() => Ok(Mode::CiJob),
        "ci_user" if ci_user == CiUser::Refused => Err(Unusable::CiUserOff),
        "ci_user" if is_plain() => Ok(Mode::CiUser),
        "agent" | "ci_job" | "ci_user" => Err(Unusable::Form),
        _ => Err(Unusable::UnknownMode),
    }
}
