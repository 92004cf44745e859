//! An agent whose file is read: one that stands in the relay's configuration as GitLab's, or that GitLab has vouched for.

use adit_identity::{AgentId, FullPath, ProjectId};

use crate::{Agent, gitlab::names::Named};

/// Where its file is.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) id: AgentId,
    /// As people know it.
    pub(super) name: Box<str>,
    /// The id of its project, if it is known, and the path, if that is.
    project_id: Option<ProjectId>,
    pub(super) project: Option<FullPath>,
    /// What GitLab is asked for.
    pub(super) target: Box<str>,
}

impl Watched {
    /// One that is configured.
    pub(super) fn configured(agent: &Agent) -> Self {
        let project = match agent.project_id() {
            Some(id) => id.to_string(),
            None => agent.project().as_str().replace('/', "%2F"),
        };
        Self {
            id: agent.id(),
            name: agent.context().into(),
            project_id: agent.project_id(),
            project: Some(agent.project().clone()),
            target: target(&project, agent.name()),
        }
    }

    /// One whose token GitLab knows.
    pub(super) fn vouched_for(id: AgentId, project: ProjectId, named: Named) -> Self {
        let Named { path, name } = named;
        Self {
            id,
            name: match &path {
                Some(path) => format!("{path}:{name}").into(),
                None => name.as_str().into(),
            },
            target: target(&project.to_string(), name.as_str()),
            project_id: Some(project),
            project: path,
        }
    }

    /// Whether that is its project. A path may be another project's by now, an id never.
    pub(super) fn is_of(&self, project: ProjectId, path: &FullPath) -> bool {
        match self.project_id {
            Some(id) => id == project,
            None => self.project.as_ref() == Some(path),
        }
    }
}

/// Of the default branch.
fn target(project: &str, agent: &str) -> Box<str> {
    let file = format!(".gitlab%2Fagents%2F{agent}%2Fconfig.yaml");
    format!("/api/v4/projects/{project}/repository/files/{file}/raw?ref=HEAD").into()
}
