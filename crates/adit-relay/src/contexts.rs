//! Decides what a job is told about the agents it may reach: `GET /adit/v1/agents`, which `adit kubeconfig` asks.
//!
//! Called by `handle.rs` for an authenticated caller. Invariant: it lists what the caller may use and nothing else.

use adit_authority::Reachable;
use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use serde::Serialize;

#[derive(Serialize)]
struct List<'a> {
    agents: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: u64,
    context: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_namespace: Option<String>,
}

impl<'a> From<&'a Reachable> for Entry<'a> {
    fn from(agent: &'a Reachable) -> Self {
        let default_namespace = agent.default_namespace.as_ref().map(ToString::to_string);
        Self {
            id: agent.agent.0,
            context: &agent.context,
            default_namespace,
        }
    }
}

/// The list as JSON.
pub(crate) fn list(reachable: &[Reachable]) -> Response<Full<Bytes>> {
    let list = List {
        agents: reachable.iter().map(Entry::from).collect(),
    };
    let body = serde_json::to_vec(&list).expect("strings and numbers always serialise");
    let mut response = Response::new(Full::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
