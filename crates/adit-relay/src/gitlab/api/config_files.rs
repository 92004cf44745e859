//! Which agents have a file in a repository, whether GitLab knows them or not. GitLab says with the call where the repository is, and
//! Gitaly is asked.

use std::sync::Arc;

use adit_authority::gitlab::gitaly::{GitalyError, Repository, Server};
use adit_process::chain;
use adit_proto::gitlab::{
    configuration_project::rpc::{
        AgentConfigFile, ListAgentConfigFilesRequest, ListAgentConfigFilesResponse,
        configuration_project_server::ConfigurationProject,
    },
    entity::GitalyInfo,
};
use secrecy::SecretString;
use tonic::{Request, Response, Status};

use super::Calls;

/// The default branch, for those GitLabs that do not say what it is called.
const DEFAULT_BRANCH: &str = "HEAD";

#[tonic::async_trait]
impl ConfigurationProject for Calls {
    async fn list_agent_config_files(
        &self,
        request: Request<ListAgentConfigFilesRequest>,
    ) -> Result<Response<ListAgentConfigFilesResponse>, Status> {
        let (repository, branch) = asked(request.into_inner()).map_err(Status::invalid_argument)?;
        let files = self.gitaly.agents_files(&repository, &branch).await;
        let files = files.map_err(|error| unavailable(&error))?.into_iter();
        let config_files = files.map(|file| AgentConfigFile {
            name: file.path.into(),
            agent_name: file.agent.to_string(),
        });
        Ok(Response::new(ListAgentConfigFilesResponse {
            config_files: config_files.collect(),
        }))
    }
}

/// Which repository GitLab means, and which branch of it.
fn asked(request: ListAgentConfigFilesRequest) -> Result<(Repository, String), &'static str> {
    let of = request.repository.ok_or("repository is missing")?;
    let server = server(request.gitaly_info.ok_or("gitaly_info is missing")?)?;
    let repository = Repository {
        storage_name: of.storage_name,
        relative_path: of.relative_path,
        git_object_directory: of.git_object_directory,
        git_alternate_object_directories: of.git_alternate_object_directories,
        gl_repository: of.gl_repository,
        gl_project_path: of.gl_project_path,
        server: Arc::new(server),
    };
    let branch = match request.default_branch.as_str() {
        "" => DEFAULT_BRANCH.to_owned(),
        name => format!("refs/heads/{name}"),
    };
    Ok((repository, branch))
}

fn server(info: GitalyInfo) -> Result<Server, &'static str> {
    let token = SecretString::from(info.token);
    let server = Server::new(&info.address, &token, info.features);
    server.map_err(|_| "gitaly_info.address is none that can be asked")
}

/// GitLab logs the message.
fn unavailable(error: &GitalyError) -> Status {
    tracing::warn!(error = %chain(error), "Gitaly does not say which agents' files there are");
    Status::unavailable(format!("Gitaly does not say: {error}"))
}

#[cfg(test)]
mod tests {
    use adit_proto::gitlab::entity::GitalyRepository;

    use super::*;

    fn request(address: &str, default_branch: &str) -> ListAgentConfigFilesRequest {
        ListAgentConfigFilesRequest {
            repository: Some(GitalyRepository::default()),
            gitaly_info: Some(GitalyInfo {
                address: address.to_owned(),
                ..GitalyInfo::default()
            }),
            default_branch: default_branch.to_owned(),
        }
    }

    #[test]
    fn branch_is_the_default_one() {
        for (name, branch) in [("main", "refs/heads/main"), ("", "HEAD")] {
            let (_, found) = asked(request("tcp://gitaly:8075", name)).unwrap();
            assert_eq!(found, branch);
        }
    }

    #[test]
    fn what_lacks_a_field_names_it() {
        let whole = || request("tcp://gitaly:8075", "main");
        let without = ListAgentConfigFilesRequest {
            repository: None,
            ..whole()
        };
        assert_eq!(asked(without).unwrap_err(), "repository is missing");
        let without = ListAgentConfigFilesRequest {
            gitaly_info: None,
            ..whole()
        };
        assert_eq!(asked(without).unwrap_err(), "gitaly_info is missing");
        let why = asked(request("", "main")).unwrap_err();
        assert_eq!(why, "gitaly_info.address is none that can be asked");
    }
}
