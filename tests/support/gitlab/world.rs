//! What this GitLab holds: namespaces, projects, users, agents, jobs. Called by tests, which arrange it, and by the endpoints,
//! which answer from it. Invariant: every id belongs to one thing, whatever its kind, so that a caller which mixes up the id of
//! a project and that of a group is found out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;

mod agent;
mod environment;
mod job;
mod job_token;
mod member;
mod namespace;
mod project;
mod protected;
mod random;
mod repository;
mod user;

pub use agent::{Agent, AgentToken, TooManyTokens};
pub use environment::Environment;
pub use job::{Job, JobBuilder, JobStatus};
pub use job_token::TokenForm;
pub use member::Role;
pub use namespace::{Kind, Namespace};
pub use project::{Hook, Licence, Project, Visibility};
pub use repository::{Repository, TreeItem, TreeKind};
pub(super) use user::Cookie;
pub use user::{PersonalToken, Session, User};

/// Everything in it.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    taken_ids: BTreeSet<u64>,
    next_id: Option<u64>,
    /// Ids up to here are given on demand only.
    kept_free: u64,
    repositories: PathBuf,
    namespaces: BTreeMap<u64, Namespace>,
    projects: BTreeMap<u64, Project>,
    users: BTreeMap<u64, User>,
    members: Vec<member::Member>,
    agents: BTreeMap<u64, Agent>,
    environments: BTreeMap<u64, Environment>,
    jobs: BTreeMap<u64, Job>,
    /// What was told by `usage_metrics` and `agent_events`, as it came.
    pub telemetry: Vec<Value>,
}

/// Something else has the id already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id {0} is taken: leave `id` out, and the double gives one")]
pub(super) struct TakenId(u64);

/// What an administrator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where browsers and jobs find it, such as `https://gitlab.test`: the claim `iss`, and in the pages' links.
    pub external_url: String,
    /// Where jobs find the Kubernetes API, as it stands in their kubeconfig.
    pub k8s_proxy_url: String,
    /// Stands in front of new tokens, such as `acme` in `acme-glagent-…`.
    pub token_prefix: Option<String>,
    /// The form of new jobs' tokens.
    pub job_tokens: TokenForm,
    /// "Enable instance level authorization": grants may cross top-level groups, and `ci_access.instance` counts.
    pub has_instance_authorization: bool,
}

impl World {
    pub(super) fn new(settings: Settings, repositories: &Path) -> Self {
        Self {
            settings,
            taken_ids: BTreeSet::new(),
            next_id: None,
            kept_free: 0,
            repositories: repositories.to_owned(),
            namespaces: BTreeMap::new(),
            projects: BTreeMap::new(),
            users: BTreeMap::new(),
            members: Vec::new(),
            agents: BTreeMap::new(),
            environments: BTreeMap::new(),
            jobs: BTreeMap::new(),
            telemetry: Vec::new(),
        }
    }

    /// Gives the next thing made this id.
    pub fn number(&mut self, id: u64) -> &mut Self {
        self.next_id = Some(id);
        self
    }

    /// Gives ids up to this one only to those that are numbered.
    pub(super) fn keep_free(&mut self, id: u64) {
        self.kept_free = self.kept_free.max(id);
    }

    /// Keeps an id for what is about to be made, and for nothing that is made on its way.
    ///
    /// # Errors
    ///
    /// Something has it.
    pub(super) fn reserve(&mut self, id: u64) -> Result<(), TakenId> {
        if self.taken_ids.contains(&id) {
            return Err(TakenId(id));
        }
        self.keep_free(id);
        Ok(())
    }

    /// The id that was asked for, or else the one after the highest.
    ///
    /// # Panics
    ///
    /// When it is taken.
    fn take_id(&mut self) -> u64 {
        let highest = self.taken_ids.last().copied().unwrap_or(0);
        let highest = highest.max(self.kept_free);
        let id = self.next_id.take().unwrap_or(highest + 1);
        assert!(self.taken_ids.insert(id), "the id {id} is taken");
        id
    }
}

/// A path in the form in which GitLab compares them.
fn fold(path: &str) -> String {
    path.to_lowercase()
}
