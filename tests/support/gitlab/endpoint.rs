//! The endpoints by name: what faults are ordered for and calls are counted by. Called for each request before anything else.

use http::Method;

/// What can be asked of this GitLab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `GET /api/v4/job`
    Job,
    /// `GET /api/v4/job/allowed_agents`
    AllowedAgents,
    /// `GET /api/v4/internal/agents/agentk/agent_info`, from 18.2 on.
    AgentInfo,
    /// `GET /api/v4/internal/kubernetes/agent_info`
    OldAgentInfo,
    /// `GET /api/v4/internal/kubernetes/project_info`
    ProjectInfo,
    /// `GET /api/v4/internal/kubernetes/verify_project_access`
    VerifyProjectAccess,
    /// `POST /api/v4/internal/kubernetes/agent_configuration`
    AgentConfiguration,
    /// `POST /api/v4/internal/kubernetes/authorize_proxy_user`
    AuthorizeProxyUser,
    /// `POST /api/v4/internal/kubernetes/usage_metrics`
    UsageMetrics,
    /// `POST /api/v4/internal/kubernetes/agent_events`
    AgentEvents,
    /// `GET /api/v4/projects/:id/repository/files/:path/raw`
    RawFile,
    /// `GET /api/v4/projects/:id/repository/files/:path`
    File,
    /// `GET /api/v4/projects/:id/environments`
    Environments,
    /// `GET /.well-known/openid-configuration`
    Discovery,
    /// `GET /oauth/discovery/keys`
    Keys,
    /// `/:project.git/…`: git over HTTP.
    Git,
    /// There is nothing.
    Nowhere,
}

impl Endpoint {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        match path {
            "/.well-known/openid-configuration" if is_read => return Self::Discovery,
            "/oauth/discovery/keys" if is_read => return Self::Keys,
            _ => {}
        }
        let Some(path) = path.strip_prefix("/api/v4/") else {
            return match path.contains(".git/") {
                true => Self::Git,
                false => Self::Nowhere,
            };
        };
        if is_read {
            Self::read(path)
        } else if method == Method::POST {
            Self::post(path)
        } else {
            Self::Nowhere
        }
    }

    fn read(path: &str) -> Self {
        match path {
            "job" => Self::Job,
            "job/allowed_agents" => Self::AllowedAgents,
            "internal/agents/agentk/agent_info" => Self::AgentInfo,
            "internal/kubernetes/agent_info" => Self::OldAgentInfo,
            "internal/kubernetes/project_info" => Self::ProjectInfo,
            "internal/kubernetes/verify_project_access" => Self::VerifyProjectAccess,
            _ => match path.split('/').collect::<Vec<_>>()[..] {
                ["projects", _, "repository", "files", _, "raw"] => Self::RawFile,
                ["projects", _, "repository", "files", _] => Self::File,
                ["projects", _, "environments"] => Self::Environments,
                _ => Self::Nowhere,
            },
        }
    }

    fn post(path: &str) -> Self {
        match path {
            "internal/kubernetes/agent_configuration" => Self::AgentConfiguration,
            "internal/kubernetes/authorize_proxy_user" => Self::AuthorizeProxyUser,
            "internal/kubernetes/usage_metrics" => Self::UsageMetrics,
            "internal/kubernetes/agent_events" => Self::AgentEvents,
            _ => Self::Nowhere,
        }
    }

    /// Whether only the agent server may ask, which proves itself by a JWT.
    pub(super) fn is_internal(self) -> bool {
        matches!(
            self,
            Self::AgentInfo
                | Self::OldAgentInfo
                | Self::ProjectInfo
                | Self::VerifyProjectAccess
                | Self::AgentConfiguration
                | Self::AuthorizeProxyUser
                | Self::UsageMetrics
                | Self::AgentEvents
        )
    }
}
