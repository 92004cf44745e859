//! The agents that a relay's config names: who they are, by which tokens they come in, which jobs may use them.
//! Read at start and at each reload; the tunnel's front asks [`AgentTokens`], the rest goes to [`crate::Authoriser`].
//! Invariant: ids, names within a project, and tokens are each unique, so a token means one agent.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use adit_identity::{
    AgentId, FullPath, JobIdentity, Label, ProjectId,
    mistakes::{Key, Mistakes},
};
use serde::Deserialize;

use crate::{
    AccessAs,
    ci_access::{CiAccess, Grant, RawCiAccess},
    token::TokenHash,
};

/// An agent as it stands in a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAgent {
    /// A number above 0, never used for another agent: it stands in kubeconfigs. GitLab's own for an agent that GitLab lets jobs use, of
    /// your choice otherwise. Required.
    pub id: u64,
    /// Lower-case letters, digits, dashes; at most 63; unique in its project: GitLab's rule, and half of the context's name. Required.
    pub name: String,
    /// Full path of the agent's config project. Its jobs may use the agent; the context is `<project>:<name>`. Required.
    pub project: String,
    /// That project's id, for the extra `agent.gitlab.com/config_project_id`, and to tell the project from another that took its path
    /// later. With `gitlab`, the agent must be of this project there.
    pub project_id: Option<u64>,
    /// Who vouches for the jobs that may use the agent: `[oidc]`, by `ci_access` here; `[gitlab]`, by GitLab's own configuration of the
    /// agent with this id; or both. Required when the relay has both: an id of your choice is somebody else's agent at GitLab, and must not
    /// become it by itself. Default: the only one.
    pub authorities: Option<Vec<RawAuthority>>,
    /// Whose jobs may use the agent; required with several issuers: each may have a project of that path. Default: the only one.
    pub issuer: Option<String>,
    /// Hashes as `adit token new` prints them. Two while a token is replaced. None is needed for GitLab's agent with
    /// `authorities.gitlab.api_secret_file`, which has GitLab's token. Required.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// Which other jobs with ID tokens may use the agent, in GitLab's form. Default: own project only.
    pub ci_access: Option<RawCiAccess>,
}

/// Who can vouch for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawAuthority {
    /// An issuer of ID tokens.
    Oidc,
    /// GitLab's own API.
    GitLab,
}

/// The authorities of a relay, as agents may name them.
#[derive(Clone, Copy, Debug)]
pub struct Authorities<'a> {
    /// The URLs of all issuers of ID tokens.
    pub issuers: &'a [Box<str>],
    /// Whether GitLab's API is asked.
    pub has_gitlab: bool,
    /// Whether it is asked about agents' tokens, too.
    pub knows_agents: bool,
}

/// One agent, checked.
#[derive(Debug)]
pub struct Agent {
    id: AgentId,
    project: FullPath,
    project_id: Option<ProjectId>,
    context: Box<str>,
    /// Whose ID tokens are accepted for it, if any are.
    issuer: Option<Box<str>>,
    /// Whether it is the agent that GitLab knows by this id.
    is_gitlabs: bool,
    ci_access: CiAccess,
}

impl Agent {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.id
    }

    /// `<config project path>:<agent name>`: the name of its context in a kubeconfig, and its name in messages.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The path of its project.
    pub(crate) fn project(&self) -> &FullPath {
        &self.project
    }

    /// Its name in its project.
    pub(crate) fn name(&self) -> &str {
        self.context.rsplit(':').next().unwrap_or_default()
    }

    /// The id of its project, where the configuration says it.
    #[must_use]
    pub fn project_id(&self) -> Option<ProjectId> {
        self.project_id
    }

    /// Whether GitLab knows it by the same id.
    #[must_use]
    pub fn is_at_gitlab(&self) -> bool {
        self.is_gitlabs
    }

    /// Whether this project of GitLab's is the one that it belongs to.
    #[must_use]
    pub fn belongs_to(&self, id: ProjectId, path: &FullPath) -> bool {
        let is_same = self.project_id.map(|own| own == id);
        self.is_gitlabs && is_same.unwrap_or_else(|| self.project == *path)
    }

    pub(crate) fn trusts_issuer_of(&self, job: &JobIdentity) -> bool {
        self.issuer.as_ref() == Some(&job.issuer)
    }

    /// Whether it is the agent of this id and project at GitLab.
    fn is_gitlabs(&self, project: ProjectId) -> bool {
        self.is_gitlabs && self.project_id.is_none_or(|own| own == project)
    }

    pub(crate) fn grant(&self, job: &JobIdentity) -> Option<&Grant> {
        let same_id = self.project_id.is_none_or(|id| id == job.project.id);
        self.ci_access.grant(
            job,
            same_id && job.project.path.as_ref() == Some(&self.project),
        )
    }
}

