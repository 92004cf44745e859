//! Decides which service a call is for.

use std::sync::Arc;

use adit_authority::gitlab::{AgentNames, Gitaly};
use adit_proto::gitlab::{
    agent_tracker::rpc::agent_tracker_server::{self, AgentTrackerServer},
    configuration_project::rpc::configuration_project_server::{self, ConfigurationProjectServer},
    notifications::rpc::notifications_server::{self, NotificationsServer},
    server_info::rpc::server_info_server::{self, ServerInfoServer},
};
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::{Status, body::Body};
use tower_service::Service as _;

use crate::{gitlab::Pushes, metrics::ApiCall, registry::Registry, rules::Current};

/// The services, and what they answer from.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) registry: Arc<Registry>,
    pub(crate) rules: Current,
    pub(crate) names: Arc<AgentNames>,
    pub(crate) pushes: Arc<Pushes>,
    pub(crate) gitaly: Arc<Gitaly>,
}

impl Calls {
    /// What is called at this path.
    pub(super) fn call(path: &str) -> ApiCall {
        match path.split('/').nth(1) {
            Some(server_info_server::SERVICE_NAME) => ApiCall::ServerInfo,
            Some(agent_tracker_server::SERVICE_NAME) => ApiCall::Agents,
            Some(configuration_project_server::SERVICE_NAME) => ApiCall::ConfigFiles,
            Some(notifications_server::SERVICE_NAME) => ApiCall::Push,
            Some(_) | None => ApiCall::Other,
        }
    }

    pub(super) async fn answer(&self, call: ApiCall, request: Request<Incoming>) -> Response<Body> {
        let calls = self.clone();
        let answered = match call {
            ApiCall::ServerInfo => ServerInfoServer::new(calls).call(request).await,
            ApiCall::Agents => AgentTrackerServer::new(calls).call(request).await,
            ApiCall::ConfigFiles => ConfigurationProjectServer::new(calls).call(request).await,
            ApiCall::Push => NotificationsServer::new(calls).call(request).await,
            ApiCall::Other => Ok(Status::unimplemented("this relay has no such call").into_http()),
        };
        match answered {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
}
