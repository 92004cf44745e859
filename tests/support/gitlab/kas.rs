//! GitLab as a caller of the agent server: what its pages ask, and what it tells after a push, each call with a JWT in its
//! metadata. Called by tests against a relay, and against the official kas.

use std::net::SocketAddr;

use adit_proto::gitlab::{
    agent_tracker::{
        ConnectedAgentInfo,
        rpc::{
            GetConnectedAgentksByAgentIDsRequest, GetConnectedAgentsByAgentIDsRequest,
            GetConnectedAgentsRequest, agent_tracker_client::AgentTrackerClient,
            get_connected_agents_request,
        },
    },
    configuration_project::rpc::{
        AgentConfigFile, ListAgentConfigFilesRequest,
        configuration_project_client::ConfigurationProjectClient,
    },
    entity::{GitalyInfo, GitalyRepository},
    event::{GitPushEvent, Project},
    notifications::rpc::{GitPushEventRequest, notifications_client::NotificationsClient},
    server_info::{
        ServerInfo,
        rpc::{GetServerInfoRequest, server_info_client::ServerInfoClient},
    },
};
use http::Uri;
use serde_json::json;
use tonic::{Request, Status};

use super::{GitLab, Secret, gitaly::STORAGE, grpc::Grpc, jwt};

/// GitLab's connection to an agent server.
#[derive(Clone)]
pub struct KasCaller {
    wire: Grpc,
    secret: Secret,
    issuer: String,
}

impl GitLab {
    /// Connects to the API that an agent server has for GitLab, without TLS.
    ///
    /// # Panics
    ///
    /// When nobody listens there.
    pub async fn connect_to_kas(&self, address: SocketAddr) -> KasCaller {
        self.kas_over(Grpc::connect(address).await)
    }

    /// The same over a connection that is there.
    ///
    /// # Panics
    ///
    /// Never: its own URL is one.
    #[must_use]
    pub fn kas_over(&self, wire: Grpc) -> KasCaller {
        let external_url: Uri = self.world().settings.external_url.parse().unwrap();
        KasCaller {
            wire,
            secret: self.secret(),
            issuer: external_url.host().unwrap_or_default().to_owned(),
        }
    }

    /// What GitLab knows of a project's repository, as it sends it along.
    #[must_use]
    pub fn repository_info(&self, project: u64) -> (GitalyRepository, GitalyInfo) {
        let world = self.world();
        let repository = GitalyRepository {
            storage_name: STORAGE.to_owned(),
            relative_path: world.relative_path(project).display().to_string(),
            gl_repository: world.gl_repository(project),
            gl_project_path: world.project_path(project),
            ..GitalyRepository::default()
        };
        let gitaly = self.gitaly();
        let info = GitalyInfo {
            address: gitaly.address.clone(),
            token: gitaly.token.clone(),
            features: gitaly.features.clone().into_iter().collect(),
        };
        (repository, info)
    }
}

impl KasCaller {
    /// Signs with another secret from now on.
    #[must_use]
    pub fn signing_with(mut self, secret: Secret) -> Self {
        self.secret = secret;
        self
    }

    /// # Errors
    ///
    /// The agent server's.
    pub async fn server_info(&self) -> Result<Option<ServerInfo>, Status> {
        let mut client = ServerInfoClient::with_origin(self.wire.clone(), self.wire.origin());
        let request = self.signed(GetServerInfoRequest {});
        let answer = client.get_server_info(request).await?;
        Ok(answer.into_inner().current_server_info)
    }

    /// The connected agents of a configuration project.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn agents_of_project(&self, project: u64) -> Result<Vec<ConnectedAgentInfo>, Status> {
        self.connected(get_connected_agents_request::Request::ProjectId(signed(
            project,
        )))
        .await
    }

    /// The connected replicas of an agent.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn agent(&self, agent: u64) -> Result<Vec<ConnectedAgentInfo>, Status> {
        self.connected(get_connected_agents_request::Request::AgentId(signed(
            agent,
        )))
        .await
    }

    /// The same of several agents, as GitLab asks from 17 on.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn agents(&self, agents: &[u64]) -> Result<Vec<ConnectedAgentInfo>, Status> {
        let agent_ids = agents.iter().copied().map(signed).collect();
        let request = self.signed(GetConnectedAgentsByAgentIDsRequest { agent_ids });
        let answer = self
            .agent_tracker()
            .get_connected_agents_by_agent_i_ds(request)
            .await?;
        Ok(answer.into_inner().agents)
    }

    /// The same under the newest name.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn agentks(&self, agents: &[u64]) -> Result<Vec<ConnectedAgentInfo>, Status> {
        let agent_ids = agents.iter().copied().map(signed).collect();
        let request = self.signed(GetConnectedAgentksByAgentIDsRequest { agent_ids });
        let answer = self
            .agent_tracker()
            .get_connected_agentks_by_agent_i_ds(request)
            .await?;
        Ok(answer.into_inner().agents)
    }

    /// The agents that have a configuration file in a repository.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn config_files(
        &self,
        (repository, gitaly): (GitalyRepository, GitalyInfo),
        default_branch: &str,
    ) -> Result<Vec<AgentConfigFile>, Status> {
        let mut client =
            ConfigurationProjectClient::with_origin(self.wire.clone(), self.wire.origin());
        let request = self.signed(ListAgentConfigFilesRequest {
            repository: Some(repository),
            gitaly_info: Some(gitaly),
            default_branch: default_branch.to_owned(),
        });
        let answer = client.list_agent_config_files(request).await?;
        Ok(answer.into_inner().config_files)
    }

    /// Tells of a push.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn pushed(&self, project: u64, path: &str) -> Result<(), Status> {
        let mut client = NotificationsClient::with_origin(self.wire.clone(), self.wire.origin());
        let project = Project {
            id: signed(project),
            full_path: path.to_owned(),
        };
        let event = GitPushEvent {
            project: Some(project),
        };
        let request = self.signed(GitPushEventRequest { event: Some(event) });
        client.git_push_event(request).await?;
        Ok(())
    }

    async fn connected(
        &self,
        of: get_connected_agents_request::Request,
    ) -> Result<Vec<ConnectedAgentInfo>, Status> {
        let request = self.signed(GetConnectedAgentsRequest { request: Some(of) });
        let answer = self.agent_tracker().get_connected_agents(request).await?;
        Ok(answer.into_inner().agents)
    }

    fn agent_tracker(&self) -> AgentTrackerClient<Grpc> {
        AgentTrackerClient::with_origin(self.wire.clone(), self.wire.origin())
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let now = jwt::now();
        let claims = json!({
            "jti": format!("{now}"),
            "iss": self.issuer,
            "aud": "gitlab-kas",
            "iat": now,
            "nbf": now - 5,
            "exp": now + 60,
        });
        let bearer = format!("bearer {}", jwt::sign(&self.secret, &claims));
        let mut request = Request::new(message);
        let value = bearer.parse().expect("a JWT is metadata");
        request.metadata_mut().insert("authorization", value);
        request
    }
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).expect("ids are small")
}