/// All agents of a relay.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    pub(crate) by_id: HashMap<AgentId, Arc<Agent>>,
    tokens: AgentTokens,
}

impl Agents {
    /// The agents of a file, or what is wrong with them. `default_access` is as whom jobs act where `ci_access` does not say.
    pub fn check(
        raw: Vec<RawAgent>,
        authorities: Authorities<'_>,
        default_access: &AccessAs,
        key: &Key,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let count = raw.len();
        let mut agents = Self::default();
        let mut contexts = HashSet::new();
        for (at, raw) in raw.into_iter().enumerate() {
            let key = key.index(at);
            let tokens = raw.check_tokens(authorities, &key.field("tokens"), mistakes);
            let Some(agent) = raw.check(authorities, default_access, &key, mistakes) else {
                continue;
            };
            if !contexts.insert(agent.context.to_ascii_lowercase()) {
                mistakes.add(
                    &key.field("name"),
                    format_args!("another agent is called `{}`, too", agent.context),
                );
            }
            agents
                .tokens
                .add(agent.id, tokens, &key.field("tokens"), mistakes);
            let id = agent.id;
            if agents.by_id.insert(id, Arc::new(agent)).is_some() {
                mistakes.add(
                    &key.field("id"),
                    format_args!("another agent has the id {id}, too"),
                );
            }
        }
        (agents.by_id.len() == count).then_some(agents)
    }

    /// How agents come in.
    #[must_use]
    pub fn tokens(&self) -> &AgentTokens {
        &self.tokens
    }

    /// Whether an id may mean GitLab's agent in this project: it is marked as that, or no agent here has the id.
    #[must_use]
    pub fn may_be_gitlabs(&self, id: AgentId, project: ProjectId) -> bool {
        self.agent(id).is_none_or(|agent| agent.is_gitlabs(project))
    }

    /// Those that GitLab knows by the same id.
    pub fn at_gitlab(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.by_id.values().filter(|agent| agent.is_at_gitlab())
    }

    /// The ids of all.
    pub fn ids(&self) -> impl Iterator<Item = AgentId> {
        self.by_id.keys().copied()
    }

    /// An agent by its id.
    #[must_use]
    pub fn agent(&self, id: AgentId) -> Option<&Arc<Agent>> {
        self.by_id.get(&id)
    }
}

/// Which agent a token belongs to.
#[derive(Clone, Debug, Default)]
pub struct AgentTokens(HashMap<TokenHash, AgentId>);

impl AgentTokens {
    /// The agent whose token has this hash: asked for each call of an agent, and again for its live tunnels after a reload, to end
    /// those whose token is no longer listed. Takes the same time for every hash, listed or not, but for what the look-up tells, from
    /// which no token can be found.
    #[must_use]
    pub fn holder(&self, token: &TokenHash) -> Option<AgentId> {
        self.0.get(token).copied()
    }

    fn add(&mut self, agent: AgentId, tokens: Vec<TokenHash>, key: &Key, mistakes: &mut Mistakes) {
        for token in tokens {
            if let Some(other) = self.0.insert(token, agent) {
                mistakes.add(
                    key,
                    format_args!("{token} stands twice, first for agent {other}"),
                );
            }
        }
    }
}

