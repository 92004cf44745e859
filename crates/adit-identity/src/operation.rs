//! What a request asks of the Kubernetes API, read from its method and target as the API server reads them for RBAC:
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>. Both ends of the
//! tunnel call it, for what they record, count and limit.
//! Invariant: paths are decoded before they are split, because the API server does so; `%2F` in a path is a slash to it.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

mod plain;
mod query;
mod verb;

pub use plain::has_dot_segment;
pub use verb::{Kind, Verb};

/// A request's path, decoded, and its query, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// As it came.
    raw: &'a str,
    path: Cow<'a, str>,
    query: &'a str,
}

/// What a request does, to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// What is done.
    pub verb: Verb,
    /// What it is done to.
    pub object: Object<'a>,
    /// How long it may take, and which way its bytes go.
    pub kind: Kind,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// Objects of an API, or one of them.
    Resource(Resource<'a>),
    /// Anything else: `/version`, `/healthz`, `/api`.
    Path(&'a str),
}

/// Objects of an API, or one of them. What is not named is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// Such as `v1`.
    pub version: &'a str,
    /// Empty for what stands in no namespace, and for all namespaces.
    pub namespace: &'a str,
    /// Plural, such as `pods`.
    pub resource: &'a str,
    /// Such as `log`.
    pub subresource: &'a str,
    /// Empty for a list. A list that a field selector narrows to one object has that one's.
    pub name: Cow<'a, str>,
}

impl<'a> Target<'a> {
    /// Reads what stands in a request line: path, and query if there is one.
    #[must_use]
    pub fn new(target: &'a str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            raw: path,
            path: percent_decode_str(path).decode_utf8_lossy(),
            query,
        }
    }

    /// What a request with this method asks for.
    #[must_use]
    pub fn operation(&self, method: &str) -> Operation<'_> {
        self.read(method).0
    }

    /// The same, but only if whatever stands between here and an API's server reads it alike, be it another proxy or a server of another
    /// kind: for whoever would let a request pass because of what it says.
    #[must_use]
    pub fn plain_operation(&self, method: &str) -> Option<Operation<'_>> {
        let (operation, unread) = self.read(method);
        let read = segments(&self.path).count() - unread;
        let (is_known, may_go_on) = match &operation.object {
            Object::Resource(resource) => {
                let Resource {
                    resource,
                    subresource,
                    ..
                } = resource;
                (!resource.is_empty(), !subresource.is_empty())
            }
            Object::Path(path) => (!is_like_an_apis(path), false),
        };
        let is_plain = is_known
            && verb::is_plain(operation.verb, method)
            && plain::is_plain(self.raw, read, may_go_on)
            && query::is_plain(self.query);
        is_plain.then_some(operation)
    }

    /// And how many segments were of no interest.
    fn read(&self, method: &str) -> (Operation<'_>, usize) {
        let Some(parts) = Parts::of(&self.path) else {
            let operation = Operation {
                verb: Verb::of_method(method),
                object: Object::Path(&self.path),
                kind: Kind::Short,
            };
            return (operation, 0);
        };
        let (verb, resource, unread) = parts.read(method, self.query);
        let operation = Operation {
            verb,
            kind: kind(verb, resource.subresource, self.query),
            object: Object::Resource(resource),
        };
        (operation, unread)
    }
}

/// As the API server splits a path.
fn segments(path: &str) -> std::str::Split<'_, char> {
    path.trim_matches('/').split('/')
}

/// Whether a path that the API server takes for none of an API's begins as one but for its case, which others may not mind.
fn is_like_an_apis(path: &str) -> bool {
    let first = segments(path).next().unwrap_or_default();
    ["api", "apis"]
        .iter()
        .any(|prefix| first.eq_ignore_ascii_case(prefix) && first != *prefix)
}

impl Operation<'_> {
    /// Whether all it does is read. What runs something, or talks to a pod or a service, does not, whatever its verb.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.verb.is_read() && !self.reaches_in()
    }

    /// Whether it leads into a pod, a node, or to a service, whatever its verb: a GET runs a command there as well as a POST.
    #[must_use]
    pub fn reaches_in(&self) -> bool {
        match &self.object {
            Object::Resource(Resource { subresource, .. }) => {
                matches!(*subresource, "exec" | "attach" | "portforward" | "proxy")
            }
            Object::Path(_) => false,
        }
    }
}

/// In a few words, of which there are few: `list pods`, `create pods/exec`, `get`. Names of objects and paths are not among them.
impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb.as_str())?;
        let Object::Resource(resource) = &self.object else {
            return Ok(());
        };
        write!(f, " {}", resource.resource)?;
        if resource.subresource.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", resource.subresource)
    }
}

/// `/api/<version>/…` or `/apis/<group>/<version>/…`, with something after the version.
struct Parts<'a> {
    group: &'a str,
    version: &'a str,
    first: &'a str,
    rest: std::str::Split<'a, char>,
}

impl<'a> Parts<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut rest = segments(path);
        let group = match rest.next()? {
            "api" => "",
            "apis" => rest.next()?,
            _ => return None,
        };
        Some(Self {
            group,
            version: rest.next()?,
            first: rest.next()?,
            rest,
        })
    }

    /// And how many segments are left.
    fn read(self, method: &str, query: &'a str) -> (Verb, Resource<'a>, usize) {
        let Self {
            group,
            version,
            mut first,
            mut rest,
        } = self;
        // Verbs in the path are from Kubernetes' first days; the API server still reads them.
        let mut verb = match first {
            "watch" => Verb::Watch,
            "proxy" => Verb::Proxy,
            _ => Verb::of_resource_method(method),
        };
        if matches!(first, "watch" | "proxy") {
            first = rest.next().unwrap_or_default();
        }
        let mut namespace = "";
        if first == "namespaces" {
            let mut below = rest.clone();
            namespace = below.next().unwrap_or_default();
            // `/namespaces/x` and its two subresources are about the namespace itself, all else about what stands in it.
            if let Some(resource) = below
                .next()
                .filter(|part| !matches!(*part, "status" | "finalize"))
            {
                first = resource;
                rest = below;
            }
        }
        let mut name = Cow::Borrowed(rest.next().unwrap_or_default());
        let subresource = rest
            .next()
            .filter(|_| verb != Verb::Proxy)
            .unwrap_or_default();
        if name.is_empty() && verb == Verb::Get {
            verb = if query::is_set(query, "watch") {
                Verb::Watch
            } else {
                Verb::List
            };
            name = query::one_name(query).unwrap_or_default();
        }
        if name.is_empty() && verb == Verb::Delete {
            verb = Verb::DeleteCollection;
        }
        let resource = Resource {
            group,
            version,
            namespace,
            resource: first,
            subresource,
            name,
        };
        (verb, resource, rest.count())
    }
}

fn kind(verb: Verb, subresource: &str, query: &str) -> Kind {
    match (verb, subresource) {
        (Verb::Watch, _) => Kind::Watch,
        (_, "exec" | "attach") => Kind::Exec,
        (_, "portforward") => Kind::PortForward,
        (_, "log") if query::is_set(query, "follow") => Kind::Log,
        _ => Kind::Short,
    }
}

#[cfg(test)]
mod tests;
