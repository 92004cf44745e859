//! GitLab as a relay's config names it, and the check. Read at start.
//! Invariant: the check notes every mistake with its key.

use std::{path::PathBuf, time::Duration};

use adit_identity::mistakes::{Key, Mistakes, Section};
use http::{HeaderName, Uri, header::SET_COOKIE};
use serde::Deserialize;

use super::{AgentFilesConfig, BrowsersConfig, CiUser, GitLabConfig};
use crate::gitlab::{
    files::RawAgentFiles,
    gitaly::{GitalyConfig, RawGitaly},
};
use crate::url::{NO_URL, is_private_enough, is_url};

/// The section `gitlab` of a relay's config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGitLab {
    /// The instance, such as `https://gitlab.com`, with the path of a relative installation.
    pub url: String,
    /// PEM file with certificates that are believed, beside the system's, when GitLab is asked. Default: `authorities.ca_file`.
    pub ca_file: Option<PathBuf>,
    /// File with the secret that GitLab shares with its agent server: GitLab is asked about agents' tokens, too. Default: none.
    pub api_secret_file: Option<PathBuf>,
    /// How browsers are served that are logged in to GitLab. Default: not at all.
    pub browsers: Option<RawBrowsers>,
    /// How agents' files at GitLab are read. Default: not at all.
    pub agent_files: Option<RawAgentFiles>,
    /// How Gitaly is asked, where it is. Default: as GitLab's own agent server does.
    #[serde(default)]
    pub gitaly: RawGitaly,
    /// File with the secrets that GitLab shows with its job events, one to a line. Default: none, and no event is taken.
    pub webhook_secret_file: Option<PathBuf>,
    /// How often GitLab is asked about a token in use, at least: how long an ended job may go on, or a revoked agent. Default 30s.
    pub recheck: Option<String>,
    /// How long what GitLab said of a token holds while it does not answer. Default 20m.
    pub max_stale: Option<String>,
    /// How long one call may take. Default 5s.
    pub timeout: Option<String>,
    /// How long a token that GitLab refused is refused without asking. Default 10s.
    pub refused_for: Option<String>,
    /// Calls in one second. Default 50, what GitLab's own agent server allows itself.
    pub calls_per_second: Option<u64>,
    /// Calls that may go out at once, after a quiet spell. Default 250, likewise.
    pub calls_at_once: Option<u64>,
    /// Tokens that GitLab does not know, in one second from one address. Default 10.
    pub bad_tokens_per_second: Option<u64>,
    /// Jobs remembered, and as many agents' tokens. Default 10000.
    pub max_tokens: Option<u64>,
    /// What may be held for the jobs, and as much for the agents. Default 64MiB: 6 KiB each, which is ten agents and more.
    pub max_memory: Option<String>,
    /// Whether `access_as: {ci_user: {}}` is accepted. Default: no, because GitLab does not document who that is.
    #[serde(default)]
    pub ci_user: bool,
}

/// The section `gitlab.browsers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBrowsers {
    /// The origins of pages that may ask, such as `https://gitlab.example.com`. Default: that of `url`.
    pub allowed_origins: Option<Vec<String>>,
    /// Header fields of clusters' answers that browsers may see beside the usual ones. Default: none.
    pub extra_response_headers: Vec<String>,
}

impl GitLabConfig {
    /// The section, or what is wrong with it.
    pub fn check(raw: RawGitLab, key: &Key, mistakes: &mut Mistakes) -> Option<Self> {
        let url = check_url(&raw.url, &key.field("url"), mistakes);
        let browsers = raw.browsers.clone().and_then(|browsers| {
            let key = key.field("browsers");
            if raw.api_secret_file.is_none() {
                mistakes.add(
                    &key,
                    "needs api_secret_file: GitLab tells whose a session is only those who know its secret",
                );
            }
            browsers.check(&raw.url, &key, mistakes)
        });
        let agent_files = raw.agent_files.clone().map(|files| {
            let key = key.field("agent_files");
            AgentFilesConfig::check(files, raw.api_secret_file.as_ref(), &key, mistakes)
        });
        let gitaly = GitalyConfig::check(raw.gitaly.clone(), &key.field("gitaly"), mistakes);
        let mut config = Self {
            ca_file: raw.ca_file.clone(),
            agent_files,
            gitaly,
            browsers,
            api_secret_file: raw.api_secret_file.clone(),
            webhook_secret_file: raw.webhook_secret_file.clone(),
            ..Self::new(&raw.url)
        };
        if raw.ci_user {
            config.ci_user = CiUser::Accepted;
        }
        let mut section = Section::at(key.clone(), mistakes);
        config.take_times(&raw, &mut section);
        config.take_bounds(&raw, &mut section);
        url.map(|()| config)
    }

