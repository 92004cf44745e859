//! How GitLab is asked, checked, with every default in one place ([`GitLabConfig::new`]).
//! Invariant: tokens are sent over TLS, or never leave this very machine.

mod differences;
mod raw;

use std::{path::PathBuf, time::Duration};

use http::HeaderName;

use super::{
    book::Bounds, files::AgentFilesConfig, gitaly::GitalyConfig, granted::CiUser, vouch::Times,
};

pub use raw::{RawBrowsers, RawGitLab};

/// The checked section. Fields as in [`RawGitLab`].
#[derive(Clone, Debug)]
pub struct GitLabConfig {
    /// The instance, without a slash at the end.
    pub url: Box<str>,
    /// Certificates believed beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Where the secret is that GitLab shares with its agent server. Default: none, and GitLab is not asked about agents' tokens.
    pub api_secret_file: Option<PathBuf>,
    /// How browsers are served that are logged in to GitLab. Default: not at all.
    pub browsers: Option<BrowsersConfig>,
    /// How agents' files are read. Default: not at all.
    pub agent_files: Option<AgentFilesConfig>,
    /// How Gitaly is asked.
    pub gitaly: GitalyConfig,
    /// Where the secrets are that GitLab shows with its job events. Default: none, and no event is taken.
    pub webhook_secret_file: Option<PathBuf>,
    /// How often GitLab is asked about a token in use, at least.
    pub recheck: Duration,
    /// How long what GitLab said holds while it does not answer.
    pub max_stale: Duration,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long a refusal is remembered.
    pub refused_for: Duration,
    /// Calls in one second.
    pub calls_per_second: u32,
    /// Calls that may go out at once, after a quiet spell.
    pub calls_at_once: u32,
    /// Tokens that GitLab does not know, in one second from one address.
    pub bad_tokens_per_second: u32,
    /// Tokens remembered.
    pub max_tokens: usize,
    /// Bytes held for them.
    pub max_memory: usize,
    pub(super) ci_user: CiUser,
}

/// How browsers are served that are logged in to GitLab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowsersConfig {
    /// The origins of pages that may ask, as browsers write them. Default: that of the instance.
    pub allowed_origins: Vec<Box<str>>,
    /// Header fields of clusters' answers that browsers may see beside the usual ones. Default: none.
    pub extra_response_headers: Vec<HeaderName>,
}

impl GitLabConfig {
    /// An instance with all defaults.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').into(),
            ca_file: None,
            api_secret_file: None,
            browsers: None,
            agent_files: None,
            gitaly: GitalyConfig::default(),
            webhook_secret_file: None,
            recheck: Duration::from_secs(30),
            max_stale: Duration::from_mins(20),
            timeout: Duration::from_secs(5),
            refused_for: Duration::from_secs(10),
            calls_per_second: 50,
            calls_at_once: 250,
            bad_tokens_per_second: 10,
            max_tokens: 10_000,
            max_memory: 64 << 20,
            ci_user: CiUser::Refused,
        }
    }

    pub(super) fn times(&self) -> Times {
        Times {
            recheck: self.recheck,
            // Four fifths of `max_stale` are left, whenever GitLab falls silent.
            idle_recheck: (self.max_stale / 5).max(self.recheck),
            timeout: self.timeout,
            refused_for: self.refused_for,
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            tokens: self.max_tokens,
            bytes: self.max_memory,
            max_stale: self.max_stale,
        }
    }
}

#[cfg(test)]
mod tests;
