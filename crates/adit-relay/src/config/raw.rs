//! The configuration file as it is written, before anything in it is checked.
//!
//! Read by `adit relay` and by tests. Durations are texts such as `30s`, sizes such as `64KiB`; what is left out has the
//! default that the checked type documents. Unknown keys are refused, so that a misspelt limit does not go unnoticed.

use std::path::PathBuf;

use adit_authority::{RawAgent, RawGitLab, RawOidc};
use adit_identity::mistakes::{self, Mistakes};
use adit_otlp::{RawCollector, RawTraces};
use serde::Deserialize;

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
    /// Threads that carry traffic. A connection stays on the thread that accepted it, which is what makes a request cheap. Default: one per
    /// core.
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
    /// Where requests are traced.
    pub traces: Option<RawTraces>,
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
    /// The text is empty, or no YAML, or has keys that are unknown, or values of another type, each with its key. Values are not told: one may be a
    /// secret in the wrong line.
    pub fn from_yaml(text: &str) -> Result<Self, Mistakes> {
        mistakes::from_yaml(text)
    }
}

/// Section `listen`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawListen {
    /// Address and port. On all interfaces: jobs and agents come from elsewhere. Default: `0.0.0.0:8150`.
    pub address: Option<String>,
    /// PEM file: the chain, the server's own certificate first; reread when it changes. Without it the relay speaks plain HTTP, and refuses
    /// any address but loopback unless `tls_ended_before` says that this is meant.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's key: PKCS#8, PKCS#1 or SEC1, as tools write them.
    pub key: Option<PathBuf>,
    /// TLS ends at a balancer before the relay, which speaks plain HTTP to it: instead of a certificate, and on purpose, since tokens then pass
    /// between the two [for whoever is on the way to read](networks.md#tls-that-ends-before-the-relay). `proxy_protocol_from` or
    /// `forwarded_for_from` must name the balancer: who connects from elsewhere, this machine aside, is hung up on unread,
    /// `adit_relay_connections_refused_total{reason="past_balancer"}`. Default: `false`.
    pub tls_ended_before: bool,
    /// Longest TLS handshake. A peer that says nothing holds a place among the connections.
    pub handshake_timeout: Option<String>,
    /// From the first byte of a request's head to its last: slow heads are hung up on.
    pub head_timeout: Option<String>,
    /// A connection without a request. Go's clients keep theirs for 90 s; the relay must not close first, or a request just sent is lost.
    pub idle_timeout: Option<String>,
    /// Silence after which TCP asks whether the peer is there; four unanswered questions a quarter of that apart end the connection. Below
    /// the 350 s of common balancers.
    pub keepalive: Option<String>,
    /// Addresses and networks (`[10.0.0.0/8, 192.0.2.7]`) of balancers that speak the PROXY protocol, version 1 or 2. Every connection from
    /// there must begin with its header, and is closed when it does not. The client that it names counts for
    /// `limits.connections_per_address` and stands in logs and the [audit log](audit.md).
    pub proxy_protocol_from: Vec<String>,
    /// Addresses and networks of HTTP proxies whose `X-Forwarded-For` is believed: the last address in it that is not one of theirs is the
    /// client, in logs and the audit log. `connections_per_address` goes on counting the proxy, whose connections they are.
    pub forwarded_for_from: Vec<String>,
}

/// Section `admin`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAdmin {
    /// `/livez`, `/readyz`, `/metrics`, without authentication: bind it where only operators reach; and the [status](status.md). `/readyz`
    /// is green once the issuers' keys are there and the public port accepts, and red from the start of a drain. Default: `127.0.0.1:8151`.
    pub address: Option<String>,
    /// PEM file: the chain, the server's own certificate first; reread when it changes. Without it the port speaks plain HTTP, and whoever
    /// does not come by loopback has health and metrics alone, so that no token crosses a network in clear.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    pub key: Option<PathBuf>,
    /// PEM file with CAs: who shows a client certificate that one of them issued is an operator, as is who shows the token. Probes and
    /// scrapers need none. Only with a certificate. Reread when it changes; a file that cannot be used changes nothing and is logged.
    pub client_ca_file: Option<PathBuf>,
    /// File with the token that opens the status, one to four lines of 16 or more visible characters, any of which will do (`openssl rand
    /// -hex 32`). Reread within ten seconds of a change. Without it and `client_ca_file` the status is open to everybody on the machine while
    /// `address` is loopback, and shown to nobody when it is not.
    pub token_file: Option<PathBuf>,
}

