//! Decides nothing: the configuration as its file spells it. Filled by the binary, which may set fields from flags and the
//! environment afterwards; checked by `Config::try_from`. `docs/agent.md` lists the keys for users.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;

/// The whole file. A key that is left out has its default; one that is not known is a mistake.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// How the relay is reached.
    pub relay: RawRelay,
    /// How the API server is reached.
    pub kubernetes: RawKubernetes,
    /// As whom the agent ever acts, whatever the relay asks.
    pub ceiling: RawCeiling,
    /// What the relay may ask at once.
    pub limits: RawLimits,
    /// Which repositories of Flux are reconciled when GitLab tells of a push. Default: none.
    pub flux: Option<RawFlux>,
    /// Metrics and probes.
    pub admin: RawAdmin,
    /// The process's own log.
    pub log: RawLog,
    /// What this process is called among the replicas of its agent. Default: `POD_NAME` from the environment, else the
    /// host's name and the process id.
    pub replica: Option<String>,
    /// How long streams may run on once the agent was asked to stop. Default `25s`: Kubernetes kills a pod after 30 s.
    pub drain_grace: Option<String>,
    /// The agent's token, from the environment (`ADIT_AGENT_TOKEN`); never in the file. Instead of `relay.token_file`.
    #[serde(skip)]
    pub token: Option<SecretString>,
}

/// `relay:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRelay {
    /// `https://host:port` (or `grpcs://`); without TLS (`http://`, `grpc://`) only to loopback. Required.
    pub url: Option<String>,
    /// PEM bundle with the only authorities that may vouch for the relay. Reread on each connect. Default: those
    /// of the operating system.
    pub ca_file: Option<PathBuf>,
    /// File with the agent's token, reread on each connect. Required, unless the environment gives the token.
    pub token_file: Option<PathBuf>,
    /// HTTP proxy that is asked to CONNECT: `http://user:password@host:port`, or `none`. Default: what `HTTPS_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY` in the environment say.
    pub proxy: Option<SecretString>,
    /// From the name's resolution to the end of the TLS handshake. Default `10s`.
    pub connect_timeout: Option<String>,
    /// Longest first wait after a failure; it doubles with each. Default `500ms`.
    pub backoff_base: Option<String>,
    /// Longest wait at all. Default `10s`: a relay that comes back is found soon.
    pub backoff_cap: Option<String>,
    /// A tunnel that lived this long was healthy, and the waits start over. Default `30s`.
    pub healthy_after: Option<String>,
    /// How often the relay is asked for a sign of life. Default `10s`.
    pub ping_interval: Option<String>,
    /// Silence after which the relay is given up. Default `15s`.
    pub dead_after: Option<String>,
}

/// `kubernetes:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKubernetes {
    /// A kubeconfig. Default: the pod's service account; outside a cluster `$KUBECONFIG` or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig. Default: its current one.
    pub context: Option<String>,
    /// From the name's resolution to the end of the TLS handshake. Default `10s`.
    pub connect_timeout: Option<String>,
    /// Most connections to the API server at once. Default 256.
    pub max_connections: Option<u64>,
    /// Most upgraded connections (exec, attach, port-forward) to the API server at once, beside those. Default 1000.
    pub max_upgrades: Option<u64>,
    /// Bytes that answers may be ahead of their readers, beside 16 KiB that each may. Default 67108864.
    pub max_read_ahead_bytes: Option<u64>,
    /// Most requests at once on one connection, if the API server allows as many. Default 1000.
    pub max_streams_per_connection: Option<u64>,
    /// How often a connection is asked for a sign of life. Default `10s`.
    pub ping_interval: Option<String>,
    /// Silence after which a connection is dead. Default `15s`.
    pub dead_after: Option<String>,
    /// How long a connection is kept without a request. Default `90s`.
    pub idle_after: Option<String>,
}

/// `ceiling:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCeiling {
    /// Whether requests may run with the agent's own rights (`access_as: agent`). Default true.
    pub agent: Option<bool>,
    /// Users it may act as: names, or their beginnings and `*`. Default `["*"]`. Names that begin with `system:` are
    /// covered only by a pattern that begins so, too.
    pub users: Option<Vec<String>>,
    /// Groups it may act for, likewise. `system:masters` is covered only by its full name.
    pub groups: Option<Vec<String>>,
}

/// `limits:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Requests at once, through one tunnel and through all. Default 10000.
    pub max_streams: Option<u64>,
    /// Bytes of one request's head. Default 65536.
    pub max_head_bytes: Option<u64>,
    /// Fields in one request's head. Default 256.
    pub max_fields: Option<u64>,
    /// Bytes of requests that lie unread in tunnels, and as many again on their way to the API server. Default 67108864.
    pub max_buffered_bytes: Option<u64>,
    /// Bytes of answers that wait in one tunnel for the relay. Default 67108864.
    pub max_queued_bytes: Option<u64>,
    /// Bytes of one answer that wait in a tunnel. Default 131072.
    pub stream_queue_bytes: Option<u64>,
    /// Bytes of a request's body that the relay may send before the agent reads, at first. Default 65536.
    pub stream_credit_bytes: Option<u64>,
    /// The same, once the path has shown that it carries more. Default 16777216.
    pub max_stream_credit_bytes: Option<u64>,
}

/// `flux:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFlux {
    /// The GitLab whose repositories are followed: `GitRepository` objects whose URL has its host.
    pub gitlab_url: String,
    /// The namespaces in which they are followed. Default `["flux-system"]`.
    pub namespaces: Option<Vec<String>>,
    /// Where their Receivers are called. Default `http://webhook-receiver.flux-system.svc.cluster.local`. A path
    /// `/api/v1/namespaces/*/services/*/proxy` goes through the API server.
    pub webhook_receiver_url: Option<String>,
    /// What the Lease is called by which one replica leads, and the Secret with the agent's key. Default `adit-agent-flux`.
    pub lease_name: Option<String>,
    /// Their namespace. Default: the pod's.
    pub lease_namespace: Option<String>,
}

/// `admin:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAdmin {
    /// Where `/livez`, `/readyz` and `/metrics` are answered, without authentication. Default `127.0.0.1:8152`.
    pub address: Option<String>,
}

/// `log:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// A level, or levels by target: `info,adit_agent=debug`. Default: what `--log` says, else `info`.
    pub filter: Option<String>,
}

impl RawConfig {
    /// Reads YAML. Nothing of the text is shown in the error.
    ///
    /// # Errors
    /// Not YAML, a key that is not known, or a value of the wrong kind.
    pub fn from_yaml(text: &str) -> Result<Self, BadYaml> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            BadYaml(error.render_with_formatter(&UserMessageFormatter))
        })
    }
}

/// The text is not the YAML of a [`RawConfig`]. Says where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadYaml(String);
