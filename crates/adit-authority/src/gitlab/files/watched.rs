//! An agent whose file is read: one that stands in the relay's configuration as GitLab's, or that GitLab has vouched for.

use adit_identity::{AgentId, FullPath, ProjectId};

use crate::{
    Agent,
    gitlab::{
        gitaly::Whereabouts,
        names::{Named, Vouched},
    },
};

/// Where its file is.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) id: AgentId,
    /// As people know it.
    pub(super) name: Box<str>,
    /// The id of its project, if it is known, and the path, if that is.
    project_id: Option<ProjectId>,
    pub(super) project: Option<FullPath>,
    /// Its path from the root of the repository.
    pub(super) file: Box<str>,
    /// What GitLab's API is asked for.
    pub(super) target: Box<str>,
    /// Where the repository is, if GitLab has said it.
    pub(super) repository: Whereabouts,
}

impl Watched {
    /// One that is configured; GitLab has yet to say where its repository is.
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
            file: file(agent.name()),
            target: target(&project, agent.name()),
            repository: None,
        }
    }

    /// One whose token GitLab knows.
    pub(super) fn vouched_for(id: AgentId, said: Vouched) -> Self {
        let Named { path, name } = said.named;
        Self {
            id,
            name: match &path {
                Some(path) => format!("{path}:{name}").into(),
                None => name.as_str().into(),
            },
            file: file(name.as_str()),
            target: target(&said.project.to_string(), name.as_str()),
            project_id: Some(said.project),
            project: path,
            repository: said.repository,
        }
    }

    /// Whether that is its project. A path may be another project's by now, an id never.
    pub(super) fn is_of(&self, project: ProjectId, path: &FullPath) -> bool {
        match self.project_id {
            Some(id) => id == project,
            None => self.project.as_ref() == Some(path),
        }
    }

    /// The folder of its file.
    pub(super) fn folder(&self) -> &str {
        self.file.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

fn file(agent: &str) -> Box<str> {
    format!(".gitlab/agents/{agent}/config.yaml").into()
}

/// Of the default branch.
fn target(project: &str, agent: &str) -> Box<str> {
    let file = file(agent).replace('/', "%2F");
    format!("/api/v4/projects/{project}/repository/files/{file}/raw?ref=HEAD").into()
}
