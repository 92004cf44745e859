//! What a relay is told by its configuration file, checked: a struct for each stage, passed to the stage that needs it.
//!
//! `config/raw.rs` mirrors the file, `config/check.rs` turns one into the other and reports all mistakes at once.
//! Invariant: values here are within their bounds; no secret is among them, only paths of files that hold one.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use adit_authority::{Agents, GitLabConfig, OidcConfig};
use adit_otlp::TracesConfig;
use adit_process::{logging::Filter, tls::CertificateFiles};

mod admin;
mod audit;
mod check;
mod doubts;
mod gitlab_api;
mod pending;
mod port;
mod raw;

pub use admin::AdminConfig;
pub(crate) use doubts::Doubts;
pub use gitlab_api::GitLabApiConfig;
pub(crate) use pending::Pending;
pub use raw::{
    RawAdmin, RawAudit, RawAuditTo, RawAuthorities, RawConfig, RawDrain, RawGitLabApi, RawLimits,
    RawListen, RawLog, RawMetrics, RawRoute, RawTunnel,
};

pub use crate::route::RouteConfig;
use crate::{audit::AuditConfig, client::Proxies};

/// The checked file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public port.
    pub front_door: FrontDoorConfig,
    /// The private port for probes, metrics and the status.
    pub admin: AdminConfig,
    /// The port that GitLab calls. Default: there is none.
    pub gitlab_api: Option<GitLabApiConfig>,
    /// Agents that have metrics of their own. Default: none; each costs two series.
    pub agent_series: usize,
    /// Threads that carry traffic. Default: one per core; a request costs least when it stays on one.
    pub shards: usize,
    /// Issuers of ID tokens.
    pub oidc: OidcConfig,
    /// GitLab's own API. Default: not asked.
    pub gitlab: Option<GitLabConfig>,
    /// Certificates believed beside the system's when keys are fetched, and GitLab is asked. Default: none.
    pub ca_file: Option<PathBuf>,
    /// The agents and who may use them.
    pub agents: Agents,
    /// Finding an agent's tunnel.
    pub route: RouteConfig,
    /// Sessions with agents.
    pub tunnel: TunnelConfig,
    /// A file with the CAs that issue to agents. Default: none, and then a token is enough. With it, the public port has TLS.
    pub client_ca_file: Option<PathBuf>,
    /// What one connection, job, agent may use.
    pub limits: LimitsConfig,
    /// What is written down of requests.
    pub audit: AuditConfig,
    /// Where requests are traced. Default: nowhere.
    pub traces: Option<TracesConfig>,
    /// What is logged. Default: what the command line says, or `info`.
    pub log: Option<Filter>,
    /// How long running requests may go on once the relay is told to stop. Default 5 min: a rollout that a job waits for
    /// takes minutes. The relay ends earlier when nothing is left.
    pub drain_grace: Duration,
}

/// The public port and what is accepted on it.
#[derive(Clone, Debug)]
pub struct FrontDoorConfig {
    /// Address and port; 0 takes any free one. Default 0.0.0.0:8150.
    pub address: SocketAddr,
    /// Certificate and key, reread when the files change. None: no TLS, and then the address must be loopback, or TLS end before the relay.
    pub tls: Option<CertificateFiles>,
    /// TLS ends at a balancer. Default: it does not.
    pub tls_ended_before: bool,
    /// Longest TLS handshake. Default 10 s: ten round trips of a bad line; a peer that says nothing holds a place.
    pub handshake_timeout: Duration,
    /// Longest time from the first byte of a request's head to its last. Default 10 s, against slow heads.
    pub head_timeout: Duration,
    /// Longest time of a connection without a request. Default 2 min: Go's clients keep theirs for 90 s, and whoever
    /// closes first must not be the relay, or a request just sent is lost.
    pub idle_timeout: Duration,
    /// Silence after which TCP asks whether the peer is still there. Default 1 min, below the usual 350 s of balancers.
    pub keepalive: Duration,
    /// Balancers, whose every connection begins with a header of the PROXY protocol that says who is behind them. Default: none.
    pub proxy_protocol_from: Proxies,
    /// HTTP proxies, whose `X-Forwarded-For` is believed. Default: none.
    pub forwarded_for_from: Proxies,
    /// Bytes of a request's head. Default 64 KiB, what an agent takes. Answers' heads have a limit of their own, which is that.
    pub max_head_bytes: usize,
    /// Header fields of a request. Default 256.
    pub max_fields: usize,
    /// Requests at once on one HTTP/2 connection. Default 1000: helm and controllers watch hundreds of kinds.
    pub max_streams_per_connection: u32,
    /// Requests that one HTTP/2 connection may take back in a second before their answer; those of ten seconds may come at once.
    /// Default 100: a kubectl that is interrupted takes back a hundred at most. Past it the connection ends (CVE-2023-44487).
    pub max_cancels_per_second: u32,
}

