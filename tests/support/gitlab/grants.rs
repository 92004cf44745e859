//! What GitLab keeps of an agent's configuration when it is posted: a row for each project and group that it knows and may
//! be granted. Called by the endpoint and by tests. Invariant: a post replaces all that was there before.
//!
//! As GitLab does it: the first 500 entries of each list count; of several entries for one path the last wins, in the place
//! of the first; unknown paths, and those outside the agent's top-level group, vanish without a word.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::world::{Agent, Kind, World};

/// The rows.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    pub(super) projects: BTreeMap<u64, Value>,
    pub(super) groups: BTreeMap<u64, Value>,
    pub(super) instance: Option<Value>,
    pub(super) user_projects: Vec<u64>,
    pub(super) user_groups: Vec<u64>,
    /// `user_access` without its lists.
    pub(super) user_access: Option<Value>,
}

/// An entry without the id that says what it grants: GitLab fails over it, and keeps nothing of the post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryWithoutId;

/// Entries of one list that count.
const MAX_ENTRIES: usize = 500;

impl World {
    /// Posts an agent's configuration, as the agent server does it.
    ///
    /// # Errors
    ///
    /// GitLab fails over it.
    ///
    /// # Panics
    ///
    /// When there is no such agent.
    pub fn configure(&mut self, agent: u64, configuration: &Value) -> Result<(), EntryWithoutId> {
        let agent = self.agent_of(agent);
        let (id, ci, user) = (
            agent.id,
            &configuration["ci_access"],
            &configuration["user_access"],
        );
        let grants = Grants {
            projects: self.grantable(agent, entries(&ci["projects"])?, Self::grantable_project),
            groups: self.grantable(agent, entries(&ci["groups"])?, Self::grantable_group),
            instance: ci
                .get("instance")
                .filter(|entry| entry.is_object())
                .cloned(),
            user_projects: self
                .grantable(agent, entries(&user["projects"])?, Self::grantable_project)
                .into_keys()
                .collect(),
            user_groups: self
                .grantable(agent, entries(&user["groups"])?, Self::grantable_group)
                .into_keys()
                .collect(),
            user_access: user
                .as_object()
                .filter(|block| !block.is_empty())
                .map(without_lists),
        };
        if let Some(agent) = self.agent_mut(id) {
            agent.grants = grants;
        }
        Ok(())
    }

    /// The same from the text of a configuration file.
    ///
    /// # Errors
    ///
    /// GitLab fails over it.
    ///
    /// # Panics
    ///
    /// When it is not YAML.
    pub fn configure_yaml(&mut self, agent: u64, yaml: &str) -> Result<(), EntryWithoutId> {
        let configuration: Value = serde_saphyr::from_str(yaml).expect("it is YAML");
        self.configure(agent, &configuration)
    }

    fn grantable(
        &self,
        agent: &Agent,
        entries: BTreeMap<String, Value>,
        find: fn(&Self, &Agent, &str) -> Option<u64>,
    ) -> BTreeMap<u64, Value> {
        entries
            .into_iter()
            .filter_map(|(path, entry)| Some((find(self, agent, &path)?, entry)))
            .collect()
    }

    fn grantable_project(&self, agent: &Agent, path: &str) -> Option<u64> {
        let id = self.find_project(path)?.id;
        self.may_grant(agent, self.project_root(id)).then_some(id)
    }

    fn grantable_group(&self, agent: &Agent, path: &str) -> Option<u64> {
        let id = self.find_group(path)?;
        let own = self.namespace(self.project_root(agent.project));
        let is_in_group = own.kind == Kind::Group || self.settings.has_instance_authorization;
        (is_in_group && self.may_grant(agent, self.root(id))).then_some(id)
    }

    fn may_grant(&self, agent: &Agent, root: u64) -> bool {
        self.settings.has_instance_authorization || root == self.project_root(agent.project)
    }
}

/// A list's entries by their paths in lower case, without their ids.
fn entries(list: &Value) -> Result<BTreeMap<String, Value>, EntryWithoutId> {
    let mut entries = BTreeMap::new();
    for entry in list.as_array().into_iter().flatten().take(MAX_ENTRIES) {
        let mut entry = entry.as_object().cloned().ok_or(EntryWithoutId)?;
        let id = entry.remove("id");
        let id = id.as_ref().and_then(Value::as_str).ok_or(EntryWithoutId)?;
        entries.insert(id.to_lowercase(), Value::Object(entry));
    }
    Ok(entries)
}

fn without_lists(block: &Map<String, Value>) -> Value {
    let mut block = block.clone();
    block.remove("projects");
    block.remove("groups");
    Value::Object(block)
}
