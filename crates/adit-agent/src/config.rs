//! What an agent is told by its configuration, checked: each stage gets its own part.
//!
//! `config/raw.rs` mirrors the file, which the binary reads and adds flags and the environment to; `config/check.rs` turns one into
//! the other and reports all mistakes at once.
//! Invariant: secrets are paths to files or a [`SecretString`]; no `Debug` of these types prints one.

mod check;
mod flux;
mod memory;
mod pending;
mod raw;
mod relay_url;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use adit_otlp::TracesConfig;
use adit_process::backoff::BackoffTerms;
use adit_process::logging::Filter;
use adit_process::tls::{CertificateFiles, TrustRoots};
use secrecy::SecretString;

pub(crate) use self::flux::{FluxConfig, GitLabUrl, ReceiverUrl};
pub use self::raw::{
    RawAdmin, RawCeiling, RawConfig, RawFlux, RawKubernetes, RawLimits, RawLog, RawRelay,
};
pub(crate) use self::relay_url::{Allowed, RelayUrl};
use crate::dial::proxy::Proxy;
use crate::impersonate::Ceiling;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) relay: RelayConfig,
    pub(crate) kubernetes: KubernetesConfig,
    pub(crate) ceiling: Ceiling,
    pub(crate) limits: Limits,
    /// Absent: nothing of it runs.
    pub(crate) flux: Option<FluxConfig>,
    pub(crate) admin: SocketAddr,
    /// Absent: nothing is traced.
    pub(crate) traces: Option<TracesConfig>,
    pub(crate) replica: String,
    /// Absent: what the command line says, or `info`.
    pub(crate) log: Option<Filter>,
    pub(crate) drain_grace: Duration,
}

impl Config {
    /// `drain_grace`: how long streams may run on once the agent was asked to stop.
    #[must_use]
    pub const fn drain_grace(&self) -> Duration {
        self.drain_grace
    }

    /// `log.filter`: what is logged, if the file says it.
    #[must_use]
    pub const fn log(&self) -> Option<&Filter> {
        self.log.as_ref()
    }
}

/// How the relay is reached.
#[derive(Clone, Debug)]
pub(crate) struct RelayConfig {
    pub(crate) url: RelayUrl,
    pub(crate) roots: TrustRoots,
    /// Shown to the relay beside the token, if it wants one.
    pub(crate) certificate: Option<CertificateFiles>,
    pub(crate) token: TokenSource,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: BackoffTerms,
    /// A tunnel that lived this long was healthy: the next failure starts the backoff over.
    pub(crate) healthy_after: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) dead_after: Duration,
}

/// Where the agent's token is.
#[derive(Clone, Debug)]
pub(crate) enum TokenSource {
    /// Reread on each connect, so that a rotated token is taken up.
    File(PathBuf),
    /// From the environment.
    Given(SecretString),
}

/// How the API server is reached.
#[derive(Clone, Debug)]
pub(crate) struct KubernetesConfig {
    /// Absent: the pod's service account, or outside a cluster what kubectl would take.
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) pool: PoolLimits,
}

/// What the connections to the API server may grow to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) max_connections: usize,
    /// Upgraded connections, which are beside the others.
    pub(crate) max_upgrades: usize,
    /// What answers may be ahead of their readers, beside the least that each may.
    pub(crate) max_read_ahead_bytes: usize,
    /// Below what the API server allows.
    pub(crate) max_streams_per_connection: usize,
    pub(crate) ping_interval: Duration,
    /// Silence after which a connection is dead; longer than the interval.
    pub(crate) dead_after: Duration,
    /// How long a connection lives without a request.
    pub(crate) idle_after: Duration,
}

/// What the relay may ask of this agent at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_streams: u32,
    pub(crate) max_head_bytes: u32,
    pub(crate) max_fields: usize,
    pub(crate) max_buffered_bytes: usize,
    /// Of answers, in one tunnel.
    pub(crate) max_queued_bytes: usize,
    /// Of one answer.
    pub(crate) stream_queue_bytes: usize,
    /// The window of a request's body, at first and at most.
    pub(crate) stream_credit: u32,
    pub(crate) max_stream_credit: u32,
}

impl PoolLimits {
    /// Those that `docs/agent.md` gives.
    pub(crate) const DEFAULT: Self = Self {
        max_connections: 256,
        max_upgrades: 1000,
        max_read_ahead_bytes: 64 << 20,
        max_streams_per_connection: 1000,
        ping_interval: Duration::from_secs(10),
        dead_after: DEAD_AFTER,
        idle_after: Duration::from_secs(90),
    };
}

impl Limits {
    /// Likewise.
    pub(crate) const DEFAULT: Self = Self {
        max_streams: 10_000,
        max_head_bytes: 64 << 10,
        max_fields: 256,
        max_buffered_bytes: 64 << 20,
        max_queued_bytes: 64 << 20,
        stream_queue_bytes: 128 << 10,
        stream_credit: 64 << 10,
        max_stream_credit: 16 << 20,
    };
}

/// Of the relay and of the API server.
const DEAD_AFTER: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
