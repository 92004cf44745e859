//! Keeps a tunnel to the relay: connects, waits, connects again. Run by [`super::Agent`] as one task.
//! Invariant: a relay that drains is left only when the next tunnel is up, so that no request finds the agent away; and a
//! relay that is gone is not dialled in a rush.
//!
//! ```text
//!  connect ──failed──▶ wait (backoff) ──▶ connect
//!     └────up────▶ hold ──relay drains──▶ connect; the old tunnel ends by itself, when its last request has
//!                   ├───lost────────────▶ wait (backoff) ──▶ connect
//!                   └───we stop─────────▶ drain all, end
//! ```

use std::sync::Arc;
use std::time::Duration;

use adit_process::admin::Condition;
use adit_process::backoff::Backoff;
use adit_process::metrics::{Held, Label};
use adit_process::{Stop, chain};
use adit_tunnel::{Calls, CloseReason, Driver, Options, Tunnel};
use http::HeaderValue;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::transport::{Carried, Transports};
use crate::config::{RelayConfig, TokenSource};
use crate::explain::ConnectFailure;
use crate::kube::Kube;
use crate::kube::credentials::bearer;
use crate::metrics::{End, Tunnels};
use crate::serve::{Service, serve};

pub(crate) struct Link {
    pub(crate) options: Options,
    pub(crate) listed: Tunnels,
    pub(crate) relay: RelayConfig,
    pub(crate) transports: Transports,
    pub(crate) service: Arc<Service>,
    pub(crate) ready: Condition,
    /// By the API server, whatever it said. Once met it stays: what comes later callers are told.
    pub(crate) answered: Condition,
    pub(crate) up: watch::Sender<usize>,
    /// The newest tunnel, also when it is over.
    pub(crate) newest: watch::Sender<Option<Opened>>,
    pub(crate) stop: Stop,
}

/// A tunnel, and what may go beside it.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) tunnel: Tunnel,
    pub(crate) calls: Calls,
}

impl Link {
    /// Until the agent was asked to stop and all tunnels have ended.
    pub(crate) async fn run(mut self) {
        let mut sessions = JoinSet::new();
        let mut backoff = Backoff::new(self.relay.backoff);
        while !self.stop.is_draining() {
            let wait = match self.connect_unless_stopped().await {
                Some(Ok(carried)) => self.hold(carried, &mut sessions, &mut backoff).await,
                Some(Err(failure)) => {
                    let wait = backoff.failed();
                    self.report(&failure, wait);
                    wait
                }
                None => break,
            };
            self.reap(&mut sessions, wait).await;
        }
        self.ready.unmet();
        while sessions.join_next().await.is_some() {}
    }