impl RawAgent {
    fn check_tokens(
        &self,
        authorities: Authorities<'_>,
        key: &Key,
        mistakes: &mut Mistakes,
    ) -> Vec<TokenHash> {
        let named = self.authorities.as_deref();
        let is_gitlabs = named.is_none_or(|named| named.contains(&RawAuthority::GitLab));
        if self.tokens.is_empty() && !(is_gitlabs && authorities.knows_agents) {
            mistakes.add(
                key,
                "without a token the agent can never connect: `adit token new` makes one",
            );
        }
        let texts = self.tokens.iter().enumerate();
        texts
            .filter_map(|(at, text)| mistakes.check(&key.index(at), text.parse()))
            .collect()
    }

    fn check(
        self,
        authorities: Authorities<'_>,
        default_access: &AccessAs,
        key: &Key,
        mistakes: &mut Mistakes,
    ) -> Option<Agent> {
        if self.id == 0 {
            mistakes.add(&key.field("id"), "must be above 0");
        }
        if self.project_id == Some(0) {
            mistakes.add(&key.field("project_id"), "must be above 0");
        }
        let name = mistakes.check(&key.field("name"), self.name.parse::<Label>());
        let project = mistakes.check(&key.field("project"), FullPath::of_project(&self.project));
        let vouching = Vouching::check(self.authorities.as_deref(), authorities, key, mistakes);
        let issuer = match vouching {
            Some(Vouching { has_oidc: true, .. }) => mistakes
                .check(
                    &key.field("issuer"),
                    choose_issuer(self.issuer, authorities.issuers),
                )
                .map(Some),
            Some(_) => {
                forbid(self.issuer.is_some(), &key.field("issuer"), mistakes);
                forbid(self.ci_access.is_some(), &key.field("ci_access"), mistakes);
                Some(None)
            }
            None => None,
        };
        let ci_access = CiAccess::check(
            self.ci_access.unwrap_or_default(),
            default_access,
            &key.field("ci_access"),
            mistakes,
        );
        let project = project?;
        Some(Agent {
            id: AgentId(self.id),
            context: format!("{project}:{}", name?).into(),
            project,
            project_id: self.project_id.map(ProjectId),
            issuer: issuer?,
            is_gitlabs: vouching?.has_gitlab,
            ci_access: ci_access?,
        })
    }
}

/// Who vouches for the jobs of one agent.
#[derive(Clone, Copy, Debug)]
struct Vouching {
    has_oidc: bool,
    has_gitlab: bool,
}

impl Vouching {
    fn check(
        wanted: Option<&[RawAuthority]>,
        authorities: Authorities<'_>,
        key: &Key,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let key = key.field("authorities");
        let has_gitlab = authorities.has_gitlab;
        let wrong = match wanted {
            None if has_gitlab && !authorities.issuers.is_empty() => {
                "the relay has issuers and a GitLab: say whose jobs may use this agent, [oidc], [gitlab] or both"
            }
            None => {
                return Some(Self {
                    has_oidc: !has_gitlab,
                    has_gitlab,
                });
            }
            Some([]) => "lists nobody, so no job could ever use this agent",
            Some(wanted) if wanted.contains(&RawAuthority::GitLab) && !has_gitlab => {
                "the relay asks no GitLab: authorities.gitlab is missing"
            }
            Some(wanted) => {
                return Some(Self {
                    has_oidc: wanted.contains(&RawAuthority::Oidc),
                    has_gitlab: wanted.contains(&RawAuthority::GitLab),
                });
            }
        };
        mistakes.add(&key, wrong);
        None
    }
}

fn forbid(is_there: bool, key: &Key, mistakes: &mut Mistakes) {
    if is_there {
        mistakes.add(
            key,
            "is about jobs with ID tokens, and this agent is for those that GitLab itself lets in",
        );
    }
}

fn choose_issuer(wanted: Option<String>, issuers: &[Box<str>]) -> Result<Box<str>, String> {
    match (wanted, issuers) {
        (Some(wanted), _) => issuers
            .iter()
            .find(|issuer| ***issuer == wanted)
            .cloned()
            .ok_or_else(|| format!("no issuer of this relay is called `{wanted}`")),
        (None, [only]) => Ok(only.clone()),
        (None, []) => {
            Err("the relay has no issuer, so no job could ever use this agent".to_owned())
        }
        (None, [_, _, ..]) => {
            Err("the relay has several issuers: say whose jobs may use this agent".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
