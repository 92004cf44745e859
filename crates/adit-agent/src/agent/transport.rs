//! Decides what carries a tunnel to the relay: HTTP/2 as it is, or inside a WebSocket where nothing better gets through.
//! Called by [`super::link`], and by `adit doctor`.
//! Invariant: the WebSocket carries the same HTTP/2 with the same call, to a peer that proves itself by the same TLS; and a
//! refusal of the relay's own is final, whatever carried it.

use std::time::Duration;

use adit_process::net::WebSocket;
use adit_process::reread::look;
use adit_process::tls::{ClientTls, H2, HTTP_1_1, OwnCertificate, ServerRoots};
use adit_tunnel::{ConnectError, Driver, Options, WEBSOCKET_PATH, WEBSOCKET_PROTOCOL};
use http::HeaderValue;
use tokio::time::{Instant, timeout};

use super::StartError;
use super::link::Opened;
use crate::config::{Allowed, RelayConfig, RelayUrl};
use crate::dial::{Dialled, Dialler, Tls};
use crate::explain::ConnectFailure;
use crate::metrics::{Attempt, Metrics, Transport};

/// How the relay is dialled.
#[derive(Debug)]
pub(crate) struct Transports {
    url: RelayUrl,
    files: RelayFiles,
    http2: Dialler,
    websocket: Dialler,
    /// Until then the WebSocket comes first, since it alone got through.
    websocket_first: Option<Instant>,
    metrics: Metrics,
}

/// What lies in files and decides about TLS with the relay.
#[derive(Clone, Debug, Default)]
pub(crate) struct RelayFiles {
    /// Who vouches for it; nobody without TLS.
    pub(crate) roots: Option<ServerRoots>,
    /// What it is shown, if it asks.
    pub(crate) own: Option<OwnCertificate>,
}

/// A tunnel that has come about.
pub(crate) struct Carried {
    pub(crate) opened: Opened,
    pub(crate) driver: Driver,
    pub(crate) transport: Transport,
    /// Why it is no better one, if that was tried just now.
    pub(crate) instead: Option<ConnectFailure>,
}

impl Transports {
    pub(crate) fn new(
        relay: &RelayConfig,
        files: RelayFiles,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let offering = |alpn| {
            let own = files.own.as_ref();
            let by = |roots| Ok::<_, StartError>(ClientTls::by(roots, &[alpn])?.showing(own));
            dialler(relay, files.roots.as_ref().map(by).transpose()?)
        };
        let (http2, websocket) = (offering(H2)?, offering(HTTP_1_1)?);
        Ok(Self {
            files,
            ..Self::of(relay, http2, websocket, metrics)
        })
    }

    /// `websocket` offers HTTP/1.1 alone, or a balancer would choose what carries no WebSocket. For one attempt: files are not reread.
    pub(crate) fn of(
        relay: &RelayConfig,
        http2: Dialler,
        websocket: Dialler,
        metrics: Metrics,
    ) -> Self {
        Self {
            url: relay.url.clone(),
            files: RelayFiles::default(),
            http2,
            websocket,
            websocket_first: None,
            metrics,
        }
    }

    /// `host:port`.
    pub(crate) fn target(&self) -> String {
        self.http2.target()
    }

    /// What is tried first.
    pub(crate) fn first(&self) -> Transport {
        let is_first = |until: Instant| Instant::now() < until;
        match self.url.allowed {
            Allowed::WebSocket => Transport::WebSocket,
            Allowed::Any if self.websocket_first.is_some_and(is_first) => Transport::WebSocket,
            Allowed::Any | Allowed::Http2 => Transport::Http2,
        }
    }

    /// So that what was renewed a moment ago is shown, and a rotated authority taken up.
    pub(crate) fn reread_files(&self) {
        // What it comes to is told.
        let _ = self.files.own.as_ref().map(look);
        let _ = self.files.roots.as_ref().map(look);
    }