/// Section `gitlab_api`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawGitLabApi {
    /// Address and port, as GitLab's own agent server has them. Default: `127.0.0.1:8153`.
    pub address: Option<String>,
    /// PEM file: the chain, the server's own certificate first. Without it any address but loopback is refused. Reread when it changes.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    pub key: Option<PathBuf>,
    /// File with the secret that GitLab signs its calls with, one line of Base64 for 32 bytes. Read again when it changes; a file that
    /// cannot be used changes nothing and is logged. Default: as `authorities.gitlab.api_secret_file`.
    pub secret_file: Option<PathBuf>,
    /// Connections at once, of which each process of GitLab's keeps one. More are hung up on:
    /// `adit_relay_connections_refused_total{reason="gitlab_api"}`.
    pub connections: Option<u64>,
}

/// Section `metrics`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMetrics {
    /// Agents that have series of their own, `adit_relay_agent_tunnels_open{agent}` and `adit_relay_agent_streams_open{agent}`: the first
    /// by id; `adit_relay_agents_left_out` counts the others. Off, since whoever stores metrics pays for each series, and whoever may read them
    /// learns which agents there are: `/metrics` asks nobody who he is. With `admin.address` beyond loopback the relay warns of it.
    pub agents: Option<u64>,
}

/// Section `authorities`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAuthorities {
    /// Issuers of ID tokens.
    pub oidc: RawOidc,
    /// GitLab's own API, which says what a job's `CI_JOB_TOKEN` stands for, whose an agent's token is, and which agents a user may use.
    pub gitlab: Option<RawGitLab>,
    /// PEM file with certificates that are believed, beside the system's, when issuers' keys are fetched and GitLab is asked. Read
    /// again when it changes; a file that cannot be used changes nothing and is logged.
    pub ca_file: Option<PathBuf>,
}

/// Section `route`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRoute {
    /// How long a request waits for an agent that left a moment ago: one that lost its connection is back in about a second. After a
    /// restart of the relay it may take its agents ten (their `relay.backoff_cap`): `10s` saves jobs from that.
    pub wait: Option<String>,
    /// How long after its last tunnel, or after the relay's start, an agent counts as being on its way back. Later a request is refused at
    /// once.
    pub reconnecting: Option<String>,
}

/// Section `tunnel`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTunnel {
    /// PEM file with CAs, one or several. With it an agent must show a client certificate that one of them issued, [beside its
    /// token](networks.md#a-client-certificate-for-each-agent); jobs need none on the same port. Only where the relay itself ends TLS.
    /// Reread when it changes; a file that cannot be used changes nothing and is logged. Default: agents need no certificate.
    pub client_ca_file: Option<PathBuf>,
    /// Silence after which an agent is pinged. Agents ask by themselves after 25 s (their `relay.ping_interval`), well inside the minute
    /// after which balancers forget a connection; so the relay asks only one that is late, and an idle tunnel costs it one wake-up in 25 s.
    /// While requests run, four fifths of `dead_after` if that is shorter.
    pub ping_interval: Option<String>,
    /// Silence after which it is given up while requests run, and they end with `agent_lost`. While none does, its answer may take as long as
    /// it may then: a fifth of this, unless `ping_interval` leaves more.
    pub dead_after: Option<String>,
    /// Longest time for opening a session. An agent that says nothing holds a connection.
    pub handshake_timeout: Option<String>,
    /// How many bytes of one answer an agent may send before they are read, at first. Most answers fit, and ten thousand watches that
    /// nobody reads hold 640 MB at most.
    pub stream_credit: Option<String>,
    /// How far that grows, with round trip and pace. 16 MiB are 150 MB/s over 100 ms.
    pub max_stream_credit: Option<String>,
    /// Bytes of answers that may lie unread in one tunnel. Beyond it the largest holders are reset, with `overloaded`.
    pub max_buffered: Option<String>,
    /// The same for all tunnels of the process. From seven eighths of it on, the tunnel that holds most resets its largest holders,
    /// whichever tunnel the last bytes came by.
    pub max_buffered_in_all: Option<String>,
    /// Bytes of requests that may wait in one tunnel for an agent's credit or for the wire. Beyond it a request gets room only when it has
    /// nothing waiting: slower, but not refused.
    pub max_queued: Option<String>,
    /// Bytes of one request that may wait so. Two batches of the writer: less, and the wire waits.
    pub stream_queue: Option<String>,
}

