//! Decides nothing: the configuration as its file spells it. Filled by the binary, which may set fields from flags and the
//! environment afterwards; checked by `Config::try_from`. `docs/agent.md` lists the keys for users.

use std::path::PathBuf;

use adit_identity::mistakes::{self, Mistakes};
use adit_otlp::RawTraces;
use secrecy::SecretString;
use serde::Deserialize;

/// The whole file. A key that is left out has its default; one that is not known is a mistake.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// How the relay is reached.
    pub relay: RawRelay,
    /// How the API server is reached.
    pub kubernetes: RawKubernetes,
    /// As whom the agent ever acts, and what it ever does, whatever the relay asks.
    pub ceiling: RawCeiling,
    /// What the relay may ask at once.
    pub limits: RawLimits,
    /// Which repositories of Flux are reconciled when GitLab tells of a push. Default: none.
    pub flux: Option<RawFlux>,
    /// Metrics and probes.
    pub admin: RawAdmin,
    /// Where requests are traced.
    pub traces: Option<RawTraces>,
    /// The process's own log.
    pub log: RawLog,
    /// What this process is called among its agent's replicas. Default: `POD_NAME`, else host and process id.
    pub replica: Option<String>,
    /// How long requests may run on once the agent was asked to stop. Kubernetes kills a pod after 30 s.
    pub drain_grace: Option<String>,
    /// The agent's token, from the environment (`ADIT_AGENT_TOKEN`); never in the file. Instead of `relay.token_file`.
    #[serde(skip)]
    pub token: Option<SecretString>,
}

/// `relay:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRelay {
    /// `https://host:port`: HTTP/2, and a WebSocket where that does not get through. `grpcs://` or `wss://` for one of them alone; a path,
    /// which a balancer may need, only behind `wss://` ([networks](networks.md#how-the-agent-chooses)). Without TLS (`http://`, `grpc://`,
    /// `ws://`) only to this machine, since the agent's token travels there. Required.
    pub url: Option<String>,
    /// PEM bundle with the *only* authorities that may vouch for the relay. Read again when it changes, and on each connect; one that
    /// cannot be used changes nothing and is logged. Default: the system's CAs.
    pub ca_file: Option<PathBuf>,
    /// File with the agent's token. Reread on each connect, so a rotated token needs no restart. Required, or `ADIT_AGENT_TOKEN`.
    pub token_file: Option<PathBuf>,
    /// PEM file with the client certificate that the agent shows the relay beside its token, followed by the CAs between it and the one
    /// that the relay knows: for a relay with `tunnel.client_ca_file` ([networks](networks.md#a-client-certificate-for-each-agent)). Reread
    /// when it changes, and shown from the next connect on; while it cannot be used, what it held before is shown. Default: none.
    pub client_certificate: Option<PathBuf>,
    /// PEM file with that certificate's key: PKCS#8, PKCS#1 or SEC1.
    pub client_key: Option<PathBuf>,
    /// HTTP proxy that is asked to CONNECT, `http://user:password@host:port`, or `none`. Proxies behind TLS and SOCKS are refused. Default:
    /// `HTTPS_PROXY`, else `ALL_PROXY`, but for `NO_PROXY`.
    pub proxy: Option<SecretString>,
    /// From the name's resolution to the end of the TLS handshake, and once more for the tunnel's own.
    pub connect_timeout: Option<String>,
    /// Longest first wait after a failure. It doubles with each; the wait itself is random below it, so that agents of one relay do not
    /// come back in one second.
    pub backoff_base: Option<String>,
    /// Longest wait: a relay that comes back is found within it.
    pub backoff_cap: Option<String>,
    /// A tunnel that lived this long was healthy, and the waits start over.
    pub healthy_after: Option<String>,
    /// Silence after which the relay is asked for a sign of life: below that after which whatever stands between forgets a connection. Up to a
    /// 25th of it sooner, at a step of the wall clock that agents have in common, so that a relay of thousands is woken once for many. While
    /// requests run, two thirds of `dead_after` if that is shorter.
    pub ping_interval: Option<String>,
    /// Silence after which the relay is given up while requests run. While none does, its answer may take as long as it may then: a third of
    /// this, unless `ping_interval` leaves more.
    pub dead_after: Option<String>,
}

/// `kubernetes:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKubernetes {
    /// A kubeconfig. One that skips the check of the API server's certificate, or impersonates by itself, is refused. Default: the pod's
    /// service account, else as kubectl.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig. Default: the current one.
    pub context: Option<String>,
    /// From the name's resolution to the end of the TLS handshake.
    pub connect_timeout: Option<String>,
    /// Connections to the API server at once. It takes 100 or 250 requests on each, so this is beyond `limits.max_streams`; more get an
    /// answer that says so.
    pub max_connections: Option<u64>,
    /// Upgraded connections (exec, attach, port-forward) at once, beside those; more get an answer that says so.
    pub max_upgrades: Option<u64>,
    /// Bytes that the API server may send of all answers before they are read, beside 16 KiB of each. Half of it goes to windows of 1 MiB,
    /// half to windows of 128 KiB, which watches and followed logs get at most; who finds neither free gets 16 KiB, and is slower but not
    /// refused.
    pub max_read_ahead_bytes: Option<u64>,
    /// Requests at once on one connection, if the API server allows as many.
    pub max_streams_per_connection: Option<u64>,
    /// How often a connection is asked for a sign of life. Upgraded ones (exec, attach, port-forward) and HTTP/1.1 have none: while nothing
    /// comes on one, the agent opens a connection as often, up to the end of the TLS handshake.
    pub ping_interval: Option<String>,
    /// Silence after which a connection is dead and its requests fail. What has no signs of life ends when two new connections get no
    /// answer and nothing comes on it meanwhile, half the difference later at most.
    pub dead_after: Option<String>,
    /// How long a connection is kept without a request.
    pub idle_after: Option<String>,
}

