//! Decides what GitLab may call here, on a listener of its own: the gRPC API by which its pages show who is connected, and by which it
//! tells of pushes, as its own agent server has it.
//!
//! Started by `relay.rs` where section `gitlab_api` is. Invariant: a call is GitLab's, by the secret that both have, before a byte of its
//! message is read.

use std::{convert::Infallible, sync::Arc, time::Duration};

use adit_authority::gitlab::{ApiSecret, NotGitLab};
use adit_process::{
    Stop, chain,
    net::{Listener, keep_alive},
    tls::ServerTls,
};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::Instant};
use tonic::{Code, Status, body::Body};

use crate::{
    client::Client,
    connections,
    front_door::{HandshakeError, Place, Places, Protocol, accept},
    metrics::{ApiOutcome, Metrics, NoConnection},
    seldom::Seldom,
};

mod agents;
mod calls;
mod config_files;
mod notifications;
mod server_info;
mod tasks;

pub(crate) use calls::Calls;
use tasks::Tasks;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// Silence after which a peer is asked whether it is there, by TCP and by HTTP/2.
const KEEPALIVE: Duration = Duration::from_mins(1);
/// Calls at once on one connection. GitLab makes one at a time.
const CALLS_AT_ONCE: u32 = 100;
/// Bytes of a call's head: a JWT has some 300.
const MAX_HEAD_BYTES: u32 = 16 << 10;

/// The API, but for its listener.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) tls: Option<ServerTls>,
    pub(crate) places: Arc<Places>,
    /// Connections at once.
    pub(crate) connections: usize,
    pub(crate) secret: Arc<ApiSecret>,
    pub(crate) calls: Calls,
    pub(crate) denials: Seldom,
    pub(crate) stop: Stop,
    pub(crate) metrics: Arc<Metrics>,
}

impl Api {
    /// Takes connections until the process drains, and ends with the last of them.
    pub(crate) async fn run(self: Arc<Self>, listener: Listener) {
        connections::take(listener, &self.stop, |socket, from| {
            let from = Client::from(from);
            let place = self.place(from)?;
            Some(Arc::clone(&self).serve(socket, from, place))
        })
        .await;
    }

    fn place(&self, from: Client) -> Option<Place> {
        let place = self.places.take(self.connections);
        if place.is_err() {
            self.metrics.connection_refused(NoConnection::GitLabApi);
            tracing::debug!(client.addr = %from, "as many connections are open as GitLab may have");
        }
        place.ok()
    }

    async fn serve(self: Arc<Self>, socket: TcpStream, from: Client, _place: Place) {
        let _counted = self.metrics.gitlab_api_connection();
        keep_alive(&socket, KEEPALIVE);
        let tls = self.tls.as_ref().map(ServerTls::acceptor);
        let io = match accept(socket, tls.as_ref(), Instant::now() + HANDSHAKE).await {
            Ok((io, Protocol::Http2)) => io,
            Ok((_, Protocol::Http1)) => {
                tracing::debug!(client.addr = %from, "only gRPC is served here, over HTTP/2");
                return;
            }
            Err(error) => return self.handshake_failed(from, &error),
        };
        let tasks = Tasks::default();
        let service = service_fn(|request| {
            let api = Arc::clone(&self);
            async move { Ok::<_, Infallible>(api.answer(request, from).await) }
        });
        let connection = http2::Builder::new(tasks.here())
            .timer(TokioTimer::new())
            .max_concurrent_streams(CALLS_AT_ONCE)
            .max_header_list_size(MAX_HEAD_BYTES)
            .keep_alive_interval(KEEPALIVE)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            () = self.stop.draining() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            ended = connection.as_mut() => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(client.addr = %from, error = %chain(&error), "a connection of GitLab's broke");
        }
    }

    async fn answer(&self, request: Request<Incoming>, from: Client) -> Response<Body> {
        let call = Calls::call(request.uri().path());
        let answer = match self.secret.check(request.headers()) {
            Ok(()) => self.calls.answer(call, request).await,
            Err(why) => self.deny(why, from),
        };
        self.metrics.gitlab_api_call(call, outcome(&answer));
        answer
    }

    fn deny(&self, why: NotGitLab, from: Client) -> Response<Body> {
        if let Some(unlogged) = self.denials.told(Instant::now()) {
            tracing::warn!(client.addr = %from, error = %why, unlogged, "a call that is not GitLab's was refused");
        }
        Status::unauthenticated(why.to_string()).into_http()
    }

    fn handshake_failed(&self, from: Client, error: &HandshakeError) {
        self.metrics.handshake_failed(error.into());
        tracing::debug!(client.addr = %from, error = %chain(error), "handshake failed");
    }
}

/// A call that ends well says so behind its message, and only then.
fn outcome(answer: &Response<Body>) -> ApiOutcome {
    let Some(status) = Status::from_header_map(answer.headers()) else {
        return ApiOutcome::Answered;
    };
    let code = status.code();
    if code == Code::Unauthenticated {
        ApiOutcome::Unauthenticated
    } else if code == Code::InvalidArgument {
        ApiOutcome::InvalidArgument
    } else if code == Code::Unimplemented {
        ApiOutcome::Unimplemented
    } else {
        ApiOutcome::Failed
    }
}
