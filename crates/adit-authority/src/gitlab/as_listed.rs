//! An entry of an agent's file as if GitLab had listed the agent for a job because of it. For those who want to know beforehand what
//! the relay makes of it; see [`crate::Question`].

use adit_identity::{AgentId, ProjectId};
use serde_json::{Value, json};

use super::granted::{CiUser, Granted, RawAllowed};

impl Granted {
    /// GitLab's list with this one agent. `options` are the entry without its `id`.
    pub(crate) fn as_listed(agent: AgentId, config_project: ProjectId, options: &Value) -> Self {
        let listed = json!([{
            "id": agent.0,
            "config_project": { "id": config_project.0 },
            "configuration": options,
        }]);
        let text = listed.to_string();
        // Ids of 0, which GitLab does not give, and options of other types, which a checked file has not, list nobody.
        let entries: Vec<RawAllowed<'_>> = serde_json::from_str(&text).unwrap_or_default();
        Self::new(entries, Box::default(), CiUser::Refused)
    }
}
