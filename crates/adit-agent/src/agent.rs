//! Decides when the agent connects, drains and stops. The binary, `adit dev` and the tests call it.
//! Invariant: every task of an agent is in a set that its [`Agent`] owns: dropping it ends all of them.

mod configured;
pub(crate) mod link;
pub(crate) mod transport;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_exchange::HeadLimits;
use adit_otlp::{Collector, CollectorConfig, Counts, Exporter, Instance, Sending, Token, Traces};
use adit_process::admin::{Admin, Readiness};
use adit_process::net::listen_advice;
use adit_process::reread::keep;
use adit_process::tls::{ShownTo, TlsError};
use adit_process::{Reread, Stop, chain};
use adit_tunnel::{About, Budget, Options};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::configured::Configured;
use self::link::Link;
use self::transport::{RelayFiles, Transports};
use crate::config::Config;
use crate::flux::Flux;
use crate::impersonate::Identities;
use crate::in_hand::InHand;
use crate::kube::Kube;
use crate::kube::endpoint::EndpointError;
use crate::kube::files::ClientCertificate;
use crate::metrics::{Metrics, Tunnels};
use crate::serve::{Running, Service};

/// A running agent. Dropping it ends it at once.
#[derive(Debug)]
pub struct Agent {
    stop: Stop,
    admin_addr: SocketAddr,
    /// How many tunnels are up: one, or two while a relay drains.
    tunnels: watch::Receiver<usize>,
    /// Also what sees to Flux.
    link: JoinSet<()>,
    /// The admin listener and what renews credentials: the last to stop.
    aside: JoinSet<()>,
    /// After what makes them.
    traces: Option<Sending>,
    configured: Configured,
    reread: Reread,
}