    async fn connect_unless_stopped(&mut self) -> Option<Result<Carried, ConnectFailure>> {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.draining() => None,
            connected = self.connect() => Some(connected),
        }
    }

    async fn connect(&mut self) -> Result<Carried, ConnectFailure> {
        let token = authorization(&self.relay.token).inspect_err(|failure| {
            let metrics = &self.service.metrics;
            metrics.connect(failure.attempt(), self.transports.first());
        })?;
        self.ask_version().await;
        self.transports.reread_files();
        self.transports.open(&token, self.options.clone()).await
    }

    /// Serves the tunnel until it is to be replaced; it goes on in `sessions` then. Gives the wait before the next.
    async fn hold(
        &self,
        carried: Carried,
        sessions: &mut JoinSet<()>,
        backoff: &mut Backoff,
    ) -> Duration {
        let since = Instant::now();
        let Carried {
            opened,
            driver,
            transport,
            instead,
        } = carried;
        if let Some(failure) = instead {
            tracing::warn!(
                error = chain(&failure),
                advice = failure.advice(),
                "HTTP/2 does not get through to the relay, a WebSocket does"
            );
        }
        let tunnel = opened.tunnel.clone();
        let peer = tunnel.peer();
        tracing::info!(
            tunnel.id = peer.session,
            agent.name = peer.agent,
            relay.version = peer.version,
            transport = transport.as_str(),
            "tunnel is up"
        );
        sessions.spawn(self.session(tunnel.clone(), driver));
        self.newest.send_replace(Some(opened));
        let end = released(&tunnel, &self.stop).await;
        let was_healthy = since.elapsed() >= self.relay.healthy_after;
        if was_healthy {
            backoff.reset();
        }
        match end {
            End::Stopping => Duration::ZERO,
            End::Drained if was_healthy => {
                tracing::info!(
                    tunnel.id = peer.session,
                    "the relay drains, opening the next tunnel"
                );
                Duration::ZERO
            }
            // A relay that drains whatever comes is not dialled in a rush either.
            End::Drained
            | End::Closed
            | End::Silent
            | End::Misbehaved
            | End::Lost
            | End::Revoked
            | End::CutByOperator => backoff.failed(),
        }
    }

    /// One tunnel from here to its end.
    fn session(&self, tunnel: Tunnel, driver: Driver) -> impl Future<Output = ()> + Send + use<> {
        let (service, stop) = (Arc::clone(&self.service), self.stop.clone());
        let metrics = service.metrics.clone();
        let up = Up::raise(self.up.clone(), self.ready.clone());
        let listed = self.listed.list(&tunnel);
        async move {
            let _listed = listed;
            let _held = Held::one(&metrics.tunnels);
            let span = tracing::debug_span!("tunnel", tunnel.id = tunnel.peer().session);
            let mut tasks = JoinSet::new();
            let driven = async move {
                driver.await;
            };
            tasks.spawn(driven.instrument(span.clone()));
            tasks.spawn(serve(tunnel.clone(), service).instrument(span));
            let end = ended(&tunnel, &stop).await;
            // From here no request can come in by this tunnel.
            drop(up);
            metrics.tunnel_end(end);
            // The driver ends when it has said goodbye, the rest when it has noticed.
            while tasks.join_next().await.is_some() {}
        }
    }

    fn report(&self, failure: &ConnectFailure, wait: Duration) {
        tracing::warn!(
            relay = self.transports.target(),
            cause = failure.cause(),
            error = chain(failure),
            advice = failure.advice(),
            retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "cannot connect to the relay"
        );
    }

    /// Waits, and lets go of tunnels that end meanwhile.
    async fn reap(&self, sessions: &mut JoinSet<()>, wait: Duration) {
        while sessions.try_join_next().is_some() {}
        tokio::select! {
            biased;
            () = self.stop.draining() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Once it is known it is not asked again. An API server that is away is no reason not to connect: callers are told.
    async fn ask_version(&mut self) {
        if !self.options.about.kubernetes_version.is_empty() {
            return;
        }
        let address = self.service.kube.address();
        let asked = tokio::time::timeout(VERSION_TIMEOUT, self.service.kube.version()).await;
        match asked {
            Ok(Ok(version)) => {
                self.answered.met();
                let version = version.unwrap_or_default();
                tracing::info!(
                    kubernetes.version = version,
                    api_server = address,
                    "the API server answers"
                );
                self.options.about.kubernetes_version = version;
            }
            Ok(Err(error)) if error.is_of_our_own() => {
                tracing::warn!(
                    error = chain(&error),
                    api_server = address,
                    "the API server is not asked for its version"
                );
            }
            Ok(Err(error)) => self.service.kube.is_away(&chain(&error)),
            Err(_) => self.service.kube.is_away("no answer in time"),
        }
    }
}

/// Beside the link, which asks before it connects: until there is an answer, so that a tunnel that stays up does not keep the agent
/// from being ready when the API server is there at last.
pub(crate) async fn ask_until_answered(kube: Arc<Kube>, answered: Condition) {
    loop {
        tokio::time::sleep(ASK_AGAIN).await;
        if answered.is_met() {
            return;
        }
        let asked = tokio::time::timeout(VERSION_TIMEOUT, kube.version()).await;
        if let Ok(Ok(_)) = asked {
            answered.met();
        }
    }
}

/// Waits until nothing new should come over the tunnel, and says why. Cancel-safe.
async fn released(tunnel: &Tunnel, stop: &Stop) -> End {
    tokio::select! {
        biased;
        () = stop.draining() => End::Stopping,
        () = tunnel.draining() => match tunnel.end() {
            Some(over) => over.cause().into(),
            None => End::Drained,
        },
    }
}

/// Waits until the tunnel is over, draining it first if one side asks for that.
async fn ended(tunnel: &Tunnel, stop: &Stop) -> End {
    let end = released(tunnel, stop).await;
    match end {
        End::Closed
        | End::Silent
        | End::Misbehaved
        | End::Lost
        | End::Revoked
        | End::CutByOperator => {
            let error = tunnel.closed().await;
            tracing::warn!(
                tunnel.id = tunnel.peer().session,
                error = chain(&*error),
                "the tunnel was lost"
            );
        }
        End::Stopping | End::Drained => {
            if end == End::Stopping {
                tunnel.drain("the agent is stopping");
            }
            let left = async {
                tunnel.drained().await;
                // All was sent; the relay ends the session when its callers have read it. One that does not is not waited
                // for any longer.
                tokio::time::timeout(PARTING, tunnel.closed()).await
            };
            let reason = tokio::select! {
                biased;
                () = stop.aborting() => CloseReason::Stopping,
                _ = left => CloseReason::Done,
            };
            tunnel.close(reason, "the agent has drained");
            tracing::info!(tunnel.id = tunnel.peer().session, "tunnel ended");
        }
    }
    end
}

/// One tunnel more, as long as it lives.
struct Up {
    up: watch::Sender<usize>,
    ready: Condition,
}

impl Up {
    fn raise(up: watch::Sender<usize>, ready: Condition) -> Self {
        ready.met();
        up.send_modify(|up| *up += 1);
        Self { up, ready }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.up.send_modify(|up| {
            *up -= 1;
            if *up == 0 {
                self.ready.unmet();
            }
        });
    }
}

/// The whole `authorization` value. Read anew for each connect, so that a rotated token is taken up.
pub(crate) fn authorization(source: &TokenSource) -> Result<HeaderValue, ConnectFailure> {
    let from = || match source {
        TokenSource::Given(_) => "ADIT_AGENT_TOKEN".to_owned(),
        TokenSource::File(path) => path.display().to_string(),
    };
    let token = read(source)?;
    bearer(token.expose_secret()).map_err(|_| ConnectFailure::BadToken { from: from() })
}

/// The token as it is now.
pub(crate) fn read(source: &TokenSource) -> Result<SecretString, ConnectFailure> {
    match source {
        TokenSource::Given(token) => Ok(token.expose_secret().trim().into()),
        TokenSource::File(path) => {
            let read = std::fs::read_to_string(path);
            let mut read = read.map_err(|source| ConnectFailure::TokenFile {
                path: path.clone(),
                source,
            })?;
            let token = SecretString::from(read.trim());
            read.zeroize();
            Ok(token)
        }
    }
}

/// How long the relay may take to end a session that has nothing left to do.
const PARTING: Duration = Duration::from_secs(5);
/// So that the first connect does not wait for an API server that drops packets.
const VERSION_TIMEOUT: Duration = Duration::from_secs(3);
/// As often as a pod is asked whether it is ready.
const ASK_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
