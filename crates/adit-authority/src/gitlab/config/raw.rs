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
use crate::url::{NO_URL, USERINFO, has_userinfo, is_private_enough, is_url};

/// The section `gitlab` of a relay's config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGitLab {
    /// The instance, such as `https://gitlab.com`, with the path of a relative installation. HTTPS, or this machine. Redirects are not
    /// followed. Required.
    pub url: String,
    /// PEM file with certificates that are believed, beside the system's, when GitLab is asked. Read again when it changes; a file that
    /// cannot be used changes nothing and is logged. Default: as `authorities.ca_file`.
    pub ca_file: Option<PathBuf>,
    /// File with the secret that GitLab shares with its agent server, one line of Base64 for 32 bytes. With it an agent's token that stands
    /// nowhere in `agents` is shown to GitLab, and the agent let in that GitLab says it is; and so is a user's `pat:<agent id>:<token>`.
    /// Read again when it changes; a file that cannot be used changes nothing and is logged.
    pub api_secret_file: Option<PathBuf>,
    /// How browsers are served that are logged in to GitLab. Default: not at all.
    pub browsers: Option<RawBrowsers>,
    /// How agents' files at GitLab are read. Default: not at all.
    pub agent_files: Option<RawAgentFiles>,
    /// How Gitaly is asked, where it is. Default: as GitLab's own agent server does.
    #[serde(default)]
    pub gitaly: RawGitaly,
    /// File with the secrets that GitLab may show at `POST /webhooks/gitlab`, one to a line, four at most, of 16 visible characters and
    /// more. Read again when it changes; a file that cannot be used changes nothing and is logged. Without it the path does not exist.
    pub webhook_secret_file: Option<PathBuf>,
    /// How often GitLab is asked about a token under which something runs; the first time up to a fifth earlier by chance, so that those of
    /// one moment are not asked about together. A job that has ended, a user who may no longer use the agent, and the tunnels of an agent
    /// whose token was revoked, are cut within this and a second, and what a call takes. It is also how long a yes is good without asking.
    pub recheck: Option<String>,
    /// How long a job or a user that GitLab has vouched for goes on while GitLab answers 5xx, hangs, limits us, or is out of reach; from
    /// GitLab's last word on. Then its requests are cut, and refused with `gitlab_unavailable`; an agent's tunnels likewise. A job that is
    /// quiet is asked about in each fifth of this (in each `recheck`, if that is longer), so that four fifths are left whenever GitLab
    /// falls silent.
    pub max_stale: Option<String>,
    /// How long one call may take. The request of a known job waits a second at most, and goes on by what GitLab said before.
    pub timeout: Option<String>,
    /// How long a token that GitLab refused is refused without asking: a client that tries again costs GitLab nothing, and a grant that
    /// comes late is seen soon.
    pub refused_for: Option<String>,
    /// Calls to GitLab, of this relay; what GitLab's own agent server allows itself. A job that runs costs one in 30 s, whatever it does,
    /// and so does an agent's or a user's token in use, so this is enough for 1,500 at once, and jobs that are quiet, which cost one in
    /// four minutes, do not count against them; `adit_relay_gitlab_tokens_overdue` tells when it is not.
    pub calls_per_second: Option<u64>,
    /// Calls that may go out at once after a quiet spell. New tokens leave the last fifth to known ones, and those from an address that has
    /// brought a bad one within the last minute leave two: who invents tokens keeps nobody else's new job waiting.
    pub calls_at_once: Option<u64>,
    /// Tokens that GitLab does not know, from one address (of IPv6, one /64 network); those of ten seconds may come at once. A good token
    /// costs nothing. Behind a balancer or proxy see `listen.proxy_protocol_from` and `forwarded_for_from`, or raise it.
    pub bad_tokens_per_second: Option<u64>,
    /// Jobs remembered, and as many tokens of agents, and of users. Those that nobody uses make room for others for which GitLab has
    /// vouched; when there are none, new ones are refused with `gitlab_busy`.
    pub max_tokens: Option<u64>,
    /// What is held for the jobs, each token and what GitLab said, and as much for the agents, and for the users.
    pub max_memory: Option<String>,
    /// Whether `access_as: {ci_user: {}}` is accepted. GitLab does not document who that is; here it is the user `gitlab:user:<username>`
    /// in the groups `gitlab:user` and `gitlab:project_role:<project id>:<role>`. Default: `false`.
    #[serde(default)]
    pub ci_user: bool,
}

/// The section `gitlab.browsers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBrowsers {
    /// Origins of pages that may ask, as browsers write them: `https://gitlab.example.com`. Below `/k8s-proxy` a request with another
    /// `Origin` gets 403, unless it shows a token in `Authorization`: no browser sends that for a page by itself, and Kubernetes' clients
    /// say an origin where they open a WebSocket. Default: that of `url`.
    pub allowed_origins: Option<Vec<String>>,
    /// Header fields of clusters' answers that browsers see beside the usual ones. Never `Set-Cookie`, nor what begins with
    /// `Access-Control-`.
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
    if has_userinfo(url) {
        mistakes.add(key, USERINFO);
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