/// Why an agent did not start. Whether the relay and the API server can be reached is not asked for that.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API server's address or the credentials for it cannot be used.
    #[error("the way to the API server is not set up: {0}")]
    Kubernetes(String),
    /// The CA for the relay cannot be used.
    #[error("the certificates that the relay is checked by (relay.ca_file) cannot be used")]
    Roots(#[from] TlsError),
    /// The agent's own certificate cannot be used.
    #[error(
        "the certificate that the relay is shown (relay.client_certificate, relay.client_key) cannot be used"
    )]
    Certificate(#[source] TlsError),
    /// The system's certificates cannot be used, by which Flux's webhooks prove themselves.
    #[error("flux.webhook_receiver_url: the roots that it is checked by cannot be used")]
    Webhooks(#[source] TlsError),
    /// The relay's host is not a name that a certificate can have.
    #[error("relay.url: `{0}` is no name that TLS can check")]
    RelayName(String),
    /// The admin address cannot be bound.
    #[error("cannot listen on {address} (admin.address)")]
    Admin {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The collector's roots, name or token cannot be used.
    #[error("requests cannot be traced")]
    Traces(#[from] adit_otlp::StartError),
}

impl Agent {
    /// Starts on the runtime this is called in; one thread is enough, and spends least. Connecting goes on in the
    /// background, for as long as it takes: see [`Agent::connected`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mut registry = Registry::default();
        adit_process::metrics::register(&mut registry, env!("CARGO_PKG_VERSION"));
        let metrics = Metrics::register(&mut registry);
        let counts = Counts::register(&mut registry);
        let options = options(&config);
        let listed = Tunnels::register(Arc::clone(&options.budget), &config, &mut registry);
        let kube = Kube::load(&config.kubernetes, metrics.clone())
            .await
            .map_err(StartError::from)?;
        let kube = Arc::new(kube);
        if let Some(validity) = kube.files().validity() {
            Metrics::register_certificate(validity, &mut registry);
        }
        configured::tell_doubts(&config.ceiling, [&config.kubernetes]);
        let files = RelayFiles::load(&config.relay, &metrics)?;
        if let Some(own) = &files.own {
            own.shown_to(ShownTo::Relay);
            own.register(&mut registry);
        }
        let transports = Transports::new(&config.relay, files.clone(), metrics.clone())?;
        let mut believed = Vec::from_iter(files.roots);
        believed.extend(kube.files().roots().cloned());
        let (reread, mut aside) = (Reread::default(), JoinSet::new());
        let collector = config.traces.as_ref().map(|traces| &traces.collector);
        let token = collector.map(CollectorConfig::token).transpose();
        let token = token.map_err(adit_otlp::StartError::from)?.flatten();
        let token = token.map(|loaded| {
            let (token, file) = loaded.kept(Token::replace, metrics.secret_reloads.clone());
            aside.spawn(keep(Arc::new(file), &reread));
            token
        });
        let traces = config.traces.as_ref().map(|traces| {
            let collector = Collector::new(&traces.collector, token, instance(&config))?;
            let roots = collector.roots().cloned();
            let reloads = metrics.server_ca_reloads.clone();
            believed.extend(roots.map(|roots| roots.counted_by(reloads)));
            Ok::<_, adit_otlp::StartError>(Traces::new(traces, collector, counts))
        });
        let (traces, exporter) = traces.transpose()?.unzip();
        let readiness = Readiness::new();
        let ready = readiness.condition("tunnel");
        let answered = readiness.condition("api server");
        let admin = Admin::bind(config.admin, None, Arc::new(registry), readiness, None);
        let admin = admin.map_err(|source| StartError::Admin {
            address: config.admin,
            source,
        })?;
        let admin_addr = admin.local_addr();

        aside.spawn(admin.serve(std::future::pending()));
        let credentials = Arc::clone(kube.credentials());
        aside.spawn(async move { credentials.keep_fresh().await });
        aside.spawn(link::ask_until_answered(
            Arc::clone(&kube),
            answered.clone(),
        ));
        if let Some(own) = ClientCertificate::of(&kube, &metrics) {
            aside.spawn(keep(Arc::new(own), &reread));
        }
        if let Some(own) = files.own {
            aside.spawn(keep(Arc::new(own), &reread));
        }
        for roots in believed.into_iter().filter(|roots| roots.file().is_some()) {
            aside.spawn(keep(Arc::new(roots), &reread));
        }

        let (stop, (up, tunnels)) = (Stop::new(), watch::channel(0));
        let (newest, opened) = watch::channel(None);
        let (replica, counted) = (config.replica.clone(), metrics.clone());
        let flux = config
            .flux
            .clone()
            .map(|flux| Flux::new(flux, Arc::clone(&kube), replica, opened, counted));
        let flux = flux.transpose().map_err(StartError::Webhooks)?;
        let service = Arc::new(Service {
            kube,
            identities: Identities::new(config.ceiling.clone()),
            running: Running::default(),
            head_limits: HeadLimits {
                max_fields: config.limits.max_fields,
                max_bytes: config.limits.max_head_bytes as usize,
            },
            max_streams: config.limits.max_streams as usize,
            in_hand: InHand {
                bytes: metrics.in_hand.clone(),
                max: config.limits.max_buffered_bytes,
            },
            traces,
            metrics,
        });
        let link = Link {
            options,
            listed,
            relay: config.relay.clone(),
            transports,
            service: Arc::clone(&service),
            ready,
            answered,
            up,
            newest,
            stop: stop.clone(),
        };
        let mut linking = JoinSet::new();
        linking.spawn(link.run());
        if let Some(flux) = flux {
            linking.spawn(flux.run(stop.clone()));
        }
        Ok(Self {
            stop,
            admin_addr,
            tunnels,
            link: linking,
            aside,
            traces: exporter.map(Exporter::start),
            configured: Configured::new(config, service),
            reread,
        })
    }

    /// By what it runs, and how that is changed.
    #[must_use]
    pub const fn configured(&self) -> &Configured {
        &self.configured
    }

    /// What has its secret, its certificate and the CAs that it believes read again without waiting for their time, and whatever else is kept by it.
    #[must_use]
    pub const fn reread(&self) -> &Reread {
        &self.reread
    }

    /// Where `/livez`, `/readyz` and `/metrics` are answered.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Resolves once a tunnel is up. Cancel-safe.
    pub async fn connected(&self) {
        let mut tunnels = self.tunnels.clone();
        // It fails when the agent has ended: then none will be up any more.
        if tunnels.wait_for(|up| *up > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes nothing new and lets running requests end; what is left after `grace` is cut. Returns as soon as nothing is
    /// left.
    pub async fn drain(mut self, grace: Duration) {
        self.stop.drain();
        let ended = async { while self.link.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!("the grace is over: requests that still run are cut");
        }
        self.abort().await;
    }

    /// Ends now: running requests are reset.
    pub async fn abort(mut self) {
        self.stop.abort();
        // A moment to tell the relay; without it the relay would see the connection break.
        let ended = async { while self.link.join_next().await.is_some() {} };
        let _: Result<(), _> = tokio::time::timeout(FAREWELL, ended).await;
        self.link.shutdown().await;
        if let Some(traces) = self.traces {
            traces.finish(FAREWELL).await;
        }
        self.aside.shutdown().await;
    }
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Kubernetes(_) => {
                "name a kubeconfig, and a context of it, by which kubectl reaches the cluster, by --kubeconfig and --context; in an agent's file they are kubernetes.kubeconfig and kubernetes.context"
            }
            Self::Roots(_) => {
                "name a PEM file that the user that the agent runs as can read (relay.ca_file, --ca), or none for the system's certificates"
            }
            Self::Certificate(_) => {
                "name PEM files that the user that the agent runs as can read; the agent's certificate comes first, and the key is its"
            }
            Self::Webhooks(_) => "install the system's certificates (ca-certificates)",
            Self::RelayName(_) => "use a host name in relay.url that the relay's certificate has",
            Self::Admin { source, .. } => listen_advice(source),
            Self::Traces(error) => error.advice(),
        }
    }
}

impl From<EndpointError> for StartError {
    fn from(error: EndpointError) -> Self {
        Self::Kubernetes(chain(&error))
    }
}

/// As whom it is known to the collector of traces.
pub(crate) fn instance(config: &Config) -> Instance {
    Instance {
        service: "adit-agent",
        version: env!("CARGO_PKG_VERSION"),
        id: config.replica.clone(),
    }
}

pub(crate) fn options(config: &Config) -> Options {
    let about = About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        replica: config.replica.clone(),
        ..About::default()
    };
    Options {
        about,
        ping_interval: config.relay.ping_interval,
        busy_ping_interval: config.relay.dead_after * 2 / 3,
        dead_after: config.relay.dead_after,
        handshake_timeout: config.relay.connect_timeout,
        max_streams: config.limits.max_streams,
        max_head_bytes: config.limits.max_head_bytes,
        stream_credit: config.limits.stream_credit,
        max_stream_credit: config.limits.max_stream_credit,
        max_buffered_bytes: config.limits.max_buffered_bytes,
        max_queued_bytes: config.limits.max_queued_bytes,
        stream_queue_bytes: config.limits.stream_queue_bytes,
        budget: Budget::new(config.limits.max_buffered_bytes),
    }
}

/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    #[test]
    fn bounds_of_tunnels_reach_their_sessions() {
        let raw = RawConfig::from_yaml(
            "
            relay: { url: 'https://relay.example.com', token_file: token, proxy: none }
            limits:
              max_streams: 7
              max_head_bytes: 16384
              max_buffered_bytes: 1000
              max_queued_bytes: 2000
              stream_queue_bytes: 3000
              stream_credit_bytes: 4096
              max_stream_credit_bytes: 5000
            ",
        );
        let config = Config::try_from(raw.unwrap()).unwrap();
        let options = options(&config);
        assert_eq!((options.max_streams, options.max_head_bytes), (7, 16_384));
        let found = [
            options.max_buffered_bytes,
            options.budget.limit(),
            options.max_queued_bytes,
            options.stream_queue_bytes,
            options.stream_credit as usize,
            options.max_stream_credit as usize,
        ];
        assert_eq!(found, [1000, 1000, 2000, 3000, 4096, 5000]);
    }
}
