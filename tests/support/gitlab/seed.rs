//! A world from a file: what the `gitlab-double` program starts with. YAML or JSON; ids and most else may be left out.

use std::{collections::BTreeMap, fs, path::Path};

use adit_identity::Tier;
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitLab, Hook, Licence, Role, TokenForm, Visibility, World};

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seed {
    token_prefix: Option<String>,
    job_tokens: TokenForm,
    has_instance_authorization: bool,
    users: Vec<UserSeed>,
    groups: Vec<GroupSeed>,
    projects: Vec<ProjectSeed>,
    agents: Vec<AgentSeed>,
    jobs: Vec<JobSeed>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserSeed {
    login: String,
    id: Option<u64>,
    /// A personal access token for each, by its scopes.
    #[serde(default)]
    tokens: Vec<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupSeed {
    path: String,
    id: Option<u64>,
    #[serde(default)]
    members: BTreeMap<String, Role>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectSeed {
    path: String,
    id: Option<u64>,
    #[serde(default)]
    visibility: Visibility,
    #[serde(default)]
    licence: Licence,
    #[serde(default)]
    members: BTreeMap<String, Role>,
    protected_branches: Option<Vec<String>>,
    #[serde(default)]
    protected_tags: Vec<String>,
    /// Names and tiers.
    #[serde(default)]
    environments: BTreeMap<String, String>,
    /// Files of the default branch, by their paths.
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    hooks: Vec<Hook>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentSeed {
    project: String,
    name: String,
    id: Option<u64>,
    /// How many active tokens: 0 to 2.
    #[serde(default)]
    tokens: usize,
    /// Posted already, as if an agent server had read it.
    configuration: Option<Value>,
}

/// A job that is to run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSeed {
    project: String,
    id: Option<u64>,
    by: Option<String>,
    branch: Option<String>,
    tag: Option<String>,
    environment: Option<String>,
    tier: Option<String>,
}

impl Seed {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_saphyr::from_str(&text)
            .with_context(|| format!("{} describes no world", path.display()))
    }

    fn highest_id(&self) -> u64 {
        let users = self.users.iter().map(|one| one.id);
        let ids = users
            .chain(self.groups.iter().map(|one| one.id))
            .chain(self.projects.iter().map(|one| one.id))
            .chain(self.agents.iter().map(|one| one.id))
            .chain(self.jobs.iter().map(|one| one.id));
        ids.flatten().max().unwrap_or(0)
    }
}

impl GitLab {
    /// Makes all of it: what others need to know of it, secrets included.
    ///
    /// # Errors
    ///
    /// A tier is none, an entry has no id, or a job's id is taken.
    ///
    /// # Panics
    ///
    /// When another id is taken twice, or something refers to what is not there.
    pub fn seed(&self, seed: &Seed) -> Result<Value> {
        let mut world = self.world();
        world.keep_free(seed.highest_id());
        world.settings.token_prefix.clone_from(&seed.token_prefix);
        world.settings.job_tokens = seed.job_tokens;
        world.settings.has_instance_authorization = seed.has_instance_authorization;
        let users: Vec<_> = seed
            .users
            .iter()
            .map(|user| world.seed_user(user))
            .collect();
        for group in &seed.groups {
            world.seed_group(group);
        }
        for project in &seed.projects {
            world.seed_project(project)?;
        }
        let agents: Result<Vec<_>> = seed
            .agents
            .iter()
            .map(|agent| world.seed_agent(agent))
            .collect();
        drop(world);
        let jobs: Result<Vec<_>> = seed.jobs.iter().map(|job| self.run(job)).collect();
        Ok(json!({
            "url": self.url(),
            "secret_file": self.secret_file(),
            "gitaly": self.gitaly().address,
            "users": users,
            "agents": agents?,
            "jobs": jobs?,
        }))
    }

    /// Starts a job: its id, its token, and its KUBECONFIG.
    ///
    /// # Errors
    ///
    /// Its tier is none, its project is not there, or its id is taken.
    pub fn run(&self, seed: &JobSeed) -> Result<Value> {
        let (id, token) = {
            let mut world = self.world();
            let id = world.seed_job(seed)?;
            (id, world.job_of(id).token().to_owned())
        };
        Ok(json!({ "id": id, "token": token, "kubeconfig": self.kubeconfig(id) }))
    }
}

impl World {
    fn numbered(&mut self, id: Option<u64>) -> &mut Self {
        if let Some(id) = id {
            self.number(id);
        }
        self
    }

    fn seed_user(&mut self, seed: &UserSeed) -> Value {
        let id = self.numbered(seed.id).user(&seed.login);
        let tokens: Vec<_> = seed
            .tokens
            .iter()
            .map(|scopes| {
                let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
                self.personal_token(id, &scopes)
            })
            .collect();
        json!({ "id": id, "login": seed.login, "tokens": tokens })
    }

    fn seed_group(&mut self, seed: &GroupSeed) {
        // Those above first, so that the id is this one's.
        if let Some((parent, _)) = seed.path.rsplit_once('/') {
            self.group(parent);
        }
        self.numbered(seed.id).group(&seed.path);
        self.seed_members(&seed.path, &seed.members);
    }

    fn seed_project(&mut self, seed: &ProjectSeed) -> Result<()> {
        let parent = seed.path.rsplit_once('/').map(|(parent, _)| parent);
        if let Some(parent) = parent.filter(|parent| self.find_namespace(parent).is_none()) {
            self.group(parent);
        }
        let id = self.numbered(seed.id).project(&seed.path);
        let project = self.project_mut(&seed.path);
        project.visibility = seed.visibility;
        project.licence = seed.licence;
        project.hooks.clone_from(&seed.hooks);
        project.protected_tags.clone_from(&seed.protected_tags);
        if let Some(branches) = &seed.protected_branches {
            project.protected_branches.clone_from(branches);
        }
        self.seed_members(&seed.path, &seed.members);
        for (name, tier) in &seed.environments {
            let environment = self.environment(id, name);
            self.environment_mut(environment).tier = tier.parse()?;
        }
        let files: Vec<_> = seed
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        if !files.is_empty() {
            self.repository(id).commit(&files);
        }
        Ok(())
    }

    fn seed_members(&mut self, path: &str, members: &BTreeMap<String, Role>) {
        for (login, role) in members {
            self.member(login, path, *role);
        }
    }

    fn seed_agent(&mut self, seed: &AgentSeed) -> Result<Value> {
        let id = self.numbered(seed.id).agent(&seed.project, &seed.name);
        let tokens: Result<Vec<_>, _> = (0..seed.tokens).map(|_| self.agent_token(id)).collect();
        let tokens = tokens.map_err(|_| anyhow!("{} has too many tokens", seed.name))?;
        if let Some(configuration) = &seed.configuration {
            self.configure(id, configuration)
                .map_err(|_| anyhow!("an entry of {} has no id", seed.name))?;
        }
        Ok(json!({ "id": id, "name": seed.name, "project": seed.project, "tokens": tokens }))
    }

    fn seed_job(&mut self, seed: &JobSeed) -> Result<u64> {
        let tier: Option<Tier> = seed.tier.as_deref().map(str::parse).transpose()?;
        self.find_project(&seed.project)
            .with_context(|| format!("there is no project {}", seed.project))?;
        if let Some(id) = seed.id {
            self.reserve(id)?;
        }
        let mut job = self.job(&seed.project);
        if let Some(id) = seed.id {
            job = job.numbered(id);
        }
        if let Some(login) = &seed.by {
            job = job.by(login);
        }
        if let Some(branch) = &seed.branch {
            job = job.on_branch(branch);
        }
        if let Some(tag) = &seed.tag {
            job = job.on_tag(tag);
        }
        job = match (&seed.environment, tier) {
            (Some(name), Some(tier)) => job.environment_of_tier(name, tier),
            (Some(name), None) => job.environment(name),
            (None, _) => job,
        };
        Ok(job.run())
    }
}
