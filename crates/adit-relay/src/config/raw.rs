//! The configuration file as it is written, before anything in it is checked.
//!
//! Read by `adit relay` and by tests. Durations are texts such as `30s`, sizes such as `64KiB`; what is left out has the
//! default that the checked type documents. Unknown keys are refused, so that a misspelt limit does not go unnoticed.

use std::path::PathBuf;

use adit_authority::{RawAgent, RawGitLab, RawOidc};
use adit_identity::mistakes::{Key, Mistakes};
use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;

use crate::audit::WhenFull;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// The public port.
    pub listen: RawListen,
    /// The private port.
    pub admin: RawAdmin,
    /// The port that GitLab calls. Default: none.
    pub gitlab_api: Option<RawGitLabApi>,
    /// Metrics.
    pub metrics: RawMetrics,
    /// Threads that carry traffic, each with a runtime of its own. Default: one per core.
    pub shards: Option<usize>,
    /// Who vouches for callers.
    pub authorities: RawAuthorities,
    /// The agents and who may use them.
    pub agents: Vec<RawAgent>,
    /// Finding an agent's tunnel.
    pub route: RawRoute,
    /// Sessions with agents.
    pub tunnel: RawTunnel,
    /// What one connection, job, agent may use.
    pub limits: RawLimits,
    /// What is written down of requests.
    pub audit: RawAudit,
    /// The process's own log.
    pub log: RawLog,
    /// Stopping.
    pub drain: RawDrain,
}

impl RawConfig {
    /// Reads YAML.
    ///
    /// # Errors
    ///
    /// The text is no YAML, has a key that is unknown, or a value of another type. The place is told, the value is not:
    /// it may be a secret in the wrong line.
    pub fn from_yaml(text: &str) -> Result<Self, Mistakes> {
        serde_saphyr::from_str(text).map_err(|error| {
            let mut mistakes = Mistakes::new();
            let error = error.without_snippet();
            let what = error.render_with_formatter(&UserMessageFormatter);
            mistakes.add(&Key::root(), what);
            mistakes
        })
    }
}

/// Section `listen`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawListen {
    /// Address and port.
    pub address: Option<String>,
    /// PEM file with the certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with its key.
    pub key: Option<PathBuf>,
    /// Longest TLS handshake.
    pub handshake_timeout: Option<String>,
    /// Longest time for a request's head.
    pub head_timeout: Option<String>,
    /// Longest time without a request.
    pub idle_timeout: Option<String>,
    /// Silence after which TCP asks whether the peer is there.
    pub keepalive: Option<String>,
    /// Addresses and networks of balancers that speak the PROXY protocol.
    pub proxy_protocol_from: Vec<String>,
    /// Addresses and networks of proxies whose `X-Forwarded-For` is believed.
    pub forwarded_for_from: Vec<String>,
}

/// Section `admin`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAdmin {
    /// Address and port.
    pub address: Option<String>,
    /// File with the token that opens `/status`.
    pub token_file: Option<PathBuf>,
}

/// Section `gitlab_api`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawGitLabApi {
    /// Address and port.
    pub address: Option<String>,
    /// PEM file with the certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with its key.
    pub key: Option<PathBuf>,
    /// File with the secret that GitLab proves itself with.
    pub secret_file: Option<PathBuf>,
    /// Connections.
    pub connections: Option<u64>,
}

/// Section `metrics`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMetrics {
    /// Agents that have series of their own.
    pub agents: Option<u64>,
}

/// Section `authorities`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAuthorities {
    /// Issuers of ID tokens.
    pub oidc: RawOidc,
    /// GitLab's own API.
    pub gitlab: Option<RawGitLab>,
    /// PEM file with certificates that are believed, beside the system's, when keys are fetched and GitLab is asked.
    pub ca_file: Option<PathBuf>,
}

/// Section `route`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRoute {
    /// How long a request waits for an agent that left just now.
    pub wait: Option<String>,
    /// How long an agent counts as having left just now.
    pub reconnecting: Option<String>,
}

/// Section `tunnel`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTunnel {
    /// Silence after which an agent is pinged.
    pub ping_interval: Option<String>,
    /// Silence after which an agent is given up.
    pub dead_after: Option<String>,
    /// Longest time for opening a session.
    pub handshake_timeout: Option<String>,
    /// Window that a stream starts with.
    pub stream_credit: Option<String>,
    /// Largest window of one stream.
    pub max_stream_credit: Option<String>,
    /// Bytes that may lie unread in one tunnel.
    pub max_buffered: Option<String>,
    /// Bytes that may lie unread in all tunnels.
    pub max_buffered_in_all: Option<String>,
    /// Bytes that may wait to be sent in one tunnel.
    pub max_queued: Option<String>,
    /// Bytes that may wait to be sent of one stream.
    pub stream_queue: Option<String>,
}

/// Section `limits`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Connections.
    pub connections: Option<u64>,
    /// Connections from one address.
    pub connections_per_address: Option<u64>,
    /// Requests at once on one HTTP/2 connection.
    pub streams_per_connection: Option<u64>,
    /// Requests that one HTTP/2 connection may take back in a second.
    pub cancels_per_second: Option<u64>,
    /// Bytes of a request's head.
    pub head_size: Option<String>,
    /// Header fields of a request.
    pub head_fields: Option<u64>,
    /// Bytes of an `Authorization` header.
    pub credential_size: Option<String>,
    /// Requests at once of one job.
    pub streams_per_job: Option<u64>,
    /// Requests begun in one second by one job.
    pub opens_per_second: Option<u64>,
    /// Requests at once on one tunnel.
    pub streams_per_tunnel: Option<u64>,
    /// Tunnels at once of one agent.
    pub tunnels_per_agent: Option<u64>,
}

/// Section `audit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAudit {
    /// Where records go.
    pub to: Option<RawAuditTo>,
    /// The file, with `to: file`.
    pub file: Option<PathBuf>,
    /// Size past which the next file begins.
    pub file_size: Option<String>,
    /// Files that are kept beside the one that is written.
    pub files: Option<u64>,
    /// Bytes of records that may wait to be written.
    pub queue: Option<String>,
    /// When they do: requests that may change something.
    pub changes_when_full: Option<WhenFull>,
    /// When they do: requests that only read.
    pub reads_when_full: Option<WhenFull>,
    /// Records of requests without a valid token, in a second.
    pub strangers_per_second: Option<u64>,
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawAuditTo {
    /// There are none.
    Nowhere,
    /// Standard output.
    Stdout,
    /// `file`.
    File,
}

/// Section `log`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// A level, or levels by target.
    pub filter: Option<String>,
}

/// Section `drain`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDrain {
    /// How long running requests may go on.
    pub grace: Option<String>,
}
