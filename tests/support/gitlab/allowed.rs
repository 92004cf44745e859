//! Which agents a job may use: GitLab's order of precedence and its filters. Called for `allowed_agents` and for kubeconfigs.
//! Invariant: entries are never merged; the nearest one decides, even when a filter then removes it.

use serde_json::{Value, json};

use super::{
    environment_pattern::{self, BadPattern},
    world::{Agent, Job, Licence, World},
};

/// An agent and the entry that grants it.
#[derive(Clone, Debug)]
pub(super) struct Allowed<'a> {
    pub(super) agent: &'a Agent,
    pub(super) configuration: Value,
}

impl World {
    /// The agents of a job's project that pass for its ref, and for this environment.
    pub(super) fn allowed(
        &self,
        job: &Job,
        environment: Option<&str>,
    ) -> Result<Vec<Allowed<'_>>, BadPattern> {
        let is_ref_protected = self.is_protected(job);
        let mut passed = Vec::new();
        for allowed in self.nearest(job.project) {
            let entry = &allowed.configuration;
            let is_passing = passes_environment(&entry["environments"], environment)?;
            if is_passing && (is_ref_protected || !is_true(&entry["protected_branches_only"])) {
                passed.push(allowed);
            }
        }
        Ok(passed)
    }

    /// Each agent once, by the entry that is nearest to the project.
    fn nearest(&self, project: u64) -> Vec<Allowed<'_>> {
        let mut found: Vec<Allowed<'_>> = Vec::new();
        let all = self
            .by_project(project)
            .chain(self.implicit(project))
            .chain(self.by_group(project))
            .chain(self.by_instance(project));
        for allowed in all {
            if !found.iter().any(|one| one.agent.id == allowed.agent.id) {
                found.push(allowed);
            }
        }
        found
    }

    fn by_project(&self, project: u64) -> impl Iterator<Item = Allowed<'_>> {
        let licence = self.project_of(project).licence;
        self.agents_in_reach(project).filter_map(move |agent| {
            let entry = agent.grants.projects.get(&project)?;
            is_licensed(entry, licence).then(|| Allowed::new(agent, entry))
        })
    }

    fn implicit(&self, project: u64) -> impl Iterator<Item = Allowed<'_>> {
        self.agents()
            .filter(move |agent| agent.project == project)
            .map(|agent| Allowed::new(agent, &json!({})))
    }

    fn by_group(&self, project: u64) -> impl Iterator<Item = Allowed<'_>> {
        let licence = self.project_of(project).licence;
        let groups = self.project_groups(project);
        self.agents_in_reach(project).filter_map(move |agent| {
            let entry = groups
                .iter()
                .filter_map(|group| agent.grants.groups.get(group))
                .find(|entry| is_licensed(entry, licence))?;
            Some(Allowed::new(agent, entry))
        })
    }

    fn by_instance(&self, project: u64) -> impl Iterator<Item = Allowed<'_>> {
        let licence = self.project_of(project).licence;
        self.agents()
            .filter(|_| self.settings.has_instance_authorization)
            .filter_map(move |agent| {
                let entry = agent.grants.instance.as_ref()?;
                is_licensed(entry, licence).then(|| Allowed::new(agent, entry))
            })
    }

    /// Agents whose own project shares the top-level group.
    fn agents_in_reach(&self, project: u64) -> impl Iterator<Item = &Agent> {
        let root = self.project_root(project);
        self.agents().filter(move |agent| {
            self.settings.has_instance_authorization || self.project_root(agent.project) == root
        })
    }
}

impl<'a> Allowed<'a> {
    fn new(agent: &'a Agent, configuration: &Value) -> Self {
        Self {
            agent,
            configuration: configuration.clone(),
        }
    }
}

/// Whether the project's licence has the mode. An entry that it has not is as if it were not there.
fn is_licensed(entry: &Value, licence: Licence) -> bool {
    const PREMIUM: [&str; 3] = ["ci_job", "ci_user", "impersonate"];
    let Some(mode) = entry.get("access_as").and_then(Value::as_object) else {
        return true;
    };
    let has = |name: &str| mode.contains_key(name);
    mode.is_empty() || has("agent") || (licence >= Licence::Premium && PREMIUM.into_iter().any(has))
}

fn passes_environment(patterns: &Value, environment: Option<&str>) -> Result<bool, BadPattern> {
    let patterns = patterns.as_array().map_or(&[][..], Vec::as_slice);
    if patterns.is_empty() {
        return Ok(true);
    }
    let Some(environment) = environment else {
        return Ok(false);
    };
    for pattern in patterns.iter().filter_map(Value::as_str) {
        if environment_pattern::matches(pattern, environment)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// In Ruby, everything but nothing and false.
fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}
