//! Decides what a job is told about the agents it may reach: `GET /adit/v1/agents`, which `adit kubeconfig` asks.
//!
//! Called by `handle.rs` for an authenticated caller. Invariant: it lists what the caller may use and nothing else.

use adit_authority::Reachable;
use adit_identity::AgentId;
use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use serde::Serialize;

#[derive(Serialize)]
struct List<'a> {
    /// The relay's.
    version: &'static str,
    agents: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: u64,
    context: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_namespace: Option<String>,
    /// Of its replicas that are connected here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<String>,
}

impl<'a> Entry<'a> {
    fn of(agent: &'a Reachable, versions: Vec<String>) -> Self {
        let default_namespace = agent.default_namespace.as_ref().map(ToString::to_string);
        Self {
            id: agent.agent.0,
            context: &agent.context,
            default_namespace,
            versions,
        }
    }
}

/// The list as JSON. `versions` are those of an agent's replicas.
pub(crate) fn list(
    reachable: &[Reachable],
    versions: impl Fn(AgentId) -> Vec<String>,
) -> Response<Full<Bytes>> {
    let agents = reachable.iter();
    let list = List {
        version: env!("CARGO_PKG_VERSION"),
        agents: agents
            .map(|agent| Entry::of(agent, versions(agent.agent)))
            .collect(),
    };
    let body = serde_json::to_vec(&list).expect("strings and numbers always serialise");
    let mut response = Response::new(Full::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
