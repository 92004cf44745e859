//! Tells what two configurations of GitLab say differently, by key: for a relay, which takes none of it up while it runs.

use super::{BrowsersConfig, GitLabConfig};
use crate::gitlab::{files::AgentFilesConfig, gitaly::GitalyConfig};

impl GitLabConfig {
    /// The keys, below `authorities.gitlab`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        // All fields are named, so that nobody adds one without a thought.
        let Self {
            url,
            ca_file,
            api_secret_file,
            browsers,
            agent_files,
            gitaly,
            webhook_secret_file,
            recheck,
            max_stale,
            timeout,
            refused_for,
            calls_per_second,
            calls_at_once,
            bad_tokens_per_second,
            max_tokens,
            max_memory,
            ci_user,
        } = self;
        let mut keys = those([
            ("url", *url != other.url),
            ("ca_file", *ca_file != other.ca_file),
            ("api_secret_file", *api_secret_file != other.api_secret_file),
            (
                "webhook_secret_file",
                *webhook_secret_file != other.webhook_secret_file,
            ),
            ("recheck", *recheck != other.recheck),
            ("max_stale", *max_stale != other.max_stale),
            ("timeout", *timeout != other.timeout),
            ("refused_for", *refused_for != other.refused_for),
            (
                "calls_per_second",
                *calls_per_second != other.calls_per_second,
            ),
            ("calls_at_once", *calls_at_once != other.calls_at_once),
            (
                "bad_tokens_per_second",
                *bad_tokens_per_second != other.bad_tokens_per_second,
            ),
            ("max_tokens", *max_tokens != other.max_tokens),
            ("max_memory", *max_memory != other.max_memory),
            ("ci_user", *ci_user != other.ci_user),
        ]);
        match (browsers, &other.browsers) {
            (Some(browsers), Some(other)) => keys.extend(of_browsers(browsers, other)),
            (one, other) if one.is_some() != other.is_some() => keys.push("browsers"),
            (Some(_) | None, _) => {}
        }
        match (agent_files, &other.agent_files) {
            (Some(files), Some(next)) => {
                keys.extend(of_agent_files(files, next));
                // What the secret makes possible is none of that key's.
                let is_as_possible = api_secret_file.is_some() == other.api_secret_file.is_some();
                if is_as_possible && files.asks_gitaly != next.asks_gitaly {
                    keys.push("agent_files.source");
                }
            }
            (one, other) if one.is_some() != other.is_some() => keys.push("agent_files"),
            (Some(_) | None, _) => {}
        }
        keys.extend(of_gitaly(gitaly, &other.gitaly));
        keys
    }
}

fn of_browsers(one: &BrowsersConfig, other: &BrowsersConfig) -> Vec<&'static str> {
    let BrowsersConfig {
        allowed_origins,
        extra_response_headers,
    } = one;
    those([
        (
            "browsers.allowed_origins",
            *allowed_origins != other.allowed_origins,
        ),
        (
            "browsers.extra_response_headers",
            *extra_response_headers != other.extra_response_headers,
        ),
    ])
}

fn of_agent_files(one: &AgentFilesConfig, other: &AgentFilesConfig) -> Vec<&'static str> {
    let AgentFilesConfig {
        asks_gitaly: _,
        token_file,
        every,
        has_instance_authorization,
    } = one;
    those([
        ("agent_files.token_file", *token_file != other.token_file),
        ("agent_files.every", *every != other.every),
        (
            "agent_files.instance_authorization",
            *has_instance_authorization != other.has_instance_authorization,
        ),
    ])
}

fn of_gitaly(one: &GitalyConfig, other: &GitalyConfig) -> Vec<&'static str> {
    let GitalyConfig {
        ca_file,
        timeout,
        calls_per_second,
        calls_at_once,
        server_calls_per_second,
        server_calls_at_once,
    } = one;
    those([
        ("gitaly.ca_file", *ca_file != other.ca_file),
        ("gitaly.timeout", *timeout != other.timeout),
        (
            "gitaly.calls_per_second",
            *calls_per_second != other.calls_per_second,
        ),
        (
            "gitaly.calls_at_once",
            *calls_at_once != other.calls_at_once,
        ),
        (
            "gitaly.server_calls_per_second",
            *server_calls_per_second != other.server_calls_per_second,
        ),
        (
            "gitaly.server_calls_at_once",
            *server_calls_at_once != other.server_calls_at_once,
        ),
    ])
}

/// Those that differ.
fn those<const COUNT: usize>(keys: [(&'static str, bool); COUNT]) -> Vec<&'static str> {
    let differing = keys.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}
