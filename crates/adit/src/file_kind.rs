//! Tells by the keys at its top whose a config file is, as there are three kinds: for whoever gave a command one of another kind.

use crate::failure::Failure;

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Relay,
    Agent,
    /// An agent's, at GitLab.
    AtGitLab,
}

impl FileKind {
    const ALL: [Self; 3] = [Self::Relay, Self::Agent, Self::AtGitLab];

    /// The kind that has most of the keys at a text's top; none if none has one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let keys: Vec<_> = text
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0))
            .collect();
        let counted = Self::ALL.map(|kind| {
            let known = keys.iter().filter(|key| kind.keys().contains(key));
            (known.count(), kind)
        });
        let (count, kind) = counted.into_iter().max_by_key(|(count, _)| *count)?;
        (count > 0).then_some(kind)
    }

    /// What to do with a file of this kind.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::Relay => {
                "this looks like a relay's file: it is for `adit relay --config`, and checked by `adit config check`"
            }
            Self::Agent => {
                "this looks like an agent's own file: it is for `adit agent --config`, and checked by `adit doctor agent --config`"
            }
            Self::AtGitLab => {
                "this looks like an agent's file at GitLab, `.gitlab/agents/<name>/config.yaml`: it is checked by `adit config check --gitlab`"
            }
        }
    }

    /// The failure to use a text as this kind of file, with what to do if it is of another.
    pub(crate) fn not_in(self, text: &str, failure: Failure) -> Failure {
        match Self::of(text) {
            Some(other) if other != self => failure.advising(other.advice()),
            Some(_) | None => failure,
        }
    }

    /// Keys that the others have not.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Relay => &[
                "listen",
                "authorities",
                "agents",
                "gitlab_api",
                "route",
                "tunnel",
                "audit",
                "drain",
            ],
            Self::Agent => &["relay", "kubernetes", "ceiling", "replica", "drain_grace"],
            Self::AtGitLab => &[
                "ci_access",
                "user_access",
                "observability",
                "container_scanning",
                "remote_development",
                "gitops",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_the_keys_at_its_top() {
        for (text, kind) in [
            ("listen:\n  address: x\nadmin: {}\n", Some(FileKind::Relay)),
            (
                "# a comment: relay\nrelay:\n  agents: 1\n",
                Some(FileKind::Agent),
            ),
            ("ci_access:\n  relay: 1\n", Some(FileKind::AtGitLab)),
            ("limits: {}\nflux: {}\n", None),
            ("", None),
        ] {
            assert_eq!(FileKind::of(text), kind, "{text}");
        }
    }
}
