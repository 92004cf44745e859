//! Decides which connected agents GitLab's pages show: those that GitLab knows by the same id. One of the relay's own may have another's.

use std::{collections::HashSet, time::SystemTime};

use adit_identity::{AgentId, ProjectId};
use adit_proto::gitlab::{
    agent_tracker::{
        ConnectedAgentInfo,
        rpc::{
            GetConnectedAgentksByAgentIDsRequest, GetConnectedAgentksByAgentIDsResponse,
            GetConnectedAgentsByAgentIDsRequest, GetConnectedAgentsByAgentIDsResponse,
            GetConnectedAgentsRequest, GetConnectedAgentsResponse,
            agent_tracker_server::AgentTracker, get_connected_agents_request::Request as Of,
        },
    },
    entity::{AgentMeta, KubernetesVersion},
};
use adit_tunnel::{Peer, Tunnel};
use tonic::{Request, Response, Status};

use super::{Calls, server_info};

#[tonic::async_trait]
impl AgentTracker for Calls {
    async fn get_connected_agents(
        &self,
        request: Request<GetConnectedAgentsRequest>,
    ) -> Result<Response<GetConnectedAgentsResponse>, Status> {
        let of = request.into_inner().request;
        let of =
            of.ok_or_else(|| Status::invalid_argument("neither project_id nor agent_id is given"))?;
        let agents = match of {
            Of::AgentId(id) => self.connected(&[id]),
            Of::ProjectId(id) => self.connected_of(id),
        };
        Ok(Response::new(GetConnectedAgentsResponse { agents }))
    }

    async fn get_connected_agents_by_agent_i_ds(
        &self,
        request: Request<GetConnectedAgentsByAgentIDsRequest>,
    ) -> Result<Response<GetConnectedAgentsByAgentIDsResponse>, Status> {
        let agents = self.connected(&request.into_inner().agent_ids);
        Ok(Response::new(GetConnectedAgentsByAgentIDsResponse {
            agents,
        }))
    }

    async fn get_connected_agentks_by_agent_i_ds(
        &self,
        request: Request<GetConnectedAgentksByAgentIDsRequest>,
    ) -> Result<Response<GetConnectedAgentksByAgentIDsResponse>, Status> {
        let agents = self.connected(&request.into_inner().agent_ids);
        Ok(Response::new(GetConnectedAgentksByAgentIDsResponse {
            agents,
        }))
    }
}

/// What GitLab knows of an agent.
#[derive(Clone, Copy)]
struct AtGitLab {
    id: AgentId,
    /// Where it is known.
    project: Option<ProjectId>,
}

impl Calls {
    fn connected(&self, ids: &[i64]) -> Vec<ConnectedAgentInfo> {
        let ids: HashSet<_> = ids.iter().copied().filter_map(id).map(AgentId).collect();
        let agents = ids.into_iter().filter_map(|id| self.at_gitlab(id));
        self.replicas(agents)
    }

    fn connected_of(&self, project: i64) -> Vec<ConnectedAgentInfo> {
        let project = id(project).map(ProjectId);
        let agents = self.registry.agents().into_iter();
        let agents = agents.filter_map(|id| self.at_gitlab(id));
        self.replicas(agents.filter(|agent| agent.project.is_some() && agent.project == project))
    }

    fn replicas(&self, agents: impl Iterator<Item = AtGitLab>) -> Vec<ConnectedAgentInfo> {
        let of = |agent: AtGitLab| {
            let tunnels = self.registry.tunnels(agent.id).into_iter();
            tunnels.map(move |(since, tunnel)| replica(agent, since, &tunnel))
        };
        agents.flat_map(of).collect()
    }

    /// None for one of the relay's own.
    fn at_gitlab(&self, id: AgentId) -> Option<AtGitLab> {
        let rules = self.rules.load();
        let configured = rules.agents().agent(id);
        let is_own = configured.is_some_and(|agent| !agent.is_at_gitlab());
        let said = configured.and_then(|agent| agent.project_id());
        let project = said.or_else(|| self.names.project(id));
        (!is_own).then_some(AtGitLab { id, project })
    }
}

fn replica(agent: AtGitLab, since: SystemTime, tunnel: &Tunnel) -> ConnectedAgentInfo {
    let peer = tunnel.peer();
    ConnectedAgentInfo {
        connected_at: Some(since.into()),
        connection_id: connection_id(&peer.session),
        agent_id: signed(agent.id.0),
        project_id: agent.project.map_or(0, |project| signed(project.0)),
        agent_meta: Some(meta(peer)),
    }
}

fn meta(peer: Peer) -> AgentMeta {
    AgentMeta {
        version: server_info::version(&peer.version),
        pod_name: peer.replica,
        kubernetes_version: kubernetes_version(peer.kubernetes_version),
        ..AgentMeta::default()
    }
}

/// `v1.36.0`, if the agent knows it.
fn kubernetes_version(git_version: String) -> Option<KubernetesVersion> {
    if git_version.is_empty() {
        return None;
    }
    let mut numbers = git_version
        .trim_start_matches('v')
        .split('.')
        .map(str::to_owned);
    Some(KubernetesVersion {
        major: numbers.next().unwrap_or_default(),
        minor: numbers.next().unwrap_or_default(),
        git_version,
        platform: String::new(),
    })
}

/// A number for the session: the first half of its id, which is random, without the sign.
fn connection_id(session: &str) -> i64 {
    let half = session.get(..16).unwrap_or(session);
    signed(u64::from_str_radix(half, 16).unwrap_or_default() >> 1)
}

/// GitLab's ids are as large as its database's numbers.
fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or_default()
}

fn id(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|id| *id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_told_apart_by_their_sessions() {
        let ids = [
            ("00000000000000020000000000000000", 1),
            ("ffffffffffffffff0000000000000000", i64::MAX),
            ("10", 8),
            ("", 0),
        ];
        for (session, id) in ids {
            assert_eq!(connection_id(session), id, "{session}");
        }
    }

    #[test]
    fn version_of_the_cluster_is_told_in_parts() {
        assert_eq!(kubernetes_version(String::new()), None);
        let told = kubernetes_version("v1.36.2-gke.1".to_owned()).unwrap();
        assert_eq!((told.major.as_str(), told.minor.as_str()), ("1", "36"));
        assert_eq!(told.git_version, "v1.36.2-gke.1");
        let odd = kubernetes_version("unknown".to_owned()).unwrap();
        assert_eq!((odd.major.as_str(), odd.minor.as_str()), ("unknown", ""));
    }
}
