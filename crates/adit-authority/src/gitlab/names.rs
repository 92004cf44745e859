//! What GitLab calls the agents whose tokens it has vouched for: its answers about jobs and users name them by id alone. Written by
//! [`super::agents`], read by [`crate::Authoriser`], and by whoever tells GitLab which agents are connected. For people: nothing is decided
//! by a name. And where their files are, for [`super::files`].
//! Invariant: what is held is bounded.

use std::collections::HashMap;

use adit_identity::{AgentId, FullPath, Label, ProjectId};
use parking_lot::RwLock;

use super::gitaly::Whereabouts;

/// Agents named; beyond it one of the others is forgotten, and called by its id.
const MOST: usize = 10_000;

/// Names by id.
#[derive(Debug, Default)]
pub struct AgentNames(RwLock<HashMap<AgentId, Vouched>>);

/// What GitLab said last of an agent.
#[derive(Clone, Debug)]
pub(super) struct Vouched {
    pub(super) project: ProjectId,
    pub(super) named: Named,
    /// The project's repository.
    pub(super) repository: Whereabouts,
}

/// What an agent is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its project's, if GitLab says it.
    pub(crate) path: Option<FullPath>,
    pub(crate) name: Label,
}

impl AgentNames {
    pub(super) fn note(&self, id: AgentId, said: Vouched) {
        let mut names = self.0.write();
        if names.len() >= MOST
            && !names.contains_key(&id)
            && let Some(any) = names.keys().next().copied()
        {
            names.remove(&any);
        }
        names.insert(id, said);
    }

    /// The project of this agent, as far as it is known.
    #[must_use]
    pub fn project(&self, id: AgentId) -> Option<ProjectId> {
        let names = self.0.read();
        names.get(&id).map(|said| said.project)
    }

    /// What people call this agent, as far as it is known: `<path of its project>:<its name>`.
    #[must_use]
    pub fn context(&self, id: AgentId) -> Option<String> {
        let names = self.0.read();
        let Named { path, name } = &names.get(&id)?.named;
        let path = path.as_ref();
        Some(path.map_or_else(|| name.to_string(), |path| format!("{path}:{name}")))
    }

    /// The agents of a project.
    pub(super) fn of_project(&self, project: ProjectId) -> Vec<AgentId> {
        let names = self.0.read();
        let of = names.iter().filter(|(_, said)| said.project == project);
        of.map(|(id, _)| *id).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> HashMap<AgentId, Vouched> {
        self.0.read().clone()
    }

    /// What the agent of this id and project is called.
    pub(crate) fn find(&self, id: AgentId, project: ProjectId) -> Option<Named> {
        let names = self.0.read();
        let said = names.get(&id)?;
        (said.project == project).then(|| said.named.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_id_and_project_and_there_is_an_end_to_them() {
        let names = AgentNames::default();
        let prod = Named {
            path: None,
            name: "prod".parse().unwrap(),
        };
        let project = ProjectId(150);
        let said = Vouched {
            project,
            named: prod.clone(),
            repository: None,
        };
        for id in 0..20_000 {
            names.note(AgentId(id), said.clone());
        }
        assert_eq!(names.find(AgentId(19_999), project), Some(prod));
        assert_eq!(names.find(AgentId(19_999), ProjectId(151)), None);
        assert_eq!(names.find(AgentId(20_000), project), None);
        assert!(names.0.read().len() <= MOST);
    }
}
