//! How Gitaly is asked, as a relay's config names it, and the check.

use std::{path::PathBuf, time::Duration};

use adit_identity::mistakes::{Key, Mistakes, Section};
use serde::Deserialize;

/// The section `gitaly` of `authorities.gitlab`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawGitaly {
    /// PEM file with certificates that are believed, beside the system's, where Gitaly's address is `tls://...`. Read again
    /// when it changes; a file that cannot be used changes nothing and is logged. Default: as
    /// `authorities.gitlab.ca_file`.
    pub ca_file: Option<PathBuf>,
    /// How long one call may take. A server that fails five times in a row is left alone for a second or two, then longer, up to half a
    /// minute.
    pub timeout: Option<String>,
    /// Calls to all of Gitaly's servers; what GitLab's own agent server allows itself, as the next three. A look at a file is one call, two
    /// when there is another commit.
    pub calls_per_second: Option<u64>,
    /// Calls that may go out at once after a quiet spell.
    pub calls_at_once: Option<u64>,
    /// Calls to each server.
    pub server_calls_per_second: Option<u64>,
    /// Calls that may go out at once to each.
    pub server_calls_at_once: Option<u64>,
}

/// The checked section. Fields as in [`RawGitaly`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitalyConfig {
    /// Certificates believed beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Calls in one second, to all servers together.
    pub calls_per_second: u32,
    /// Calls that may go out at once.
    pub calls_at_once: u32,
    /// Calls in one second to each server.
    pub server_calls_per_second: u32,
    /// Calls that may go out to it at once.
    pub server_calls_at_once: u32,
}

impl Default for GitalyConfig {
    fn default() -> Self {
        Self {
            ca_file: None,
            timeout: Duration::from_secs(10),
            calls_per_second: 30,
            calls_at_once: 70,
            server_calls_per_second: 15,
            server_calls_at_once: 40,
        }
    }
}

impl GitalyConfig {
    pub(in crate::gitlab) fn check(raw: RawGitaly, key: &Key, mistakes: &mut Mistakes) -> Self {
        let mut section = Section::at(key.clone(), mistakes);
        let mut config = Self {
            ca_file: raw.ca_file,
            ..Self::default()
        };
        config.timeout =
            section.duration("timeout", raw.timeout.as_deref(), config.timeout, TIMEOUTS);
        let rates = [
            (
                "calls_per_second",
                raw.calls_per_second,
                &mut config.calls_per_second,
            ),
            (
                "calls_at_once",
                raw.calls_at_once,
                &mut config.calls_at_once,
            ),
            (
                "server_calls_per_second",
                raw.server_calls_per_second,
                &mut config.server_calls_per_second,
            ),
            (
                "server_calls_at_once",
                raw.server_calls_at_once,
                &mut config.server_calls_at_once,
            ),
        ];
        for (name, value, field) in rates {
            *field = section.count(name, value, *field, 1..=100_000);
        }
        config
    }
}

const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_mins(1);
