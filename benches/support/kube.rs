//! An API server for what nginx cannot be: `/sink` reads a body and answers with its length, `/watch` sends every event to whoever
//! asked, anything else is answered with 2 KiB. HTTP/2 over TLS, 250 requests at once on a connection, as Kubernetes has it; HTTP/1.1 for
//! clients of a tunnel for TCP, who speak with it themselves.

use std::{convert::Infallible, net::TcpListener as StdListener};

use adit_process::tls::{CertificateFiles, H2, HTTP_1_1, ServerTls};
use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    aside::Aside,
    body::{self, Body},
    rig::{Rig, SMALL_BYTES},
};

#[derive(Debug)]
pub struct Kube {
    pub port: u16,
    events: broadcast::Sender<Bytes>,
    _aside: Aside,
}

impl Kube {
    pub fn start(rig: &Rig) -> Result<Self> {
        let files = CertificateFiles {
            certificate: rig.file("tls.crt"),
            key: rig.file("tls.key"),
        };
        let tls = ServerTls::load(files, &[H2, HTTP_1_1])?.acceptor();
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (events, _) = broadcast::channel(16);
        let serving = serve(listener, tls, events.clone());
        Ok(Self {
            port,
            events,
            _aside: Aside::start("kube", serving)?,
        })
    }

    /// Sends one event to everybody who watches.
    pub fn event(&self) {
        let _ = self.events.send(Bytes::from_static(EVENT));
    }

    #[must_use]
    pub fn watchers(&self) -> usize {
        self.events.receiver_count()
    }
}

async fn serve(listener: StdListener, tls: TlsAcceptor, events: broadcast::Sender<Bytes>) {
    let listener = TcpListener::from_std(listener).expect("it is a listener");
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let _ = socket.set_nodelay(true);
        connections.spawn(connection(socket, tls.clone(), events.clone()));
    }
}

async fn connection(socket: TcpStream, tls: TlsAcceptor, events: broadcast::Sender<Bytes>) {
    let Ok(io) = tls.accept(socket).await else {
        return;
    };
    let service = service_fn(|request| answer(request, events.clone()));
    if io.get_ref().1.alpn_protocol() == Some(HTTP_1_1) {
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(io), service)
            .await;
        return;
    }
    let _ = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(64 << 10)
        .serve_connection(TokioIo::new(io), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    events: broadcast::Sender<Bytes>,
) -> Result<Response<Body>, Infallible> {
    let body = match request.uri().path() {
        "/sink" => match body::length(request.into_body()).await {
            Ok(bytes) => body::full(bytes.to_string().into()),
            Err(_) => return Ok(broken_off()),
        },
        "/watch" => body::events(events.subscribe()),
        _ => body::full(Bytes::from_static(&[b'x'; SMALL_BYTES])),
    };
    Ok(Response::new(body))
}

fn broken_off() -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// About as long as that of a pod that changed its phase would be, were it not for managed fields.
const EVENT: &[u8] = &[b'e'; 1024];
