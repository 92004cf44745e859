//! Tells what a file is that a command was given as a config file, of which there are three kinds: for whoever gave one of another kind,
//! or what is none of them.

use adit_authority::token;

use crate::failure::Failure;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Relay,
    Agent,
    /// An object of Kubernetes', such as the ConfigMap that has the file in it, or a kubeconfig.
    Object,
    /// A chart's values.
    Values,
    /// An agent's, at GitLab.
    AtGitLab,
    /// A certificate, or a key.
    Pem,
    /// An agent's token.
    Token,
}

impl FileKind {
    /// Those with keys. Of two that a text has as many keys of, the later one is meant.
    const WITH_KEYS: [Self; 5] = [
        Self::Relay,
        Self::Agent,
        Self::Object,
        Self::Values,
        Self::AtGitLab,
    ];

    /// The kind that has most of the keys at a text's top; none if none has one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let begins = text.trim_start();
        if begins.starts_with("-----BEGIN ") {
            return Some(Self::Pem);
        }
        let tokens = [token::PREFIX, token::GITLAB_PREFIX];
        if tokens.iter().any(|prefix| begins.starts_with(prefix)) {
            return Some(Self::Token);
        }
        let keys: Vec<_> = text
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0))
            .collect();
        let counted = Self::WITH_KEYS.map(|kind| {
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
            Self::Object => {
                "this looks like an object of Kubernetes': of the ConfigMap of a relay or an agent, the config file is what `data` has at `relay.yaml` or `agent.yaml`"
            }
            Self::Values => {
                "this looks like a chart's values: helm checks them, and makes the config file of them; docs/upgrade.md has the command that checks a relay's as the chart writes it"
            }
            Self::AtGitLab => {
                "this looks like an agent's file at GitLab, `.gitlab/agents/<name>/config.yaml`: it is checked by `adit config check --gitlab`"
            }
            Self::Pem => {
                "this looks like a certificate or a key: give the config file, which names such files"
            }
            Self::Token => {
                "this looks like an agent's token: give the config file; an agent's names the token's by `relay.token_file`, a relay's has its hash"
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

    /// Keys that the others have not. The agent's chart has some of the agent's, too.
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
            Self::Object => &["apiVersion", "kind"],
            Self::Values => &[
                "config",
                "extraEnv",
                "extraVolumeMounts",
                "extraVolumes",
                "image",
                "networkPolicy",
                "rbac",
                "replicas",
                "resources",
                "service",
                "serviceMonitor",
                "tls",
                "token",
            ],
            Self::AtGitLab => &[
                "ci_access",
                "user_access",
                "observability",
                "container_scanning",
                "remote_development",
                "gitops",
            ],
            Self::Pem | Self::Token => &[],
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
                "# a comment: relay\nrelay:\n  agents: 1\nceiling: {}\n",
                Some(FileKind::Agent),
            ),
            ("ci_access:\n  relay: 1\n", Some(FileKind::AtGitLab)),
            ("config:\n  agents: []\n", Some(FileKind::Values)),
            ("relay:\n  url: a\nrbac: {}\n", Some(FileKind::Values)),
            (
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  relay.yaml: |\n    listen: {}\n",
                Some(FileKind::Object),
            ),
            ("\n-----BEGIN CERTIFICATE-----\n", Some(FileKind::Pem)),
            ("adit-agent-abc\n", Some(FileKind::Token)),
            ("limits: {}\nflux: {}\n", None),
            ("", None),
        ] {
            assert_eq!(FileKind::of(text), kind, "{text}");
        }
        let example = include_str!("../../../deploy/manifests/agent/workload/agent.yaml");
        assert_eq!(FileKind::of(example), Some(FileKind::Agent));
    }
}
