//! Decides what a request is for, by its path alone: the Kubernetes API of an agent, or a route of the relay's own.
//!
//! Called by `handle.rs` before anything else. Invariant: what follows the prefix goes on byte for byte; a path that
//! another program could read differently is refused, never repaired. Scheme and authority of a request decide nothing.

use std::borrow::Cow;

use adit_identity::{AgentId, operation::has_dot_segment};
use adit_tunnel::WEBSOCKET_PATH;
use http::{Uri, uri::PathAndQuery};

use crate::refusal::Refusal;

/// GitLab's prefix for the Kubernetes API.
pub(crate) const KUBERNETES: &str = "/k8s-proxy";
/// Below [`KUBERNETES`]: the next segment is an agent's id. No API of Kubernetes begins so.
const AGENTS: &str = "/agents/";
/// Where GitLab's webhook tells of its jobs.
pub(crate) const GITLAB_EVENTS: &str = "/webhooks/gitlab";
/// What a token may reach, for `adit kubeconfig`.
pub(crate) const CONTEXTS: &str = "/adit/v1/agents";

/// What a request is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The Kubernetes API of some agent.
    Kubernetes(Target),
    /// The list of agents that the caller may reach.
    Contexts,
    /// An event of GitLab's.
    GitLabEvent,
    /// A WebSocket for an agent's tunnel.
    Tunnel,
}

impl Purpose {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Refusal> {
        match uri.path() {
            CONTEXTS => return Ok(Self::Contexts),
            GITLAB_EVENTS => return Ok(Self::GitLabEvent),
            // Below the Kubernetes API a relay may be reached that runs in the cluster.
            path if path.ends_with(WEBSOCKET_PATH) && below(path, KUBERNETES).is_none() => {
                return Ok(Self::Tunnel);
            }
            _ => {}
        }
        let whole = uri.path_and_query().ok_or(Refusal::UnknownPath)?;
        Target::of(whole.clone()).map(Self::Kubernetes)
    }
}

/// A path below the prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    whole: PathAndQuery,
    /// Where in `whole` the API server's part begins.
    rest: usize,
    agent: Option<AgentId>,
}

impl Target {
    fn of(whole: PathAndQuery) -> Result<Self, Refusal> {
        let path = whole.path();
        let below = below(path, KUBERNETES).ok_or(Refusal::UnknownPath)?;
        let (agent, rest) = match below.strip_prefix(AGENTS) {
            None => (None, below),
            Some(named) => {
                let id = named.split('/').next().unwrap_or_default();
                let rest = named.get(id.len()..).unwrap_or_default();
                let agent = id.parse().map_err(|_| {
                    Refusal::BadPath("/k8s-proxy/agents/ is followed by an agent's id, a number")
                })?;
                (Some(agent), rest)
            }
        };
        if has_dot_segment(rest) {
            return Err(Refusal::BadPath(
                "it has a segment `.` or `..`, plain or encoded, which programs on the way may resolve",
            ));
        }
        let rest = path.len() - rest.len();
        Ok(Self { whole, rest, agent })
    }

    /// The agent that the path names.
    pub(crate) fn agent(&self) -> Option<AgentId> {
        self.agent
    }

    /// Without the parameters of these names, which are between a browser and this relay. The rest stays byte for byte.
    pub(crate) fn without(self, names: &[&str]) -> Self {
        let is_named = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            names.contains(&name)
        };
        let query = self.whole.query().unwrap_or_default();
        if !query.split('&').any(|pair| is_named(&pair)) {
            return self;
        }
        let kept: Vec<_> = query.split('&').filter(|pair| !is_named(pair)).collect();
        let path = self.whole.path();
        let whole = match kept.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", kept.join("&")),
        };
        Self {
            whole: whole.parse().expect("parts of a target are one"),
            ..self
        }
    }

    /// Path and query for the API server; begins with a slash.
    pub(crate) fn for_api_server(&self) -> Cow<'_, str> {
        let rest = self.whole.as_str().get(self.rest..).unwrap_or_default();
        if rest.starts_with('/') {
            Cow::Borrowed(rest)
        } else {
            Cow::Owned(format!("/{rest}"))
        }
    }
}

