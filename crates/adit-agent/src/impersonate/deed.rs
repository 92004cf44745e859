//! What a request does, as far as a [`Ceiling`](super::Ceiling) asks. Read once for each request by [`crate::serve`], and kept while it
//! runs: a ceiling that is lowered meanwhile holds for it, too.
//! Invariant: what a request is taken for is what the API server takes it for, and whatever may stand before that; else it is
//! [`Deed::Unclear`]. It is short, whatever a relay sends.

use std::fmt;

use adit_identity::operation::{Object, Operation, Resource, Target, Verb};

/// What a request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// What each client asks first, whoever it is: which kinds there are, which version this is, who am I, may I.
    Discovery,
    /// Anything else.
    Act(Act),
    /// Programs on the way could read it differently.
    Unclear,
}

/// Something that is done to something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    verb: Verb,
    /// Whether it leads into what it names, as exec does.
    reaches_in: bool,
    /// Empty for what stands in none, for all of them, and for paths that lead to no object.
    pub(super) namespace: Box<str>,
    /// Such as `pods`; or such a path.
    what: Box<str>,
    /// Empty for none.
    pub(super) subresource: Box<str>,
}

impl Deed {
    pub(crate) fn of(method: &str, target: &str) -> Self {
        let target = Target::new(target);
        match target.plain_operation(method) {
            None => Self::Unclear,
            Some(operation) if is_discovery(&operation) => Self::Discovery,
            Some(operation) => Act::of(&operation).map_or(Self::Unclear, Self::Act),
        }
    }
}

impl Act {
    fn of(operation: &Operation<'_>) -> Option<Self> {
        let (namespace, what, subresource) = match &operation.object {
            Object::Resource(resource) => {
                let Resource {
                    namespace,
                    resource,
                    subresource,
                    ..
                } = resource;
                (*namespace, *resource, *subresource)
            }
            Object::Path(path) => ("", *path, ""),
        };
        (what.len() <= MAX_BYTES).then(|| Self {
            verb: operation.verb,
            reaches_in: operation.reaches_in(),
            namespace: namespace.into(),
            what: what.into(),
            subresource: subresource.into(),
        })
    }

    /// All that are needed for it. A GET into a pod, which is how WebSockets begin, runs a command there as a POST does: the API server
    /// asks for `create`, too, from Kubernetes 1.35 on.
    pub(super) fn verbs(&self) -> impl Iterator<Item = &'static str> {
        let more = self.reaches_in.then_some(Verb::Create);
        [Some(self.verb), more]
            .into_iter()
            .flatten()
            .map(Verb::as_str)
    }
}

/// In a few words: `create pods/exec`, `get /metrics`.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.what)?;
        if self.subresource.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.subresource)
    }
}

/// What the roles `adit-agent-discovery` of the manifests allow for everybody.
fn is_discovery(operation: &Operation<'_>) -> bool {
    match &operation.object {
        Object::Path(path) => {
            let is_listed = PATHS.contains(&path.trim_end_matches('/'));
            let is_below = BELOW.iter().any(|prefix| path.starts_with(prefix));
            operation.verb == Verb::Get && (is_listed || is_below)
        }
        Object::Resource(resource) => {
            let is_of_nothing = [resource.namespace, resource.subresource, &resource.name]
                .iter()
                .all(|part| part.is_empty());
            operation.verb == Verb::Create
                && is_of_nothing
                && REVIEWS.contains(&(resource.group, resource.resource))
        }
    }
}

/// Longer ones are no kind's and no path's.
const MAX_BYTES: usize = 253;
const PATHS: [&str; 7] = [
    "/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz",
];
/// Paths with objects are not among them, as those are no paths here.
const BELOW: [&str; 3] = ["/api/", "/apis/", "/openapi/"];
const REVIEWS: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `verbs what in namespace`.
    fn told(method: &str, target: &str) -> String {
        match Deed::of(method, target) {
            Deed::Discovery => "discovery".to_owned(),
            Deed::Unclear => "unclear".to_owned(),
            Deed::Act(act) => {
                let verbs: Vec<_> = act.verbs().collect();
                let (what, subresource) = (&act.what, &act.subresource);
                format!(
                    "{} {what}/{subresource} in {}",
                    verbs.join("+"),
                    act.namespace
                )
            }
        }
    }

    #[test]
    fn what_each_client_asks_first_is_discovery() {
        let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        for (method, target) in [
            ("GET", "/api"),
            ("GET", "/api/v1"),
            ("GET", "/apis"),
            ("GET", "/apis/apps"),
            ("GET", "/apis/apps/v1/"),
            ("GET", "/version?timeout=32s"),
            ("GET", "/version/"),
            ("GET", "/openapi/v2"),
            ("GET", "/openapi/v3/apis/apps/v1?hash=1"),
            ("GET", "/livez"),
            ("POST", reviews),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            ),
            ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"),
        ] {
            assert_eq!(told(method, target), "discovery", "{method} {target}");
        }
        for (method, target) in [
            ("POST", "/version"),
            ("GET", "/"),
            ("GET", "/versions"),
            ("GET", "/livez/etcd"),
            ("GET", "/metrics"),
            ("GET", "/logs/"),
            ("GET", reviews),
            ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/namespaces/a/selfsubjectaccessreviews",
            ),
            ("POST", "/apis/x.io/v1/selfsubjectaccessreviews"),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x",
            ),
        ] {
            assert_ne!(told(method, target), "discovery", "{method} {target}");
        }
    }

    #[test]
    fn the_rest_is_told_by_verbs_object_and_namespace() {
        let pod = "/api/v1/namespaces/a/pods/p";
        for (method, below, expected) in [
            ("GET", "", "get pods/ in a"),
            ("GET", "/log?follow=1", "get pods/log in a"),
            ("POST", "/exec?command=sh", "create+create pods/exec in a"),
            ("GET", "/exec?command=sh", "get+create pods/exec in a"),
            ("GET", "/attach", "get+create pods/attach in a"),
            ("GET", "/portforward", "get+create pods/portforward in a"),
            ("DELETE", "/proxy/x/y", "delete+create pods/proxy in a"),
            (
                "PATCH",
                "/ephemeralcontainers",
                "patch pods/ephemeralcontainers in a",
            ),
            ("POST", "/eviction", "create pods/eviction in a"),
        ] {
            assert_eq!(told(method, &format!("{pod}{below}")), expected);
        }
        for (method, target, expected) in [
            ("GET", "/api/v1/pods?watch=1", "watch pods/ in "),
            ("GET", "/api/v1/namespaces/a", "get namespaces/ in a"),
            ("DELETE", "/api/v1/namespaces/a", "delete namespaces/ in a"),
            ("POST", "/api/v1/namespaces", "create namespaces/ in "),
            (
                "PUT",
                "/api/v1/namespaces/a/finalize",
                "update namespaces/finalize in a",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a/pods",
                "deletecollection pods/ in a",
            ),
            (
                "GET",
                "/api/v1/nodes/n/proxy/run",
                "get+create nodes/proxy in ",
            ),
            ("GET", "/metrics", "get /metrics/ in "),
            ("GET", "/api/v1/namespaces/a%2Fpods/p", "unclear"),
            ("GET", "/api/v1/proxy/namespaces/a/pods/p", "unclear"),
        ] {
            assert_eq!(told(method, target), expected, "{method} {target}");
        }
        let long = format!("/{}", "a/".repeat(200));
        assert_eq!(told("GET", &long), "unclear");
    }
}
