//! Accepts connections and carries requests to the answers, past the faults.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{State, api, call::Call, endpoint::Endpoint, fault::HungUp};
use crate::{
    body::Body,
    pki,
    tasks::{Executor, accept},
};

/// Bytes of a request's body.
const MAX_BODY: usize = 16 << 20;

/// With TLS, unless there is none.
pub(super) async fn run(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    accept(listener, |socket, executor| {
        connection(socket, tls.clone(), Arc::clone(&state), executor)
    })
    .await;
}

async fn connection(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    executor: Executor,
) {
    let Some(tls) = tls else {
        return serve_http1(socket, state).await;
    };
    let Ok(io) = tls.accept(socket).await else {
        return;
    };
    if io.get_ref().1.alpn_protocol() == Some(pki::HTTP2) {
        serve_http2(io, state, executor).await;
    } else {
        serve_http1(io, state).await;
    }
}

async fn serve_http1<IO: AsyncRead + AsyncWrite + Unpin>(io: IO, state: Arc<State>) {
    let service = service_fn(|request| exchange(request, Arc::clone(&state)));
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service)
        .await;
}

async fn serve_http2<IO>(io: IO, state: Arc<State>, executor: Executor)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| exchange(request, Arc::clone(&state)));
    let _ = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service)
        .await;
}

async fn exchange(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, HungUp> {
    let endpoint = Endpoint::of(request.method(), request.uri().path());
    let _begun = state.calls.begin(endpoint);
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let call = Call::new(&head, body.map_err(|_| HungUp)?.to_bytes());
    let answer = || api::answer(&call, endpoint, &state);
    match state.faults.next(endpoint) {
        Some(fault) => fault.apply(answer).await,
        None => Ok(answer().into_response()),
    }
}
