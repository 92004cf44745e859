//! What a request asks of the Kubernetes API, read from its method and target as the API server reads them for RBAC:
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>. Both ends of the
//! tunnel call it, for what they record, count and limit.
//! Invariant: paths are decoded before they are split, because the API server does so; `%2F` in a path is a slash to it.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

mod query;
mod verb;

pub use verb::{Kind, Verb};

/// A request's path, decoded, and its query, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
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
            path: percent_decode_str(path).decode_utf8_lossy(),
            query,
        }
    }

    /// What a request with this method asks for.
    #[must_use]
    pub fn operation(&self, method: &str) -> Operation<'_> {
        let Some(parts) = Parts::of(&self.path) else {
            return Operation {
                verb: Verb::of_method(method),
                object: Object::Path(&self.path),
                kind: Kind::Short,
            };
        };
        let (verb, resource) = parts.read(method, self.query);
        Operation {
            verb,
            kind: kind(verb, resource.subresource, self.query),
            object: Object::Resource(resource),
        }
    }
}

impl Operation<'_> {
    /// Whether all it does is read. What runs something, or talks to a pod or a service, does not, whatever its verb.
    #[must_use]
    pub fn is_read(&self) -> bool {
        let reaches_in = match &self.object {
            Object::Resource(Resource { subresource, .. }) => {
                matches!(*subresource, "exec" | "attach" | "portforward" | "proxy")
            }
            Object::Path(_) => false,
        };
        self.verb.is_read() && !reaches_in
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
        let mut rest = path.trim_matches('/').split('/');
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

    fn read(self, method: &str, query: &'a str) -> (Verb, Resource<'a>) {
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
        (verb, resource)
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
