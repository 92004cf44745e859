//! Decides as whom this agent ever acts, and what it ever does then and where, whatever a relay asks: a relay that was taken over must not
//! own the cluster. Called by [`super::Acting`]: once for whom a relay names, and for each request for whom its caller names and for what
//! it does.
//! Invariants: where anything of what it does is limited, what cannot be told for sure is refused. Names that begin with `system:` are Kubernetes' own (its components, node accounts, service accounts and
//! `system:masters`, whom RBAC cannot stop): only a pattern that itself begins with `system:` covers one, and
//! `system:masters` only its full name.

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
        if !namespace.is_empty() && !covers(&self.namespaces, namespace) {
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
        Self::of(text, b"-.", BadPattern::Subresource)
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
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn as_user(user: &str, groups: &[&str]) -> Impersonation {
        let groups = groups.iter().map(|&group| group.into()).collect();
        Impersonation::new(user.into(), None, groups, vec![]).unwrap()
    }

    #[test]
    fn default_covers_jobs_and_nothing_of_the_system() {
        let ceiling = Ceiling::default();
        assert_eq!(ceiling.check_agent(), Ok(()));
        assert_eq!(
            ceiling.check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job", "admins"])),
            Ok(())
        );
        for user in [
            "system:admin",
            "system:serviceaccount:kube-system:default",
            "system:node:a",
        ] {
            assert_eq!(
                ceiling.check(&as_user(user, &[])),
                Err(Beyond::User(user.into()))
            );
        }
        for group in ["system:masters", "system:nodes"] {
            let beyond = ceiling.check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job", group]));
            assert_eq!(beyond, Err(Beyond::Group(group.into())));
        }
    }

    #[test]
    fn masters_must_be_named_in_full() {
        let groups = |texts: &[&str]| Ceiling {
            groups: patterns(texts),
            ..Ceiling::default()
        };
        let masters = as_user("a", &["system:masters"]);
        assert!(
            groups(&["*", "system:*", "system:m*"])
                .check(&masters)
                .is_err()
        );
        assert_eq!(groups(&["system:masters"]).check(&masters), Ok(()));
        assert_eq!(
            groups(&["system:*"]).check(&as_user("a", &["system:nodes"])),
            Ok(())
        );
    }

    #[test]
    fn what_is_listed_is_all_that_is_covered() {
        let ceiling = Ceiling {
            agent: false,
            users: patterns(&["gitlab:*"]),
            groups: patterns(&["gitlab:ci_job"]),
            ..Ceiling::default()
        };
        assert_eq!(ceiling.check_agent(), Err(Beyond::Agent));
        assert_eq!(
            ceiling.check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job"])),
            Ok(())
        );
        assert!(ceiling.check(&as_user("root", &[])).is_err());
        assert!(
            ceiling
                .check(&as_user("gitlab:ci_job:1", &["gitlab:ci_job:2"]))
                .is_err()
        );
        let nobody = Ceiling {
            users: vec![],
            ..Ceiling::default()
        };
        assert!(nobody.check(&as_user("a", &[])).is_err());
    }

    #[test]
    fn a_star_stands_only_at_the_end() {
        assert_eq!("gitlab:*:1".parse::<Pattern>(), Err(BadPattern::Star));
        assert_eq!("**".parse::<Pattern>(), Err(BadPattern::Star));
        assert_eq!("".parse::<Pattern>(), Err(BadPattern::Empty));
    }
    fn refused(ceiling: &Ceiling, method: &str, target: &str) -> Option<String> {
        let checked = ceiling.check_deed(&Deed::of(method, target));
        checked.err().map(|beyond| beyond.to_string())
    }

    /// That it is refused, by this key.
    fn assert_refused(ceiling: &Ceiling, key: &str, requests: &[(&str, &str)]) {
        for (method, target) in requests {
            let why = refused(ceiling, method, target).unwrap_or_default();
            assert!(
                why.contains(&format!("`ceiling.{key}")),
                "{method} {target}: {why}"
            );
        }
    }

    fn assert_allowed(ceiling: &Ceiling, requests: &[(&str, &str)]) {
        for (method, target) in requests {
            assert_eq!(refused(ceiling, method, target), None, "{method} {target}");
        }
    }

    const POD: &str = "/api/v1/namespaces/shop/pods/p";
    const EXEC: &str = "/api/v1/namespaces/shop/pods/p/exec?command=sh";
    const FIRST: [(&str, &str); 3] = [
        ("GET", "/apis/apps/v1"),
        ("GET", "/version"),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        ),
    ];

    #[test]
    fn what_is_not_limited_may_be_anything() {
        let requests = [
            ("GET", "/api/v1/secrets"),
            ("BREW", "//api/../%2F"),
            ("GET", EXEC),
            ("GET", "/metrics"),
        ];
        assert_allowed(&Ceiling::default(), &requests);
    }

    #[test]
    fn namespaces_are_all_that_it_acts_in() {
        let mut ceiling = Ceiling {
            namespaces: patterns(&["shop", "review-*"]),
            cluster_scope: false,
            ..Ceiling::default()
        };
        assert_allowed(&ceiling, &FIRST);
        assert_allowed(
            &ceiling,
            &[
                ("GET", EXEC),
                ("DELETE", "/api/v1/namespaces/shop"),
                (
                    "GET",
                    "/apis/apps/v1/namespaces/review-1/deployments?watch=1",
                ),
                ("GET", "/api/v1/watch/namespaces/shop/pods"),
            ],
        );
        assert_refused(
            &ceiling,
            "namespaces",
            &[
                ("GET", "/api/v1/namespaces/kube-system/secrets"),
                ("GET", "/api/v1/namespaces/shops/pods"),
                ("GET", "/api/v1/namespaces/SHOP/pods"),
                ("PATCH", "/api/v1/namespaces/review"),
                ("GET", "/api/v1/watch/namespaces/default/pods"),
                ("GET", "/api/v1/namespaces/shop/../default/pods"),
                ("GET", "/api/v1/namespaces/shop%2f..%2fdefault/pods"),
                ("GET", "/api/v1/namespaces//pods"),
                ("GET", "/api/v1/proxy/namespaces/default/pods/p"),
                ("GET", "/API/v1/namespaces/default/pods"),
            ],
        );
        let of_the_cluster = [
            ("GET", "/api/v1/secrets"),
            (
                "GET",
                "/api/v1/pods?fieldSelector=metadata.namespace%3Dshop",
            ),
            ("GET", "/api/v1/watch/pods"),
            ("GET", "/api/v1/nodes/n/proxy/exec"),
            ("POST", "/api/v1/namespaces"),
            ("GET", "/metrics"),
        ];
        assert_refused(&ceiling, "cluster_scope", &of_the_cluster);
        ceiling.cluster_scope = true;
        assert_allowed(&ceiling, &of_the_cluster);
        assert_refused(
            &ceiling,
            "namespaces",
            &[("GET", "/api/v1/namespaces/default/pods")],
        );
    }

    #[test]
    fn verbs_are_all_that_it_does() {
        let ceiling = Ceiling {
            verbs: patterns(&["get", "list", "watch"]),
            ..Ceiling::default()
        };
        assert_allowed(&ceiling, &FIRST);
        assert_allowed(
            &ceiling,
            &[
                ("GET", POD),
                ("HEAD", POD),
                ("GET", "/api/v1/pods?watch=1"),
                ("GET", "/metrics"),
            ],
        );
        assert_refused(
            &ceiling,
            "verbs",
            &[
                ("POST", "/api/v1/namespaces/shop/pods"),
                ("PUT", POD),
                ("PATCH", POD),
                ("DELETE", POD),
                ("DELETE", "/api/v1/namespaces/shop/pods?watch=1"),
                ("POST", EXEC),
                // A WebSocket.
                ("GET", EXEC),
                ("GET", "/api/v1/namespaces/shop/services/s/proxy/"),
                ("GET", "/api/v1/nodes/n/proxy/run"),
                ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
                ("DELETE", "/api/v1/watch/namespaces/shop/pods/p"),
                ("post", "/api/v1/namespaces/shop/pods"),
            ],
        );
        let no_list = Ceiling {
            verbs: patterns(&["get", "watch"]),
            ..Ceiling::default()
        };
        let pods = "/api/v1/namespaces/shop/pods";
        for query in [
            "",
            "?watch=0",
            "?watch=false",
            "?fieldSelector=metadata.name=p",
            "?watch=1;x",
        ] {
            assert_refused(&no_list, "verbs", &[("GET", &format!("{pods}{query}"))]);
        }
        for query in ["?watch=1", "?watch=true", "?watch"] {
            assert_allowed(&no_list, &[("GET", &format!("{pods}{query}"))]);
        }
        let no_watch = Ceiling {
            verbs: patterns(&["get", "list"]),
            ..Ceiling::default()
        };
        for target in [
            "/api/v1/pods?watch=true",
            "/api/v1/pods?w%61tch=1",
            "/api/v1/pods?watch=yes",
            "/api/v1/watch/pods",
        ] {
            assert_refused(&no_watch, "verbs", &[("GET", target)]);
        }
    }

    #[test]
    fn subresources_are_all_that_it_touches_of_an_object_apart() {
        let ceiling = Ceiling {
            subresources: patterns(&["log", "s*"]),
            ..Ceiling::default()
        };
        assert_allowed(&ceiling, &FIRST);
        assert_allowed(
            &ceiling,
            &[
                ("GET", "/api/v1/secrets"),
                ("DELETE", POD),
                ("GET", "/api/v1/namespaces/shop/pods/p/log?follow=true"),
                ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/d/scale"),
                ("PUT", "/api/v1/namespaces/shop/status"),
            ],
        );
        assert_refused(
            &ceiling,
            "subresources",
            &[
                ("POST", EXEC),
                ("GET", EXEC),
                ("GET", "/api/v1/namespaces/shop/pods/p/EXEC"),
                ("GET", "/api/v1/namespaces/shop/pods/p/exec/"),
                ("GET", "/api/v1/namespaces/shop/pods/p/%65xec"),
                ("GET", "/api/v1/namespaces/shop/pods/p%2Fexec"),
                ("GET", "/api/v1/namespaces/shop/pods//p/exec"),
                ("GET", "/api/v1/proxy/namespaces/shop/pods/p"),
                ("POST", "/api/v1/namespaces/shop/pods/p/attach"),
                ("POST", "/api/v1/namespaces/shop/pods/p/portforward"),
                (
                    "PATCH",
                    "/api/v1/namespaces/shop/pods/p/ephemeralcontainers",
                ),
                ("POST", "/api/v1/namespaces/shop/pods/p/eviction"),
                ("POST", "/api/v1/namespaces/shop/serviceaccounts/a/token"),
                ("PUT", "/api/v1/namespaces/shop/finalize"),
                ("GET", "/api/v1/nodes/n/proxy/run"),
            ],
        );
        let whole_objects = Ceiling {
            subresources: vec![],
            ..Ceiling::default()
        };
        assert_allowed(&whole_objects, &[("DELETE", POD)]);
        assert_refused(
            &whole_objects,
            "subresources",
            &[("GET", "/api/v1/namespaces/shop/pods/p/log")],
        );
    }

    #[test]
    fn patterns_that_would_cover_nothing_are_mistakes() {
        assert!(Pattern::of_namespaces("review-*").is_ok());
        for odd in ["Shop", "a/b", "kube_system", "system:*"] {
            assert_eq!(
                Pattern::of_namespaces(odd),
                Err(BadPattern::Namespace),
                "{odd}"
            );
        }
        assert!(Pattern::of_verbs("delete*").is_ok());
        for odd in ["exec", "Get", "read*", "impersonate", "proxy"] {
            assert_eq!(Pattern::of_verbs(odd), Err(BadPattern::Verb), "{odd}");
        }
        assert!(Pattern::of_subresources("exec").is_ok());
        for odd in ["pods/exec", "pods/*", "Exec"] {
            assert_eq!(
                Pattern::of_subresources(odd),
                Err(BadPattern::Subresource),
                "{odd}"
            );
        }
    }
}
