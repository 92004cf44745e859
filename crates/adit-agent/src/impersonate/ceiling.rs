//! Decides as whom this agent ever acts, and what it ever does then and where, whatever a relay asks: a relay that was taken over must not
//! own the cluster. Called by [`super::Acting`]: once for whom a relay names, and for each request for whom its caller names and for what
//! it does.
//! Invariants: where anything of what it does is limited, what cannot be told for sure is refused. Names that begin with `system:` are
//! Kubernetes' own (its components, node accounts, service accounts and `system:masters`, whom RBAC cannot stop): only a pattern that itself
//! begins with `system:` covers one, and `system:masters` only its full name.

use std::str::FromStr;

use adit_identity::Impersonation;

use super::deed::Deed;

/// The identities the agent acts as, and what it does for them. The default is every user and group but those that begin with `system:`,
/// and the agent itself; and everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// Whether a request may run with the agent's own rights (`access_as: agent`).
    pub(crate) agent: bool,
    pub(crate) users: Vec<Pattern>,
    pub(crate) groups: Vec<Pattern>,
    pub(crate) namespaces: Vec<Pattern>,
    /// Whether it acts outside of namespaces, and on what is in all of them at once.
    pub(crate) cluster_scope: bool,
    pub(crate) verbs: Vec<Pattern>,
    /// They do not hold for requests for a whole object.
    pub(crate) subresources: Vec<Pattern>,
}

/// An identity or a request above the ceiling. The message is for the caller, too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Beyond {
    #[error("this agent does not act as itself: its configuration has `ceiling.agent: false`")]
    Agent,
    #[error(
        "this agent does not act as the user `{0}`: its configuration does not allow it in `ceiling.users`"
    )]
    User(String),
    #[error(
        "this agent does not act for the group `{0}`: its configuration does not allow it in `ceiling.groups`"
    )]
    Group(String),
    #[error(
        "this agent does not `{act}` in the namespace `{namespace}`: its configuration does not allow it in `ceiling.namespaces`"
    )]
    Namespace { act: String, namespace: String },
    #[error(
        "this agent does not `{0}` outside of namespaces or in all of them: its configuration does not have `ceiling.cluster_scope: true`"
    )]
    ClusterScope(String),
    #[error(
        "this agent does not `{act}`: its configuration does not allow the verb `{verb}` in `ceiling.verbs`"
    )]
    Verb { act: String, verb: &'static str },
    #[error(
        "this agent does not `{act}`: its configuration does not allow `{subresource}` in `ceiling.subresources`"
    )]
    Subresource { act: String, subresource: String },
    #[error(
        "this agent does nothing that another program could take for something else by its path or method: its configuration has `{0}`"
    )]
    Unclear(&'static str),
}

/// A name, or the beginning of names: `gitlab:ci_job`, `gitlab:*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exactly(String),
    Prefix(String),
}

/// The text is no [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPattern {
    #[error("empty: write a name, or the beginning of one and `*`")]
    Empty,
    #[error("`*` may stand only at the end")]
    Star,
    #[error("no namespace can be called so: lower-case letters, digits and `-`")]
    Namespace,
    #[error(
        "no verb of requests: those are get, list, watch, create, update, patch, delete, deletecollection; and for paths such as /metrics head, options, post, put"
    )]
    Verb,
    #[error("no subresource: write it alone, such as `exec` for `pods/exec`")]
    Subresource,
}

impl Default for Ceiling {
    fn default() -> Self {
        let all = vec![Pattern::Prefix(String::new())];
        Self {
            agent: true,
            users: all.clone(),
            groups: all.clone(),
            namespaces: all.clone(),
            cluster_scope: true,
            verbs: all.clone(),
            subresources: all,
        }
    }
}

impl Ceiling {
    /// Whether the agent may act as itself.
    pub(crate) const fn check_agent(&self) -> Result<(), Beyond> {
        if self.agent {
            Ok(())
        } else {
            Err(Beyond::Agent)
        }
    }

    /// Whether the agent may act as that user with all those groups: one that is not allowed spoils the whole.
    pub(crate) fn check(&self, impersonation: &Impersonation) -> Result<(), Beyond> {
        self.check_user(impersonation.user())?;
        impersonation
            .groups()
            .iter()
            .try_for_each(|group| self.check_group(group))
    }

    pub(crate) fn check_user(&self, user: &str) -> Result<(), Beyond> {
        if covers(&self.users, user) {
            Ok(())
        } else {
            Err(Beyond::User(user.to_owned()))
        }
    }