/// What of `path` follows `prefix`, if that ends at a segment's end.
pub(crate) fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &'static str) -> Result<(Option<u64>, String), &'static str> {
        match Purpose::of(&Uri::from_static(uri)) {
            Ok(Purpose::Kubernetes(target)) => Ok((
                target.agent().map(|agent| agent.0),
                target.for_api_server().into_owned(),
            )),
            Ok(Purpose::Contexts) => Err("contexts"),
            Ok(Purpose::GitLabEvent) => Err("gitlab event"),
            Ok(Purpose::Tunnel) => Err("tunnel"),
            Err(refusal) => Err(refusal.facts().reason),
        }
    }

    #[test]
    fn rest_of_the_path_goes_on_byte_for_byte() {
        let cases = [
            (
                "/k8s-proxy/api/v1/pods?watch=1&x=%2F",
                (None, "/api/v1/pods?watch=1&x=%2F"),
            ),
            (
                "/k8s-proxy//api//a;b=c/%2F/%20",
                (None, "//api//a;b=c/%2F/%20"),
            ),
            ("/k8s-proxy", (None, "/")),
            ("/k8s-proxy/", (None, "/")),
            ("/k8s-proxy?timeout=32s", (None, "/?timeout=32s")),
            ("/k8s-proxy/agents/7/api", (Some(7), "/api")),
            ("/k8s-proxy/agents/7", (Some(7), "/")),
            ("/k8s-proxy/agents/7?x", (Some(7), "/?x")),
            ("/k8s-proxy/agents/7//api", (Some(7), "//api")),
            ("/k8s-proxy/agents", (None, "/agents")),
            ("https://elsewhere:1/k8s-proxy/version", (None, "/version")),
            ("/k8s-proxy/a/..b/.c/d./...", (None, "/a/..b/.c/d./...")),
        ];
        for (uri, (agent, rest)) in cases {
            assert_eq!(target(uri), Ok((agent, rest.to_owned())), "{uri}");
        }
    }

    #[test]
    fn parameters_of_browsers_are_taken_out_of_the_query() {
        let cases = [
            (
                "/k8s-proxy/api?a=1&gitlab-agent-id=7&b=%2F",
                "/api?a=1&b=%2F",
            ),
            ("/k8s-proxy/api?gitlab-agent-id=7", "/api"),
            (
                "/k8s-proxy/api?gitlab-agent-idx=7&&",
                "/api?gitlab-agent-idx=7&&",
            ),
        ];
        for (uri, left) in cases {
            let Ok(Purpose::Kubernetes(target)) = Purpose::of(&Uri::from_static(uri)) else {
                panic!("{uri}");
            };
            let target = target.without(&["gitlab-agent-id"]);
            assert_eq!(target.for_api_server(), left);
        }
    }

    #[test]
    fn path_that_could_escape_is_refused() {
        for uri in [
            "/k8s-proxy/../adit/v1/agents",
            "/k8s-proxy/api/../../x",
            "/k8s-proxy/./api",
            "/k8s-proxy/%2e%2e/x",
            "/k8s-proxy/.%2E/x",
            "/k8s-proxy/a%2f..%2fb",
            "/k8s-proxy/a%5C..%5Cb",
            "/k8s-proxy/agents/7/..",
        ] {
            assert_eq!(target(uri), Err("bad_path"), "{uri}");
        }
    }

    #[test]
    fn agent_in_the_path_is_a_number_in_its_one_spelling() {
        for uri in [
            "/k8s-proxy/agents/",
            "/k8s-proxy/agents/x/api",
            "/k8s-proxy/agents/07/api",
            "/k8s-proxy/agents/%37/api",
        ] {
            assert_eq!(target(uri), Err("bad_path"), "{uri}");
        }
    }

    #[test]
    fn tunnel_is_found_behind_whatever_a_balancer_puts_before_it() {
        for uri in [
            "/adit/v1/tunnel",
            "/clusters/eu/adit/v1/tunnel",
            "//adit/v1/tunnel",
        ] {
            assert_eq!(target(uri), Err("tunnel"), "{uri}");
        }
        let inside = "/k8s-proxy/api/v1/namespaces/adit/services/relay/proxy/adit/v1/tunnel";
        let rest = inside.trim_start_matches("/k8s-proxy");
        assert_eq!(target(inside), Ok((None, rest.to_owned())));
        for uri in ["/adit/v1/tunnel/", "/adit/v1/tunnels", "/adit/v1/%74unnel"] {
            assert_eq!(target(uri), Err("unknown_path"), "{uri}");
        }
    }

    #[test]
    fn other_paths_are_not_ours() {
        for uri in [
            "/",
            "*",
            "/api",
            "/k8s-proxyx/api",
            "/K8S-proxy/api",
            "/adit/v1/agents/",
            "host:1",
        ] {
            assert_eq!(target(uri), Err("unknown_path"), "{uri}");
        }
        assert_eq!(target("/adit/v1/agents"), Err("contexts"));
    }
}
