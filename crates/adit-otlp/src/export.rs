//! Sends spans to the collector, in batches. [`Exporter::start`] has that done beside what makes them.
//! Invariant: a collector that is slow, away or says no costs its spans and nothing else, and is complained of once until it takes some.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adit_process::chain;
use adit_process::secret_file::SecretError;
use adit_process::tls::{ClientTls, TlsError};
use hyper_util::rt::TokioIo;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter as _};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint as Target};

use crate::config::Endpoint;
use crate::{Counts, Fate, Shared, Token, Traces, TracesConfig};

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its roots cannot be used.
    #[error("cannot use traces.ca_file")]
    Roots(#[from] TlsError),
    /// No certificate has such a name.
    #[error("{0:?} is no host name that a certificate could have (traces.endpoint)")]
    Name(String),
    /// The token cannot be read, or is none.
    #[error(transparent)]
    Token(#[from] SecretError),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Roots(_) => {
                "name a PEM file with the collector's roots that adit's user can read (traces.ca_file), or none for the system's"
            }
            Self::Name(_) => {
                "use the host name in traces.endpoint that the collector's certificate has"
            }
            Self::Token(_) => {
                "put the token into that file, where adit's user can read it, or leave traces.token_file out"
            }
        }
    }
}

/// Who tells of requests: a resource, as OpenTelemetry calls it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `service.name`.
    pub service: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`: which of the replicas.
    pub id: String,
}

/// Sends what is made, beside what makes it. Ends at once when it is dropped.
#[derive(Debug)]
pub struct Sending {
    task: JoinSet<()>,
    stop: Arc<Notify>,
}

impl Sending {
    /// Sends what still waits, as long as that takes no longer than `grace`.
    pub async fn finish(mut self, grace: Duration) {
        self.stop.notify_one();
        let _: Result<_, _> = timeout(grace, self.task.join_next()).await;
    }
}

/// What takes spans out of the queue and sends them.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::Receiver<SpanData>,
    counts: Counts,
    endpoint: Endpoint,
    tls: Option<(ClientTls, ServerName<'static>)>,
    token: Option<Arc<Token>>,
    resource: Resource,
}

impl Traces {
    /// Nothing is sent until the exporter runs. The token is that of [`TracesConfig::token`], which somebody keeps.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(
        config: TracesConfig,
        token: Option<Arc<Token>>,
        of: Instance,
        counts: Counts,
    ) -> Result<(Self, Exporter), StartError> {
        let endpoint = config.endpoint;
        let tls = if endpoint.is_tls {
            let name = ServerName::try_from(endpoint.host.clone());
            let name = name.map_err(|_| StartError::Name(endpoint.host.clone()))?;
            Some((ClientTls::new(&config.roots, &[b"h2"])?, name))
        } else {
            None
        };
        let (sender, queue) = mpsc::channel(config.queue);
        let scope = InstrumentationScope::builder("adit").with_version(of.version);
        let by_share = Sampler::TraceIdRatioBased(config.sample);
        let shared = Shared {
            sampler: Sampler::ParentBased(Box::new(by_share)),
            queue: sender,
            scope: scope.build(),
            counts: counts.clone(),
        };
        let exporter = Exporter {
            queue,
            counts,
            endpoint,
            tls,
            token,
            resource: resource(of),
        };
        Ok((Self(Arc::new(shared)), exporter))
    }
}

impl Exporter {
    /// Begins to send.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(self) -> Sending {
        let (mut task, stop) = (JoinSet::new(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        task.spawn(self.run(async move { stopped.notified().await }));
        Sending { task, stop }
    }

    async fn run(mut self, stopped: impl Future<Output = ()>) {
        let collector = match self.collector() {
            Ok(collector) => collector,
            Err(error) => {
                tracing::error!(error = chain(&error), "traces cannot be sent");
                return;
            }
        };
        let mut stopped = pin!(stopped);
        let mut heard = Heard::Nothing;
        loop {
            let mut batch = Vec::new();
            let has_stopped = tokio::select! {
                biased;
                () = self.gather(&mut batch) => false,
                () = &mut stopped => true,
            };
            if has_stopped {
                self.queue.close();
                while self.queue.recv_many(&mut batch, MOST_SPANS).await > 0 {}
            }
            let count = batch.len() as u64;
            if count > 0 {
                let sent = collector.export(batch).await;
                let fate = if sent.is_ok() {
                    Fate::Sent
                } else {
                    Fate::Failed
                };
                self.counts.0.of(fate).inc_by(count);
                heard = heard.say(sent);
            }
            if has_stopped {
                return;
            }
        }
    }

    /// Waits for a span and then for more, until they are many or a second has gone. Cancel-safe: what it took is in `batch`.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) {
        if self.queue.recv_many(batch, MOST_SPANS).await == 0 {
            // Nobody can make one any more.
            std::future::pending::<()>().await;
        }
        let until = Instant::now() + GATHERED;
        while let Some(room @ 1..) = MOST_SPANS.checked_sub(batch.len()) {
            if timeout_at(until, self.queue.recv_many(batch, room))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    fn collector(&self) -> Result<SpanExporter, ExporterBuildError> {
        let builder = SpanExporter::builder().with_tonic();
        let builder = builder.with_channel(self.channel()).with_timeout(LONGEST);
        let mut collector = match &self.token {
            Some(token) => {
                let token = Arc::clone(token);
                let show = move |request| token.show(request);
                builder.with_interceptor(show).build()?
            }
            None => builder.build()?,
        };
        collector.set_resource(&self.resource);
        Ok(collector)
    }

    fn channel(&self) -> Channel {
        let Endpoint { host, port, .. } = self.endpoint.clone();
        let tls = self.tls.clone();
        // What the collector sees as its own name; the connector knows where that is.
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let target = Target::from_shared(format!("{scheme}://{authority}"));
        let target = target.expect("a host and a port that were read from a URL make one");
        target.connect_with_connector_lazy(tower::service_fn(move |_| {
            let (tls, host) = (tls.clone(), host.clone());
            async move {
                let socket = TcpStream::connect((host.as_str(), port)).await?;
                let io = match tls {
                    Some((tls, name)) => Either::Left(tls.connector().connect(name, socket).await?),
                    None => Either::Right(socket),
                };
                Ok::<_, io::Error>(TokioIo::new(io))
            }
        }))
    }
}

/// What the collector said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Yes,
    No,
}

impl Heard {
    fn say(self, sent: OTelSdkResult) -> Self {
        match sent {
            Ok(()) => {
                if self == Self::No {
                    tracing::info!("the collector takes spans again");
                }
                Self::Yes
            }
            Err(error) => {
                if self != Self::No {
                    tracing::warn!(
                        error = chain(&error),
                        "the collector takes no spans: they are lost until it does (traces.endpoint)"
                    );
                }
                Self::No
            }
        }
    }
}

fn resource(of: Instance) -> Resource {
    let attributes = [
        KeyValue::new("service.version", of.version),
        KeyValue::new("service.instance.id", of.id),
    ];
    Resource::builder()
        .with_attributes(attributes)
        .with_service_name(of.service)
        .build()
}

/// In one call.
const MOST_SPANS: usize = 512;
/// How long spans wait for others.
const GATHERED: Duration = Duration::from_secs(1);
/// A call.
const LONGEST: Duration = Duration::from_secs(10);