    pub(crate) fn check_group(&self, group: &str) -> Result<(), Beyond> {
        if covers(&self.groups, group) {
            Ok(())
        } else {
            Err(Beyond::Group(group.to_owned()))
        }
    }

    /// Whether the agent acts in that namespace.
    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        covers(&self.namespaces, namespace)
    }

    /// Whether the agent does that for anybody.
    pub(crate) fn check_deed(&self, deed: &Deed) -> Result<(), Beyond> {
        let Some(key) = self.key_of_deeds() else {
            return Ok(());
        };
        let act = match deed {
            Deed::Discovery => return Ok(()),
            Deed::Unclear => return Err(Beyond::Unclear(key)),
            Deed::Act(act) => act,
        };
        let (namespace, subresource) = (&*act.namespace, &*act.subresource);
        if namespace.is_empty() && !self.cluster_scope {
            return Err(Beyond::ClusterScope(act.to_string()));
        }
        if !namespace.is_empty() && !self.has_namespace(namespace) {
            return Err(Beyond::Namespace {
                act: act.to_string(),
                namespace: namespace.to_owned(),
            });
        }
        if let Some(verb) = act.verbs().find(|verb| !covers(&self.verbs, verb)) {
            let act = act.to_string();
            return Err(Beyond::Verb { act, verb });
        }
        if !subresource.is_empty() && !covers(&self.subresources, subresource) {
            return Err(Beyond::Subresource {
                act: act.to_string(),
                subresource: subresource.to_owned(),
            });
        }
        Ok(())
    }

    /// A key that limits what the agent does.
    fn key_of_deeds(&self) -> Option<&'static str> {
        let limits = [
            ("ceiling.namespaces", !cover_all(&self.namespaces)),
            ("ceiling.cluster_scope", !self.cluster_scope),
            ("ceiling.verbs", !cover_all(&self.verbs)),
            ("ceiling.subresources", !cover_all(&self.subresources)),
        ];
        let limiting = limits.into_iter().find(|(_, limits)| *limits);
        limiting.map(|(key, _)| key)
    }
}

impl Pattern {
    /// One of namespaces, and one that some namespace can have.
    pub(crate) fn of_namespaces(text: &str) -> Result<Self, BadPattern> {
        Self::of(text, b"-", BadPattern::Namespace)
    }

    /// One of requests' verbs that covers some.
    pub(crate) fn of_verbs(text: &str) -> Result<Self, BadPattern> {
        let pattern: Self = text.parse()?;
        let is_known = VERBS.iter().any(|verb| pattern.covers(verb));
        is_known.then_some(pattern).ok_or(BadPattern::Verb)
    }

    /// One of subresources, without the kinds that have them.
    pub(crate) fn of_subresources(text: &str) -> Result<Self, BadPattern> {
        Self::of(text, b"-._", BadPattern::Subresource)
    }

    fn of(text: &str, marks: &[u8], bad: BadPattern) -> Result<Self, BadPattern> {
        let pattern: Self = text.parse()?;
        let (Self::Exactly(name) | Self::Prefix(name)) = &pattern;
        let is_taken =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || marks.contains(&byte);
        match name.bytes().all(is_taken) {
            true => Ok(pattern),
            false => Err(bad),
        }
    }

    fn covers(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exactly) => name == exactly,
            Self::Prefix(prefix) => {
                let is_reserved = name.starts_with(SYSTEM) && !prefix.starts_with(SYSTEM);
                name.starts_with(prefix.as_str()) && !is_reserved && name != MASTERS
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let (text, is_prefix) = text
            .strip_suffix('*')
            .map_or((text, false), |prefix| (prefix, true));
        match (text, is_prefix) {
            (text, _) if text.contains('*') => Err(BadPattern::Star),
            ("", false) => Err(BadPattern::Empty),
            (text, false) => Ok(Self::Exactly(text.to_owned())),
            (text, true) => Ok(Self::Prefix(text.to_owned())),
        }
    }
}

fn covers(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.covers(name))
}

/// Whether nothing is beyond them but names in `system:`.
pub(crate) fn cover_all(patterns: &[Pattern]) -> bool {
    let is_all =
        |pattern: &Pattern| matches!(pattern, Pattern::Prefix(prefix) if prefix.is_empty());
    patterns.iter().any(is_all)
}

/// Of requests for objects, and for paths that lead to none.
const VERBS: [&str; 12] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "head",
    "options",
    "post",
    "put",
];
const SYSTEM: &str = "system:";
/// Bound to cluster-admin beyond RBAC's reach.
const MASTERS: &str = "system:masters";

#[cfg(test)]
mod tests;
