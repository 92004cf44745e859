//! The grants of agents' configurations as a table: who gets in, and with which entry. Written from GitLab's rules (its order of
//! precedence, its filters, its modes); read by the test of this double, and by tests of whoever decides or passes on the same.
//!
//! All cases happen in one place, [`arrange`]: the agent `main` of `top/config`, `second` of `top/mid/config`, `own` of
//! `alice/config`, `foreign` of `other/config`.
//!
//! ```text
//! top ─┬─ config, app            alice ─── config, tool      other ─── config, app
//!      ├─ mid ─┬─ config, app    bob ───── tool
//!      │       └─ low ── app
//!      └─ side ─ app
//! ```

use serde_json::{Value, json};

use super::{Licence, World};

mod filters;
mod groups;
mod modes;
mod projects;

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct GrantCase {
    /// What is so.
    pub name: &'static str,
    /// Agents and their configuration files.
    pub configured: &'static [(&'static str, &'static str)],
    pub job: CaseJob,
    /// "Enable instance level authorization".
    pub has_instance_authorization: bool,
    /// Agents that the job may use, each with its entry as JSON without the id, in GitLab's order.
    pub allowed: &'static [(&'static str, &'static str)],
}

/// The job that asks.
#[derive(Clone, Copy, Debug)]
pub struct CaseJob {
    pub project: &'static str,
    pub environment: Option<&'static str>,
    pub is_environment_stored: bool,
    pub git_ref: CaseRef,
    pub licence: Licence,
}

#[derive(Clone, Copy, Debug)]
pub enum CaseRef {
    Branch(&'static str),
    Tag(&'static str),
}

/// A job of a project on its protected branch, without an environment.
const fn job(project: &'static str) -> CaseJob {
    CaseJob {
        project,
        environment: None,
        is_environment_stored: true,
        git_ref: CaseRef::Branch("main"),
        licence: Licence::Premium,
    }
}

impl CaseJob {
    const fn to(mut self, environment: &'static str) -> Self {
        self.environment = Some(environment);
        self
    }

    const fn before_it_is_stored(mut self) -> Self {
        self.is_environment_stored = false;
        self
    }

    const fn on(mut self, git_ref: CaseRef) -> Self {
        self.git_ref = git_ref;
        self
    }

    const fn licensed(mut self, licence: Licence) -> Self {
        self.licence = licence;
        self
    }
}

/// A case with one thing left to say: who is allowed.
const fn case(
    name: &'static str,
    job: CaseJob,
    configured: &'static [(&'static str, &'static str)],
    allowed: &'static [(&'static str, &'static str)],
) -> GrantCase {
    GrantCase {
        name,
        configured,
        job,
        has_instance_authorization: false,
        allowed,
    }
}

impl GrantCase {
    const fn with_instance_authorization(mut self) -> Self {
        self.has_instance_authorization = true;
        self
    }

    /// Sets the case up: the id of its job, which runs.
    pub fn arrange(&self, world: &mut World) -> u64 {
        world.settings.has_instance_authorization = self.has_instance_authorization;
        arrange(world);
        for (name, yaml) in self.configured {
            let agent = agent(world, name);
            world.configure_yaml(agent, yaml).unwrap();
        }
        world.project_mut(self.job.project).licence = self.job.licence;
        let mut job = world.job(self.job.project).by("dev1");
        job = match self.job.git_ref {
            CaseRef::Branch(name) => job.on_branch(name),
            CaseRef::Tag(name) => job.on_tag(name),
        };
        if let Some(environment) = self.job.environment {
            job = job.environment(environment);
        }
        if !self.job.is_environment_stored {
            job = job.unpersisted();
        }
        job.run()
    }

    /// What GitLab's answer says: names of agents and their entries.
    #[must_use]
    pub fn expected(&self) -> Vec<(String, Value)> {
        self.allowed
            .iter()
            .map(|(name, entry)| {
                let entry = serde_json::from_str(entry).expect("an entry in JSON");
                ((*name).to_owned(), entry)
            })
            .collect()
    }
}

/// All cases.
#[must_use]
pub fn grant_cases() -> Vec<GrantCase> {
    [projects::CASES, groups::CASES, filters::CASES, modes::CASES].concat()
}

/// The place of all cases.
pub fn arrange(world: &mut World) {
    for login in ["alice", "bob", "dev1"] {
        world.user(login);
    }
    for path in [
        "top/app",
        "top/mid/app",
        "top/mid/low/app",
        "top/side/app",
        "other/app",
        "alice/tool",
        "bob/tool",
    ] {
        let id = world.project(path);
        let project = world.project_mut(path);
        project.protected_branches = vec!["main".to_owned(), "release/*".to_owned()];
        project.protected_tags = vec!["v*".to_owned()];
        assert_eq!(project.id, id);
    }
    for name in AGENTS {
        agent(world, name.0);
    }
}

/// Each agent and its configuration project.
const AGENTS: [(&str, &str); 4] = [
    ("main", "top/config"),
    ("second", "top/mid/config"),
    ("own", "alice/config"),
    ("foreign", "other/config"),
];

/// The agents of all cases, with their ids.
pub fn agents(world: &mut World) -> Vec<(&'static str, u64)> {
    AGENTS
        .into_iter()
        .map(|(name, project)| (name, world.agent(project, name)))
        .collect()
}

/// The configuration project of a case's agent.
///
/// # Panics
///
/// When it is none's.
#[must_use]
pub fn project_of(agent: &str) -> &'static str {
    let found = AGENTS.into_iter().find(|(name, _)| *name == agent);
    found.expect("a case's agent").1
}

fn agent(world: &mut World, name: &str) -> u64 {
    world.agent(project_of(name), name)
}

/// Configurations with more entries than count: `count` unknown projects or groups, then `last`.
#[must_use]
pub fn crowded(list: &str, count: usize, last: &str) -> Value {
    let mut entries: Vec<_> = (0..count)
        .map(|number| json!({ "id": format!("top/unknown-{number}") }))
        .collect();
    entries.push(json!({ "id": last }));
    json!({ "ci_access": { list: entries } })
}