    fn take_times(&mut self, raw: &RawGitLab, section: &mut Section<'_>) {
        const HOUR: Duration = Duration::from_hours(1);
        let times = [
            ("recheck", &raw.recheck, &mut self.recheck, HOUR),
            ("max_stale", &raw.max_stale, &mut self.max_stale, 24 * HOUR),
            ("timeout", &raw.timeout, &mut self.timeout, HOUR / 60),
            ("refused_for", &raw.refused_for, &mut self.refused_for, HOUR),
        ];
        for (name, text, field, most) in times {
            *field = section.duration(name, text.as_deref(), *field, LEAST..=most);
        }
        if self.max_stale < self.recheck {
            section.mistake(
                "max_stale",
                "shorter than recheck, so jobs would be refused between two calls",
            );
        }
    }

    fn take_bounds(&mut self, raw: &RawGitLab, section: &mut Section<'_>) {
        let rates = [
            (
                "calls_per_second",
                raw.calls_per_second,
                &mut self.calls_per_second,
            ),
            ("calls_at_once", raw.calls_at_once, &mut self.calls_at_once),
            (
                "bad_tokens_per_second",
                raw.bad_tokens_per_second,
                &mut self.bad_tokens_per_second,
            ),
        ];
        for (name, value, field) in rates {
            *field = section.count(name, value, *field, 1..=100_000);
        }
        self.max_tokens = section.count(
            "max_tokens",
            raw.max_tokens,
            self.max_tokens,
            1..=10_000_000,
        );
        self.max_memory = section.size(
            "max_memory",
            raw.max_memory.as_deref(),
            self.max_memory,
            1 << 20..=1 << 40,
        );
    }
}

impl RawBrowsers {
    fn check(self, url: &str, key: &Key, mistakes: &mut Mistakes) -> Option<BrowsersConfig> {
        let origins = match self.allowed_origins {
            None => origin(url).into_iter().collect(),
            Some(listed) => {
                let key = key.field("allowed_origins");
                let listed = listed.iter().enumerate();
                listed
                    .filter_map(|(at, text)| mistakes.check(&key.index(at), check_origin(text)))
                    .collect()
            }
        };
        let key = key.field("extra_response_headers");
        let headers = self.extra_response_headers.iter().enumerate();
        let extra_response_headers = headers
            .filter_map(|(at, name)| mistakes.check(&key.index(at), check_header(name)))
            .collect();
        Some(BrowsersConfig {
            allowed_origins: origins,
            extra_response_headers,
        })
    }
}

/// What browsers say of a page of this URL.
fn origin(url: &str) -> Option<Box<str>> {
    let url: Uri = url.parse().ok()?;
    let (scheme, host) = (url.scheme_str()?, url.host()?.to_ascii_lowercase());
    let usual = if scheme == "https" { 443 } else { 80 };
    Some(match url.port_u16() {
        Some(port) if port != usual => format!("{scheme}://{host}:{port}").into(),
        Some(_) | None => format!("{scheme}://{host}").into(),
    })
}

fn check_origin(text: &str) -> Result<Box<str>, &'static str> {
    if !is_url(text) || !is_private_enough(text) || origin(text).as_deref() != Some(text) {
        return Err("not an origin as browsers write it, such as https://gitlab.example.com");
    }
    Ok(text.into())
}

/// Not one by which a cluster could log a browser in or out, or let pages of others in.
fn check_header(text: &str) -> Result<HeaderName, &'static str> {
    let name = text.parse::<HeaderName>();
    let name = name.map_err(|_| "not the name of a header field")?;
    let is_ours = name == SET_COOKIE || name.as_str().starts_with("access-control-");
    if is_ours {
        return Err("never passes from a cluster to a browser that is logged in to GitLab");
    }
    Ok(name)
}

fn check_url(url: &str, key: &Key, mistakes: &mut Mistakes) -> Option<()> {
    if !is_url(url) || url.contains('?') {
        mistakes.add(key, NO_URL);
        return None;
    }
    if !is_private_enough(url) {
        mistakes.add(
            key,
            "not https: whoever is on the way could read the tokens of jobs",
        );
        return None;
    }
    Some(())
}

/// Of a duration: less is a busy loop.
const LEAST: Duration = Duration::from_millis(10);
