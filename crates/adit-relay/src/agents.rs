//! Decides which agents may hold a tunnel here: checks the token of an agent's gRPC call, opens the session, registers it.
//!
//! Called by `front_door/http2.rs` for each stream that arrives. Invariant: an agent is whom its token says; what it tells
//! of itself afterwards is for logs, nothing is decided by it.

use std::sync::Arc;

use adit_authority::{AgentTokens, Credential};
use adit_identity::AgentId;
use adit_process::{Stop, chain};
use adit_tunnel::{CloseReason, Options, PATH, SendBuf, SessionError, Tunnel};
use h2::{RecvStream, server::SendResponse};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use tokio::time::Instant;

use crate::{
    client::Client,
    metrics::{Metrics, Up},
    registry::{Registration, Registry},
};

mod seldom;

pub(crate) use seldom::Seldom;

/// What a stream on an HTTP/2 connection turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A client's request.
    Exchange,
    /// A tunnel of this agent, whose token was accepted.
    Tunnel(AgentId),
    /// A tunnel that is not opened.
    Denied(Denied),
}

/// Why a tunnel is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error(
        "the agent token is not accepted: it is missing, malformed, or not listed in this relay's configuration"
    )]
    Unauthenticated,
    #[error("the agent has as many tunnels as it may")]
    TooMany,
    #[error("this relay is stopping: connect to another one")]
    Draining,
}

impl Denied {
    /// The gRPC status code.
    const fn grpc_status(self) -> &'static str {
        match self {
            Self::Unauthenticated => "16",
            Self::TooMany => "8",
            Self::Draining => "14",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::TooMany => "too_many",
            Self::Draining => "draining",
        }
    }
}

/// Where tunnels begin.
#[derive(Debug)]
pub(crate) struct Agents {
    pub(crate) tokens: AgentTokens,
    pub(crate) registry: Arc<Registry>,
    pub(crate) options: Options,
    pub(crate) max_credential_bytes: usize,
    pub(crate) stop: Stop,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) denials: Seldom,
}

impl Agents {
    /// What `request` is. Checks the token when it is a tunnel.
    pub(crate) fn sort<B>(&self, request: &Request<B>) -> Arrival {
        if !is_tunnel(request) {
            return Arrival::Exchange;
        }
        let arrival = self.admit(request.headers());
        arrival.map_or_else(Arrival::Denied, Arrival::Tunnel)
    }

    /// Holds the tunnel until it ends.
    pub(crate) async fn serve(
        &self,
        agent: AgentId,
        request: Request<RecvStream>,
        respond: SendResponse<SendBuf>,
        from: Client,
    ) {
        let (mut opening, mut driver) = adit_tunnel::serve(request, respond, self.options.clone());
        let opened = tokio::select! {
            biased;
            over = &mut driver => Err(over),
            opened = &mut opening => opened,
        };
        let tunnel = match opened {
            Ok(tunnel) => tunnel,
            Err(error) => {
                self.metrics.tunnel_refused("handshake");
                tracing::warn!(agent.id = %agent, client.addr = %from, error = %chain(&*error), "tunnel did not open");
                return;
            }
        };
        let _live = LiveTunnel {
            agent,
            tunnel: tunnel.clone(),
            metrics: &self.metrics,
            _counted: self.metrics.tunnel(),
            _registration: self.register(agent, &tunnel, from),
        };
        tokio::select! {
            biased;
            _ = &mut driver => {}
            // The callers have read everything: the agent, which asked to go, may.
            () = tunnel.drained() => {
                tunnel.close(CloseReason::Done, "drained");
                driver.await;
            }
        }
    }

    fn admit(&self, headers: &HeaderMap) -> Result<AgentId, Denied> {
        let values = headers
            .get_all(AUTHORIZATION)
            .iter()
            .map(HeaderValue::as_bytes);
        let credential = Credential::parse(values, self.max_credential_bytes)
            .map_err(|_| Denied::Unauthenticated)?;
        // `ci:<agent id>:<token>` is a caller's form.
        if credential.agent().is_some() {
            return Err(Denied::Unauthenticated);
        }
        let agent = self
            .tokens
            .verify(credential.token())
            .ok_or(Denied::Unauthenticated)?;
        if self.stop.is_draining() {
            return Err(Denied::Draining);
        }
        if self.registry.is_full(agent) {
            return Err(Denied::TooMany);
        }
        Ok(agent)
    }

