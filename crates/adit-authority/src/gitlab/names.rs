//! What GitLab calls the agents whose tokens it has vouched for: its answer about a job names them by id alone. Written by
//! [`super::agents`], read by [`crate::Authoriser`]. For people: nothing is decided by a name.
//! Invariant: what is held is bounded.

use std::collections::HashMap;

use adit_identity::{AgentId, Label, ProjectId};
use parking_lot::RwLock;

/// Agents named; beyond it one of the others is forgotten, and called by its id.
const MOST: usize = 10_000;

/// Names by id.
#[derive(Debug, Default)]
pub struct AgentNames(RwLock<HashMap<AgentId, (ProjectId, Label)>>);

impl AgentNames {
    pub(super) fn note(&self, id: AgentId, project: ProjectId, name: &Label) {
        let mut names = self.0.write();
        if names.len() >= MOST
            && let Some(any) = names.keys().next().copied()
        {
            names.remove(&any);
        }
        names.insert(id, (project, name.clone()));
    }

    /// The name of the agent of this id and project.
    pub(crate) fn find(&self, id: AgentId, project: ProjectId) -> Option<Label> {
        let names = self.0.read();
        let (of, name) = names.get(&id)?;
        (*of == project).then(|| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_id_and_project_and_there_is_an_end_to_them() {
        let names = AgentNames::default();
        let name: Label = "prod".parse().unwrap();
        let project = ProjectId(150);
        for id in 0..20_000 {
            names.note(AgentId(id), project, &name);
        }
        assert_eq!(names.find(AgentId(19_999), project), Some(name));
        assert_eq!(names.find(AgentId(19_999), ProjectId(151)), None);
        assert_eq!(names.find(AgentId(20_000), project), None);
        assert!(names.0.read().len() <= MOST);
    }
}