/// Sessions with agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    /// Silence after which an agent is pinged. Default 27 s: agents ask after 25 s by themselves, so that of an idle tunnel the relay
    /// has one question to answer in that time, and none to put. While requests run, four fifths of `dead_after` if that is shorter.
    pub ping_interval: Duration,
    /// Silence after which an agent is given up and its requests are ended. Default 15 s. While none runs, what is left of it after
    /// four fifths is how long an answer may take.
    pub dead_after: Duration,
    /// Longest time for opening a session. Default 10 s.
    pub handshake_timeout: Duration,
    /// Window that a stream from an agent starts with, in bytes. Default 64 KiB: most answers need no more, and ten thousand
    /// watches that nobody reads hold 640 MB at most.
    pub stream_credit: u32,
    /// How far the window of one stream may grow, in bytes. Default 16 MiB: 160 MB/s over a path of 100 ms.
    pub max_stream_credit: u32,
    /// Bytes that may lie unread in one tunnel. Default 256 MiB; beyond it the largest holders are reset.
    pub max_buffered_bytes: usize,
    /// Bytes that may lie unread in all tunnels. Default 1 GiB.
    pub max_buffered_bytes_in_all: usize,
    /// Bytes of requests that may wait in one tunnel for an agent's credit or for the wire. Default 64 MiB; beyond it only
    /// streams with nothing queued have room.
    pub max_queued_bytes: usize,
    /// Bytes that one stream may have waiting. Default 128 KiB: two batches, so that the wire never waits for a writer.
    pub stream_queue_bytes: usize,
}

/// What one connection, job, agent may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Connections, of callers and agents together. Default 20,000: about 1 GiB with TLS, more than files are usually
    /// allowed.
    pub connections: usize,
    /// Connections from one address, or one /64 of IPv6. Default 5,000: a fleet of runners behind one address.
    pub connections_per_address: usize,
    /// Bytes of an `Authorization` header. Default 16 KiB: an ID token that lists 200 groups has 12.
    pub credential_bytes: usize,
    /// Requests at once of one job. Default 4,000: watches count.
    pub streams_per_job: u32,
    /// Requests begun in one second by one job. Default 2,000: kubectl sends 50 at most, by its own limit.
    pub opens_per_second: u32,
    /// Requests of one job that may wait for their answer's head at once while other jobs have requests, too. Default 16: that many small
    /// ones fill what there is between here and an API server, and a helm or kubectl has fewer; see `turns.rs`.
    pub turns_per_job: u32,
    /// Requests at once on one tunnel. Default 10,000, what an agent takes.
    pub streams_per_tunnel: u32,
    /// Tunnels at once of one agent, that is, replicas, and their predecessors while they reconnect. Default 32.
    pub tunnels_per_agent: usize,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        let session = adit_tunnel::Options::default();
        Self {
            ping_interval: session.ping_interval + Duration::from_secs(2),
            dead_after: session.dead_after,
            handshake_timeout: session.handshake_timeout,
            stream_credit: session.stream_credit,
            max_stream_credit: session.max_stream_credit,
            max_buffered_bytes: session.max_buffered_bytes,
            max_buffered_bytes_in_all: session.budget.limit(),
            max_queued_bytes: session.max_queued_bytes,
            stream_queue_bytes: session.stream_queue_bytes,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 5_000,
            credential_bytes: adit_authority::DEFAULT_MAX_CREDENTIAL_BYTES,
            streams_per_job: 4_000,
            opens_per_second: 2_000,
            turns_per_job: 16,
            streams_per_tunnel: 10_000,
            tunnels_per_agent: 32,
        }
    }
}

impl FrontDoorConfig {
    /// All defaults on this address.
    #[must_use]
    pub fn new(address: SocketAddr, tls: Option<CertificateFiles>) -> Self {
        Self {
            address,
            tls,
            tls_ended_before: false,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            keepalive: Duration::from_secs(60),
            proxy_protocol_from: Proxies::default(),
            forwarded_for_from: Proxies::default(),
            max_head_bytes: 64 << 10,
            max_fields: 256,
            max_streams_per_connection: 1_000,
            max_cancels_per_second: 100,
        }
    }

    /// Whether a plain connection from there is one that was meant: of a balancer at which TLS has ended, or of this machine.
    pub(crate) fn takes_plain_from(&self, ip: IpAddr) -> bool {
        ip.is_loopback()
            || self.proxy_protocol_from.contains(ip)
            || self.forwarded_for_from.contains(ip)
    }
}

#[cfg(test)]
mod tests;
