//! Decides how a relay starts and how it stops.
//!
//! The binary and the tests own a [`Relay`]. It starts in the order admin, authorities, GitLab's port, front door, and stops in reverse:
//! readiness off; front doors, and GitLab's, stop accepting and say GOAWAY; agents are told to drain; exchanges finish or the grace ends;
//! tunnels close; the audit log is written to its end; admin last. Invariant: every task is in a set that belongs to the relay, so dropping it ends them all.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use adit_otlp::{Exporter, Sending};
use adit_process::{
    Reread, ShardId, Shards, Stop,
    admin::{Admin, Condition},
    net::{Listener, listen_advice, listen_shards},
    secret_file::SecretError,
    tls::TlsError,
};
use adit_tunnel::CloseReason;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    audit::{AuditTo, Writer},
    config::Config,
    front_door::FrontDoor,
    in_flight::InFlight,
    registry::Registry,
    rules::Current,
};

mod built;
mod configured;
pub(crate) mod files;
mod gitlab_api;
mod of_gitlab;
mod upkeep;

use built::Built;
pub use configured::Configured;
use upkeep::Upkeep;

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file with a secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A certificate, key or bundle cannot be used.
    #[error("{key}: TLS cannot be set up")]
    Tls {
        /// What names the files.
        key: &'static str,
        /// Which of them, and why. Boxed: it is large, and every step of the start may give it.
        source: Box<TlsError>,
    },
    /// A port cannot be bound.
    #[error("cannot listen on {address} ({key})")]
    Listen {
        /// What names the address.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The audit log cannot be opened.
    #[error("cannot write the audit log to {to}")]
    Audit {
        /// Where.
        to: Box<AuditTo>,
        /// What the system said.
        source: io::Error,
    },
    /// The collector's roots, name or token cannot be used.
    #[error("a collector cannot be called")]
    Collector(#[from] adit_otlp::StartError),
    /// A shard's thread or runtime cannot be made.
    #[error("cannot start the shards")]
    Shards(#[source] io::Error),
}

impl StartError {
    /// The public port cannot be bound.
    #[must_use]
    pub const fn listen(address: SocketAddr, source: io::Error) -> Self {
        let key = "listen.address";
        Self::Listen {
            key,
            address,
            source,
        }
    }

    /// The private port cannot.
    #[must_use]
    pub const fn admin(address: SocketAddr, source: io::Error) -> Self {
        let key = "admin.address";
        Self::Listen {
            key,
            address,
            source,
        }
    }

    /// The port cannot that GitLab calls.
    #[must_use]
    pub const fn gitlab_api(address: SocketAddr, source: io::Error) -> Self {
        let key = "gitlab_api.address";
        Self::Listen {
            key,
            address,
            source,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Secret(_) => {
                "put the secret into that file, where the user that the relay runs as can read it: docs/configuration.md says what it is"
            }
            Self::Tls { .. } => {
                "name PEM files that the user that the relay runs as can read; of a chain, the own certificate comes first"
            }
            Self::Listen { source, .. } => listen_advice(source),
            Self::Audit { .. } => {
                "make the folder, and let the user that the relay runs as write there"
            }
            Self::Collector(error) => error.advice(),
            Self::Shards(_) => {
                "the system gives no more threads: raise its limit, or lower `shards`"
            }
        }
    }
}

/// Where traffic is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// On threads of its own, one per shard.
    Threads,
    /// On the runtime that called.
    Here,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    public_addr: SocketAddr,
    admin_addr: SocketAddr,
    stop: Stop,
    accepting: Condition,
    shards: Shards,
    registry: Arc<Registry>,
    in_flight: InFlight,
    /// Of them those that wait for their turn.
    waiting: InFlight,
    gitlab_api: Option<gitlab_api::Open>,
    /// What keeps files, and GitLab's work.
    upkeep: Upkeep,
    configured: Configured,
    /// After the shards: their last records are written, too.
    audit: Option<Writer>,
    /// Likewise.
    traces: Option<Sending>,
    admin: JoinSet<()>,
    admin_stop: Arc<Notify>,
}

impl Relay {
    /// Starts with `config.shards` threads of its own for traffic; upkeep and the admin port stay on this runtime.
    ///
    /// # Errors
    ///
    /// A port or a file cannot be used.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::launch(config, Ground::Threads)
    }

    /// Starts with one shard on the runtime this is called in: for tests and `adit dev`.
    ///
    /// # Errors
    ///
    /// A port or a file cannot be used.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start_here(config: Config) -> Result<Self, StartError> {
        Self::launch(config, Ground::Here)
    }

    /// The address callers and agents connect to.
    #[must_use]
    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// The address for probes and metrics.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The address that GitLab calls, if it is to.
    #[must_use]
    pub fn gitlab_api_addr(&self) -> Option<SocketAddr> {
        self.gitlab_api.as_ref().map(|open| open.address)
    }

    /// What has its certificates and secrets read again without waiting for their time, and whatever else is kept by it.
    #[must_use]
    pub fn reread(&self) -> &Reread {
        self.upkeep.reread()
    }

    /// By what it runs, and how that is changed.
    #[must_use]
    pub fn configured(&self) -> &Configured {
        &self.configured
    }

    /// Drains: takes nothing new, lets what runs end within `grace`, cuts the rest, and is gone. Dropping the future cuts
    /// everything at once.
    pub async fn drain(self, grace: Duration) {
        tracing::info!(exchanges = self.in_flight.running(), "draining");
        self.accepting.unmet();
        self.stop.drain();
        let done = async {
            // What waits for its turn was begun, and a tunnel that drains takes nothing more; no wait is longer than a second.
            self.waiting.none().await;
            self.registry
                .each_tunnel(|_, tunnel| tunnel.drain("the relay is stopping"));
            self.in_flight.none().await;
        };
        if timeout(grace, done).await.is_err() {
            tracing::warn!(
                exchanges = self.in_flight.running(),
                "the grace is over, cutting what still runs"
            );
        }
        self.registry
            .each_tunnel(|_, tunnel| tunnel.close(CloseReason::Stopping, "the relay has stopped"));
        self.end(LAST_WORDS).await;
        tracing::info!("stopped");
    }

    /// Ends now; what runs is cut.
    pub async fn abort(self) {
        self.accepting.unmet();
        self.stop.abort();
        self.end(NO_LAST_WORDS).await;
    }

    /// Waits for the connections to end, has them cut when they take longer than `goodbye`, and ends the admin port.
    async fn end(self, goodbye: Duration) {
        let abort_later = async {
            sleep(goodbye).await;
            self.stop.abort();
            sleep(LAST_WORDS).await;
        };
        let gitlab_api = async {
            if let Some(open) = self.gitlab_api {
                open.running.join_all().await;
            }
        };
        let all = async { tokio::join!(self.shards.join(), gitlab_api) };
        tokio::select! {
            biased;
            _ = all => {}
            () = abort_later => {}
        }
        if let Some(audit) = self.audit {
            audit.finish(LAST_WORDS).await;
        }
        if let Some(traces) = self.traces {
            traces.finish(goodbye).await;
        }
        self.admin_stop.notify_one();
        self.admin.join_all().await;
    }

    fn launch(config: Config, ground: Ground) -> Result<Self, StartError> {
        let (admin_addr, address) = (config.admin.address, config.front_door.address);
        let count = if ground == Ground::Here {
            1
        } else {
            config.shards
        };
        let Built {
            door,
            registry,
            in_flight,
            waiting,
            stop,
            readiness,
            metrics,
            mut upkeep,
            audit,
            traces,
            rules,
            configured,
            gitlab_api,
            admin_tls,
            status,
        } = Built::new(config, count)?;
        let accepting = readiness.condition("accepting");
        let keys = readiness.condition("keys");

        let admin = Admin::bind(
            admin_addr,
            admin_tls,
            Arc::new(metrics),
            readiness,
            Some(status),
        );
        let admin = admin.map_err(|source| StartError::admin(admin_addr, source))?;
        let admin_addr = admin.local_addr();
        let admin_stop = Arc::new(Notify::new());
        let mut admin_task = JoinSet::new();
        let stopped = Arc::clone(&admin_stop);
        admin_task.spawn(admin.serve(async move { stopped.notified().await }));
        upkeep.spawn(async move {
            keys_of(&rules).await;
            keys.met();
        });

        let gitlab_api = gitlab_api.map(gitlab_api::Unopened::open).transpose()?;
        let listeners =
            listen_shards(address, count).map_err(|source| StartError::listen(address, source))?;
        let public_addr = listeners
            .first()
            .map_or(Ok(address), std::net::TcpListener::local_addr)
            .map_err(|source| StartError::listen(address, source))?;
        let shards = shards(ground, door, listeners).map_err(StartError::Shards)?;
        accepting.met();
        tracing::info!(address = %public_addr, admin = %admin_addr, shards = count, "relay is up");
        Ok(Self {
            public_addr,
            admin_addr,
            stop,
            accepting,
            shards,
            registry,
            in_flight,
            waiting,
            gitlab_api,
            upkeep,
            configured,
            audit,
            traces: traces.map(Exporter::start),
            admin: admin_task,
            admin_stop,
        })
    }
}

