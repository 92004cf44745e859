//! GitLab as a caller of the agent server: what its pages ask, and what it tells after a push, each call with a JWT in its
//! metadata. Called by tests against a relay, and against the official kas.

use std::net::SocketAddr;

use adit_proto::gitlab::{
    agent_tracker::{
        ConnectedAgentInfo,
        rpc::{
            GetConnectedAgentksByAgentIDsRequest, GetConnectedAgentsByAgentIDsRequest,
            GetConnectedAgentsRequest, agent_tracker_client::AgentTrackerClient,
            get_connected_agents_request::Request as Of,
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
use serde_json::{Value, json};
use tonic::{Request, Status};

use super::{GitLab, Secret, gitaly::STORAGE, grpc::Grpc, jwt};

/// GitLab's connection to an agent server.
#[derive(Clone)]
pub struct KasCaller {
    wire: Grpc,
    secret: Secret,
    claims: Value,
    shown: Shown,
}

/// By what it lets itself be known.
#[derive(Clone, Debug)]
enum Shown {
    /// A JWT that is made for each call.
    Signed,
    /// One without a signature.
    Unsigned,
    /// Something else, or nothing.
    Instead(Option<String>),
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
            claims: json!({ "iss": external_url.host(), "aud": "gitlab-kas" }),
            shown: Shown::Signed,
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

    /// What its calls are sent over.
    #[must_use]
    pub fn wire(&self) -> &Grpc {
        &self.wire
    }

    /// Makes this claim from now on, in place of what GitLab would say.
    #[must_use]
    pub fn claiming(mut self, claim: &str, value: Value) -> Self {
        self.claims[claim] = value;
        self
    }

    /// Does not sign from now on.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.shown = Shown::Unsigned;
        self
    }

    /// Shows this from now on, or nothing.
    #[must_use]
    pub fn showing(mut self, authorization: Option<&str>) -> Self {
        self.shown = Shown::Instead(authorization.map(str::to_owned));
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
        self.connected(Some(Of::ProjectId(signed(project)))).await
    }

    /// The connected replicas of an agent.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn agent(&self, agent: u64) -> Result<Vec<ConnectedAgentInfo>, Status> {
        self.connected(Some(Of::AgentId(signed(agent)))).await
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
        let project = Project {
            id: signed(project),
            full_path: path.to_owned(),
        };
        let project = Some(project);
        self.tell(Some(GitPushEvent { project })).await
    }

    /// Tells of what happened, or of nothing at all.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn tell(&self, event: Option<GitPushEvent>) -> Result<(), Status> {
        let mut client = NotificationsClient::with_origin(self.wire.clone(), self.wire.origin());
        let request = self.signed(GitPushEventRequest { event });
        client.git_push_event(request).await?;
        Ok(())
    }

    /// The connected agents of a project, the replicas of an agent, or of nothing at all.
    ///
    /// # Errors
    ///
    /// The agent server's.
    pub async fn connected(&self, of: Option<Of>) -> Result<Vec<ConnectedAgentInfo>, Status> {
        let request = self.signed(GetConnectedAgentsRequest { request: of });
        let answer = self.agent_tracker().get_connected_agents(request).await?;
        Ok(answer.into_inner().agents)
    }

    fn agent_tracker(&self) -> AgentTrackerClient<Grpc> {
        AgentTrackerClient::with_origin(self.wire.clone(), self.wire.origin())
    }

    /// A call of GitLab's to whatever the agent server serves.
    #[must_use]
    pub fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(shown) = self.authorization() {
            let value = shown.parse().expect("what is shown is metadata");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    fn authorization(&self) -> Option<String> {
        let jwt = match &self.shown {
            Shown::Signed => jwt::sign(&self.secret, &self.claims()),
            Shown::Unsigned => jwt::unsigned(&self.claims()),
            Shown::Instead(text) => return text.clone(),
        };
        Some(format!("bearer {jwt}"))
    }

    fn claims(&self) -> Value {
        let now = jwt::now();
        let mut claims = json!({
            "jti": format!("{now}"),
            "iat": now,
            "nbf": now - 5,
            "exp": now + 60,
        });
        for (claim, value) in self.claims.as_object().into_iter().flatten() {
            claims[claim] = value.clone();
        }
        claims
    }
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).expect("ids are small")
}
