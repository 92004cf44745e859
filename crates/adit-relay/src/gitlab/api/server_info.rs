//! What this relay is: GitLab's pages compare agents' versions with its.

use adit_proto::gitlab::server_info::{
    ServerInfo,
    rpc::{GetServerInfoRequest, GetServerInfoResponse, server_info_server},
};
use tonic::{Request, Response, Status};

use super::Calls;

#[tonic::async_trait]
impl server_info_server::ServerInfo for Calls {
    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let info = ServerInfo {
            version: version(env!("CARGO_PKG_VERSION")),
            ..ServerInfo::default()
        };
        Ok(Response::new(GetServerInfoResponse {
            current_server_info: Some(info),
        }))
    }
}

/// As GitLab's own programs write theirs.
pub(super) fn version(ours: &str) -> String {
    format!("v{ours}")
}