/// Resolves once the keys of all issuers are there that the configuration names by then.
async fn keys_of(rules: &Current) {
    let mut changes = rules.changes();
    loop {
        let current = rules.get();
        tokio::select! {
            biased;
            () = current.oidc.ready() => return,
            // Never in vain: the sender is in `rules`.
            _ = changes.changed() => {}
        }
    }
}

/// Opens the front door on each shard, with a listener of its own.
fn shards(
    ground: Ground,
    door: Arc<FrontDoor>,
    listeners: Vec<std::net::TcpListener>,
) -> io::Result<Shards> {
    let count = listeners.len();
    let listeners: Arc<[_]> = listeners
        .into_iter()
        .map(|listener| Mutex::new(Some(listener)))
        .collect();
    let run = move |shard: ShardId| async move {
        let listener = listeners
            .get(shard.0)
            .and_then(|listener| listener.lock().take());
        match listener.map(Listener::new) {
            Some(Ok(listener)) => door.run(shard, listener).await,
            Some(Err(error)) => {
                tracing::error!(shard = %shard, error = %error, "shard cannot listen")
            }
            None => {}
        }
    };
    match ground {
        Ground::Threads => Shards::start("adit-relay", count, run),
        Ground::Here => Ok(Shards::ambient(run)),
    }
}

/// For answers that are still in buffers, and for connections to say goodbye.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The same when there is no time.
const NO_LAST_WORDS: Duration = Duration::from_millis(100);
