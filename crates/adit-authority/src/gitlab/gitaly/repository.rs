//! Which repository is meant, and which Gitaly has it: as GitLab named both, never made up.

use std::sync::Arc;

use serde::Deserialize;

use super::{BadAddress, RawServer, Server};

/// A repository. Sent to Gitaly as GitLab sent it.
#[derive(Clone, Debug)]
pub struct Repository {
    /// What GitLab calls the storage that it is in.
    pub storage_name: String,
    /// Where it is there.
    pub relative_path: String,
    /// Where new objects go, if not where all are.
    pub git_object_directory: String,
    /// Where else objects are.
    pub git_alternate_object_directories: Vec<String>,
    /// Such as `project-7`.
    pub gl_repository: String,
    /// Such as `group/sub/app`.
    pub gl_project_path: String,
    /// Who has it.
    pub server: Arc<Server>,
}

/// The same without the server, as GitLab sends it.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(in crate::gitlab) struct RawRepository {
    storage_name: String,
    relative_path: String,
    git_object_directory: Option<String>,
    git_alternate_object_directories: Option<Vec<String>>,
    gl_repository: Option<String>,
    pub(in crate::gitlab) gl_project_path: Option<String>,
}

/// What GitLab says of where a repository is: nothing, something that cannot be asked, or where.
pub(in crate::gitlab) type Whereabouts = Option<Result<Arc<Repository>, BadAddress>>;

impl Repository {
    pub(super) fn server(&self) -> &Server {
        &self.server
    }
}

impl RawRepository {
    /// At this server.
    pub(in crate::gitlab) fn at(self, server: RawServer) -> Result<Arc<Repository>, BadAddress> {
        Ok(Arc::new(Repository {
            storage_name: self.storage_name,
            relative_path: self.relative_path,
            git_object_directory: self.git_object_directory.unwrap_or_default(),
            git_alternate_object_directories: self
                .git_alternate_object_directories
                .unwrap_or_default(),
            gl_repository: self.gl_repository.unwrap_or_default(),
            gl_project_path: self.gl_project_path.unwrap_or_default(),
            server: Arc::new(server.check()?),
        }))
    }
}