    fn register(&self, agent: AgentId, tunnel: &Tunnel, from: Client) -> Option<Registration> {
        let peer = tunnel.peer();
        match self
            .registry
            .register(agent, &peer.session.to_string(), tunnel.clone())
        {
            Ok(registration) => {
                tracing::info!(
                    agent.id = %agent,
                    replica.id = peer.replica,
                    tunnel.id = %peer.session,
                    client.addr = %from,
                    version = peer.version,
                    kubernetes.version = peer.kubernetes_version,
                    "tunnel opened"
                );
                Some(registration)
            }
            Err(too_many) => {
                self.metrics.tunnel_refused(Denied::TooMany.reason());
                tunnel.close(CloseReason::Stopping, &too_many.to_string());
                None
            }
        }
    }

    /// Says why there is no tunnel: a gRPC answer that is all trailers.
    pub(crate) fn deny(&self, denied: Denied, from: Client, mut respond: SendResponse<SendBuf>) {
        self.metrics.tunnel_refused(denied.reason());
        if let Some(unlogged) = self.denials.told(Instant::now()) {
            tracing::warn!(client.addr = %from, refusal = denied.reason(), unlogged, "tunnel refused");
        }
        let mut answer = Response::new(());
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(
            "grpc-status",
            HeaderValue::from_static(denied.grpc_status()),
        );
        if let Ok(message) = HeaderValue::try_from(denied.to_string()) {
            headers.insert("grpc-message", message);
        }
        // An agent that is gone needs no answer.
        let _ = respond.send_response(answer, true);
    }
}

/// A tunnel as long as it lives. Its end is told when this is dropped, which it is unasked when the connection breaks.
struct LiveTunnel<'a> {
    agent: AgentId,
    tunnel: Tunnel,
    metrics: &'a Metrics,
    _counted: Up,
    _registration: Option<Registration>,
}

impl Drop for LiveTunnel<'_> {
    fn drop(&mut self) {
        let (over, session) = (self.tunnel.end(), self.tunnel.peer().session);
        let end = over.as_deref().map_or(TunnelEnd::Lost, TunnelEnd::of);
        self.metrics.tunnel_ended(end);
        let error = over.map_or_else(|| "the connection broke".to_owned(), |over| chain(&*over));
        tracing::info!(agent.id = %self.agent, tunnel.id = session, error, "tunnel ended");
    }
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// In good order, by either side.
    Closed,
    /// One side heard nothing of the other for `dead_after`.
    Silent,
    /// One side broke the protocol, or flooded the other.
    Misbehaved,
    /// The connection broke.
    Lost,
}

impl TunnelEnd {
    pub(crate) const ALL: [Self; 4] = [Self::Closed, Self::Silent, Self::Misbehaved, Self::Lost];

    fn of(over: &SessionError) -> Self {
        match over {
            SessionError::PeerMisbehaved(_) => Self::Misbehaved,
            SessionError::Silent(_) | SessionError::HandshakeTimedOut => Self::Silent,
            SessionError::ClosedByPeer { reason, .. } => match reason {
                CloseReason::Protocol | CloseReason::Version => Self::Misbehaved,
                CloseReason::Silent => Self::Silent,
                CloseReason::Unspecified
                | CloseReason::Done
                | CloseReason::Revoked
                | CloseReason::Stopping => Self::Closed,
            },
            SessionError::Closed { .. } => Self::Closed,
            SessionError::Version { .. } => Self::Misbehaved,
            SessionError::Transport(_) => Self::Lost,
        }
    }

    pub(crate) const fn cause(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Misbehaved => "misbehaved",
            Self::Lost => "lost",
        }
    }
}

fn is_tunnel<B>(request: &Request<B>) -> bool {
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    request.uri().path() == PATH
        && request.method() == Method::POST
        && request.headers().get(CONTENT_TYPE).is_some_and(is_grpc)
}
