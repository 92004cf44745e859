//! Accepts connections and serves each by the HTTP it speaks.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{
    Clients, Http1, Http2, Io, State, answers,
    recorded::{Held, Recorded},
};
use crate::{
    Raw,
    body::Body,
    pki,
    tasks::{Executor, accept},
};

pub(super) async fn run(listener: TcpListener, state: Arc<State>) {
    let alpn: &[&[u8]] = match state.script.http2 {
        Http2::NotOffered => &[pki::HTTP1],
        Http2::Offered(_) | Http2::ByHand(_) => &[pki::HTTP2, pki::HTTP1],
    };
    let tls = match state.script.clients {
        Clients::Any => pki::shared().server(alpn),
        Clients::Certified => pki::shared().server_of_certified(alpn),
    };
    let tls = TlsAcceptor::from(tls);
    accept(listener, |socket, executor| {
        connection(socket, tls.clone(), Arc::clone(&state), executor)
    })
    .await;
}

async fn connection(socket: TcpStream, tls: TlsAcceptor, state: Arc<State>, executor: Executor) {
    let Ok(io) = tls.accept(socket).await else {
        return;
    };
    let shown = io.get_ref().1.peer_certificates();
    *state.shown.lock() = shown.map(|chain| chain[0].to_vec());
    let _counted = Counted::new(&state);
    if io.get_ref().1.alpn_protocol() == Some(pki::HTTP2) {
        match &state.script.http2 {
            Http2::NotOffered => {}
            Http2::Offered(streams) => serve_http2(io, &state, executor, *streams).await,
            Http2::ByHand(script) => {
                if let Ok(connection) = h2::server::handshake(io).await {
                    script(connection).await;
                }
            }
        }
        return;
    }
    match &state.script.http1 {
        Http1::Served => serve_http1(io, &state, executor).await,
        Http1::Raw(script) => script(Raw::new(io)).await,
    }
}

async fn serve_http1(io: Io, state: &Arc<State>, executor: Executor) {
    let service = service_fn(|request| exchange(request, Arc::clone(state), executor.clone()));
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades()
        .await;
}

async fn serve_http2(io: Io, state: &Arc<State>, executor: Executor, streams: u32) {
    let service = service_fn(|request| exchange(request, Arc::clone(state), executor.clone()));
    let _ = http2::Builder::new(executor.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(64 << 10)
        .max_header_list_size(256 << 10)
        .serve_connection(TokioIo::new(io), service)
        .await;
}

async fn exchange(
    request: Request<Incoming>,
    state: Arc<State>,
    executor: Executor,
) -> Result<Response<Held>, Infallible> {
    state.records.lock().push(Recorded::of(&request));
    let mut open = state.open();
    let is_head = request.method() == http::Method::HEAD;
    let mut response = answers::answer(request, &state, &executor).await;
    if is_head {
        keep_head(&mut response);
    }
    if http_body::Body::is_end_stream(response.body()) {
        open.over();
    }
    Ok(response.map(|body| Held { body, open }))
}

/// hyper leaves it to the service that an answer to HEAD has no body over HTTP/2.
fn keep_head(response: &mut Response<Body>) {
    let body = std::mem::replace(response.body_mut(), crate::body::empty());
    if let Some(len) = http_body::Body::size_hint(&body).exact() {
        response
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, len.into());
    }
}

struct Counted(Arc<State>);

impl Counted {
    fn new(state: &Arc<State>) -> Self {
        state.connections.fetch_add(1, Ordering::Relaxed);
        state.accepted.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