/// Section `limits`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Connections of jobs and agents together. About 1 GiB with TLS. More are hung up on: `adit_relay_connections_refused_total`.
    pub connections: Option<u64>,
    /// Connections from one address, or one /64 of IPv6: a fleet of runners behind one, or a balancer without the PROXY protocol, from which all
    /// come. Below `connections`, or one address may hold every place. The charts and manifests say 2500 of 5000.
    pub connections_per_address: Option<u64>,
    /// Requests at once on one HTTP/2 connection. Clients wait by themselves beyond it: `adit_relay_connections_full_total`.
    pub streams_per_connection: Option<u64>,
    /// Requests that one HTTP/2 connection may take back in a second before their answer; those of ten seconds may come at once, as when a
    /// kubectl is interrupted. Beyond it the connection ends, and when twenty were taken back before the relay had looked at them:
    /// `adit_relay_connections_refused_total{reason="hasty"}`.
    pub cancels_per_second: Option<u64>,
    /// Method, path and header fields of a request; what an agent takes. Of requests alone: an API server's answer may have 64 KiB and 256
    /// fields, whatever stands here and in `head_fields`; past it the agent or the relay gives it up, with `agent_failed`.
    pub head_size: Option<String>,
    /// Header fields of a request. kubectl sends a dozen; each costs memory at every hop.
    pub head_fields: Option<u64>,
    /// An `Authorization` header. An ID token that lists 200 groups has 12 KiB.
    pub credential_size: Option<String>,
    /// Requests at once of one job, that is, one token; watches count. 429 beyond it.
    pub streams_per_job: Option<u64>,
    /// Requests begun in one second by one job. kubectl keeps itself to 50. 429 beyond it. Raise it to measure.
    pub opens_per_second: Option<u64>,
    /// Requests of one job that go on at once while other jobs have requests, too; the rest of them follow in turn, so that a job with
    /// hundreds makes nobody else slow. One that has waited for its answer for 50 ms is the API server's and counts no more, and none waits
    /// for its turn for more than a second: `adit_relay_requests_waiting`.
    pub turns_per_job: Option<u64>,
    /// Requests at once on one tunnel. 503 beyond it, unless a replica has room.
    pub streams_per_tunnel: Option<u64>,
    /// Tunnels of one agent: its replicas, and their predecessors while they reconnect.
    pub tunnels_per_agent: Option<u64>,
}

/// Section `audit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAudit {
    /// Where records go. They name people: whoever wants them says where they may lie. The relay's log goes to standard error, so the two
    /// do not mix. Default: `nowhere`.
    pub to: Option<RawAuditTo>,
    /// With `to: otlp`.
    pub otlp: Option<RawCollector>,
    /// With `to: file`: its path, in a folder that the relay may write to.
    pub file: Option<PathBuf>,
    /// Size past which the next file begins. A file that tools still open: some 150,000 records.
    pub file_size: Option<String>,
    /// Files that are kept beside the one that is written. With the default size about 1.1 GB in all.
    pub files: Option<u64>,
    /// Bytes of records that may wait to be written, in all shards together: about a minute of 1,000 requests a second.
    pub queue: Option<String>,
    /// When the queue is full: requests that may change something, exec, port-forward and whatever else is upgraded among them. What nobody can account for does not
    /// happen. Default: `refuse`.
    pub changes_when_full: Option<WhenFull>,
    /// The same for requests that only read. Default: `drop`.
    pub reads_when_full: Option<WhenFull>,
    /// Records of requests without a valid token, in all shards together (at least one in each, unless it is 0): strangers must neither
    /// fill the disk nor push out what matters.
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
    /// The collector of `otlp`.
    Otlp,
}

/// Section `log`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// A level, or levels by module: `info,adit_relay=debug`. Without it, `info`. With `--log`, or `ADIT_LOG`, that is used, and this is
    /// not.
    pub filter: Option<String>,
}

/// Section `drain`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDrain {
    /// How long running requests may go on after the first signal: a rollout that a job waits for takes minutes. The relay ends earlier
    /// when nothing is left, at once on a second signal. Give the pod as much `terminationGracePeriodSeconds`, and 20 s more, 5 of them for its
    /// `preStop`: the charts and `adit manifests relay` do.
    pub grace: Option<String>,
}