/// `ceiling:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCeiling {
    /// Whether jobs may act with the agent's own rights (`access_as: agent`). Default: `true`; manifests and chart: `false`.
    pub agent: Option<bool>,
    /// Users it acts as: names, or their beginnings and `*`. A pattern covers names in `system:` only if it begins so itself. Default:
    /// `["*"]`; manifests and chart: `["gitlab:*"]`.
    pub users: Option<Vec<String>>,
    /// Groups it acts for, likewise. Default: `["*"]`; manifests and chart: `["gitlab:*"]`.
    pub groups: Option<Vec<String>>,
    /// Namespaces it acts in, likewise ([what counts as that](agent.md#what-a-ceiling-limits)). Default: `["*"]`; of an agent for named
    /// namespaces, from command or chart: those.
    pub namespaces: Option<Vec<String>>,
    /// Whether it acts outside of namespaces, and on what is in all of them at once. Default: `false` if `namespaces` is limited, else
    /// `true`.
    pub cluster_scope: Option<bool>,
    /// Verbs it carries out: those of RBAC. Default: `["*"]`.
    pub verbs: Option<Vec<String>>,
    /// Subresources it touches, such as `exec` and `log`; requests for whole objects need none. Default: `["*"]`.
    pub subresources: Option<Vec<String>>,
}

/// `limits:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Requests at once, through one tunnel and through all (two while a relay drains); above it the relay answers 503, `tunnel_full` or
    /// `overloaded`.
    pub max_streams: Option<u64>,
    /// Bytes of one request's head.
    pub max_head_bytes: Option<u64>,
    /// Header fields of one request.
    pub max_fields: Option<u64>,
    /// Bytes of requests that lie unread in tunnels, and as many again on their way to an API server that does not take them. Past it, and
    /// unread from seven eighths of it on, the largest are reset as overloaded, and new ones refused.
    pub max_buffered_bytes: Option<u64>,
    /// Bytes of answers that wait in one tunnel for the relay's credit or for the wire. Past it an answer gets room only when it has
    /// nothing waiting: slower, but not refused.
    pub max_queued_bytes: Option<u64>,
    /// Bytes of one answer that may wait so. Two batches of the writer: less, and the wire waits.
    pub stream_queue_bytes: Option<u64>,
    /// How many bytes of one request's body the relay may send before the agent reads them, at first.
    pub stream_credit_bytes: Option<u64>,
    /// How far that grows, with round trip and pace. 16 MiB are 150 MB/s over 100 ms.
    pub max_stream_credit_bytes: Option<u64>,
}

/// `flux:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFlux {
    /// The GitLab of whose pushes Flux is told ([gitlab.md](gitlab.md#flux)): `GitRepository` objects whose URL has its host, over HTTPS,
    /// HTTP or SSH. Without the section the agent has nothing to do with Flux. Required, if the section is there.
    pub gitlab_url: String,
    /// Where those objects are. Named ones, so that roles need not cover the whole cluster. Default: `["flux-system"]`.
    pub namespaces: Option<Vec<String>>,
    /// Where their Receivers are called; the path of each follows. A path `/api/v1/namespaces/*/services/*/proxy`, with or without a host,
    /// goes through the API server with the agent's own credentials: for an agent outside of the cluster. Default:
    /// `http://webhook-receiver.flux-system.svc.cluster.local`.
    pub webhook_receiver_url: Option<String>,
    /// What the Lease is called by which one replica leads, and the Secret with the agent's key; another one for each agent in a namespace.
    /// Default: `adit-agent-flux`.
    pub lease_name: Option<String>,
    /// Where those two are. Required outside of a pod. Default: the pod's.
    pub lease_namespace: Option<String>,
}

/// `admin:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAdmin {
    /// `/livez`, `/readyz` (a tunnel is up, and the API server has answered since the start) and `/metrics`, without authentication.
    /// Default: `127.0.0.1:8152`.
    pub address: Option<String>,
}

/// `log:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// A level, or levels by module: `info,adit_agent=debug`. Without it, `info`. With `--log`, or `ADIT_LOG`, that is used, and this is
    /// not.
    pub filter: Option<String>,
}

impl RawConfig {
    /// Reads YAML. Nothing of the text is shown in the error but names of keys.
    ///
    /// # Errors
    /// Empty, or not YAML, or keys that are not known, or values of the wrong kind, each with its key.
    pub fn from_yaml(text: &str) -> Result<Self, Mistakes> {
        mistakes::from_yaml(text)
    }
}