    /// Dials, and opens a tunnel.
    pub(crate) async fn open(
        &mut self,
        token: &HeaderValue,
        options: Options,
    ) -> Result<Carried, ConnectFailure> {
        let first = self.first();
        let failure = match self.attempt(first, token, options.clone()).await {
            Ok(carried) => return Ok(carried),
            Err(failure) => failure,
        };
        if first == Transport::WebSocket {
            // A relay that is away for a moment says nothing about what gets through to it.
            if !matches!(failure, ConnectFailure::Dial(_)) {
                self.websocket_first = None;
            }
            return Err(failure);
        }
        if self.url.allowed == Allowed::Http2 || !failure.could_pass_in_websocket() {
            return Err(failure);
        }
        match self.attempt(Transport::WebSocket, token, options).await {
            Ok(carried) => {
                self.websocket_first = Some(Instant::now() + WEBSOCKET_FIRST);
                Ok(Carried {
                    instead: Some(failure),
                    ..carried
                })
            }
            Err(of_relay) if of_relay.is_of_relay() => Err(of_relay),
            Err(websocket) => Err(ConnectFailure::Neither {
                http2: Box::new(failure),
                websocket: Box::new(websocket),
            }),
        }
    }

    async fn attempt(
        &self,
        transport: Transport,
        token: &HeaderValue,
        options: Options,
    ) -> Result<Carried, ConnectFailure> {
        let opened = match transport {
            Transport::Http2 => Box::pin(self.over_http2(token, options)).await,
            Transport::WebSocket => Box::pin(self.in_websocket(token, options)).await,
        };
        let attempt = opened
            .as_ref()
            .map_or_else(ConnectFailure::attempt, |_| Attempt::Connected);
        self.metrics.connect(attempt, transport);
        let (opened, driver) = opened?;
        Ok(Carried {
            opened,
            driver,
            transport,
            instead: None,
        })
    }

    async fn over_http2(
        &self,
        token: &HeaderValue,
        options: Options,
    ) -> Result<(Opened, Driver), ConnectFailure> {
        let Dialled { wire, alpn } = self.http2.dial().await?;
        if self.http2.tls.is_some() && alpn.as_deref() != Some(H2) {
            return Err(ConnectFailure::NoHttp2 { alpn });
        }
        let authority = self.url.authority();
        let connected = adit_tunnel::connect(wire, &authority, token, options).await?;
        Ok(opened(connected))
    }

    async fn in_websocket(
        &self,
        token: &HeaderValue,
        options: Options,
    ) -> Result<(Opened, Driver), ConnectFailure> {
        let dialled = self.websocket.dial().await?;
        dialled.limit_unsent();
        let authority = self.url.authority();
        let path = format!("{}{WEBSOCKET_PATH}", self.url.prefix);
        let agent = concat!("adit/", env!("CARGO_PKG_VERSION"));
        let dial = WebSocket::dial(dialled.wire, &authority, path, WEBSOCKET_PROTOCOL, agent);
        let patience = self.websocket.timeout;
        let io = timeout(patience, dial).await;
        let io = io.map_err(|_| ConnectError::TimedOut(patience))??;
        let connected = adit_tunnel::connect(io, &authority, token, options).await?;
        Ok(opened(connected))
    }
}

fn opened(
    (tunnel, calls, driver): (adit_tunnel::Tunnel, adit_tunnel::Calls, Driver),
) -> (Opened, Driver) {
    (Opened { tunnel, calls }, driver)
}

impl RelayFiles {
    /// Those that the configuration names.
    pub(crate) fn load(relay: &RelayConfig, metrics: &Metrics) -> Result<Self, StartError> {
        let load = || {
            let roots = ServerRoots::load("relay.ca_file", relay.roots.clone())?;
            Ok::<_, StartError>(roots.counted_by(metrics.server_ca_reloads.clone()))
        };
        Ok(Self {
            own: own_certificate(relay)?,
            roots: relay.url.is_tls.then(load).transpose()?,
        })
    }
}

/// The certificate that it is shown; nothing when none is configured.
pub(crate) fn own_certificate(relay: &RelayConfig) -> Result<Option<OwnCertificate>, StartError> {
    let own = relay.certificate.clone().map(OwnCertificate::load);
    own.transpose().map_err(StartError::Certificate)
}

/// How the relay is dialled by somebody who offers it this.
pub(crate) fn dialler(relay: &RelayConfig, tls: Option<ClientTls>) -> Result<Dialler, StartError> {
    let host = relay.url.bare_host();
    let unnamed = || StartError::RelayName(host.to_owned());
    let tls = tls.map(|tls| Tls::new(&tls, host).ok_or_else(unnamed));
    Ok(Dialler {
        host: relay.url.host.clone(),
        port: relay.url.port,
        tls: tls.transpose()?,
        proxy: relay.proxy.clone(),
        timeout: relay.connect_timeout,
    })
}

/// Some things on the way hold HTTP/2 until the attempt times out: so it is not tried each time, nor is a WebSocket kept for good.
const WEBSOCKET_FIRST: Duration = Duration::from_hours(1);
