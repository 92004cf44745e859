//! Decides as whom this agent ever acts, whatever a relay asks: a relay that was taken over must not own the cluster.
//! Called by [`super::Acting`]: once for what a relay names, and for each request for what its caller does.
//! Invariant: names that begin with `system:` are Kubernetes' own (its components, node accounts, service accounts and
//! `system:masters`, whom RBAC cannot stop): only a pattern that itself begins with `system:` covers one, and
//! `system:masters` only its full name.

use std::str::FromStr;

use adit_identity::Impersonation;

/// The identities the agent acts as. The default is every user and group but those that begin with `system:`, and the
/// agent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// Whether a request may run with the agent's own rights (`access_as: agent`).
    pub(crate) agent: bool,
    pub(crate) users: Vec<Pattern>,
    pub(crate) groups: Vec<Pattern>,
}

/// An identity above the ceiling. The message is for the caller, too.
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
}

impl Default for Ceiling {
    fn default() -> Self {
        let all = vec![Pattern::Prefix(String::new())];
        Self {
            agent: true,
            users: all.clone(),
            groups: all,
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
}

impl Pattern {
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
}
