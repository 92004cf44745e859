//! Whoever calls the relay: a kubectl over HTTP/2, something older over HTTP/1.1, or somebody who writes bytes by hand.
//! Made by [`crate::TestRelay`]. Invariant: dropping a connection drops its task and hangs up at once.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Raw, body, body::Body, pki, tasks::Tasks, within};

mod answer;

pub use answer::{Answer, Echo, PROTOBUF, Refused, breaks_off, next_piece};

/// Somebody with a credential, or without.
#[derive(Clone, Debug)]
pub struct Caller {
    pub address: SocketAddr,
    pub authorization: Option<String>,
    /// Before the path of every request.
    pub prefix: String,
    /// The address it comes from; the system chooses when there is none.
    pub from: Option<IpAddr>,
    /// What is written before TLS.
    pub preface: Vec<u8>,
}

/// A caller's connection.
pub type CallerIo = TlsStream<TcpStream>;

impl Caller {
    /// With what a kubeconfig holds.
    #[must_use]
    pub fn new(address: SocketAddr, authorization: &str) -> Self {
        Self {
            address,
            authorization: Some(authorization.to_owned()),
            prefix: "/k8s-proxy".to_owned(),
            from: None,
            preface: Vec::new(),
        }
    }

    /// Calls another address, such as that of a line to the relay.
    #[must_use]
    pub fn via(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// Shows this `Authorization`.
    #[must_use]
    pub fn showing(&self, authorization: &str) -> Self {
        Self {
            authorization: Some(authorization.to_owned()),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self {
            authorization: None,
            ..self.clone()
        }
    }

    /// Comes from this address, and has `preface` written first, as a balancer would.
    #[must_use]
    pub fn coming_from(&self, address: &str, preface: &[u8]) -> Self {
        Self {
            from: Some(address.parse().expect("an address")),
            preface: preface.to_owned(),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn under(&self, prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ..self.clone()
        }
    }

    /// A GET over an HTTP/2 connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.http2().await.get(path).await
    }

    pub async fn http1(&self) -> Http1 {
        let io = TokioIo::new(self.tls(pki::HTTP1).await);
        let (sender, connection) = http1::Builder::new().handshake(io).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Http1 {
            sender,
            caller: self.clone(),
            _tasks: tasks,
        }
    }

    pub async fn http2(&self) -> Http2 {
        let io = TokioIo::new(self.tls(pki::HTTP2).await);
        let tasks = Tasks::default();
        let (sender, connection) = http2::Builder::new(tasks.executor())
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .max_header_list_size(256 << 10)
            .handshake(io)
            .await
            .unwrap();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        Http2 {
            sender,
            caller: self.clone(),
            _tasks: tasks,
        }
    }

    /// HTTP/2 stream by stream.
    pub async fn h2(&self) -> H2 {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(self.tls(pki::HTTP2).await)
            .await
            .unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { connection.await.err() });
        H2 {
            sender,
            connection: tasks,
        }
    }

    /// The head of a GET for [`Caller::h2`], with the caller's credential.
    ///
    /// # Panics
    ///
    /// When `path` is none.
    #[must_use]
    pub fn h2_get(&self, path: &str) -> Request<()> {
        self.complete(get(path), true).map(drop)
    }

    /// HTTP/1.1 by hand.
    pub async fn raw(&self) -> Raw<CallerIo> {
        Raw::new(self.tls(pki::HTTP1).await)
    }

    /// HTTP/1.1 by hand, after a head; see [`Caller::head`].
    pub async fn raw_asking(&self, request: &str, fields: &str) -> Raw<CallerIo> {
        let mut connection = self.raw().await;
        connection.write(self.head(request, fields)).await.unwrap();
        connection
    }

    /// TLS with this one protocol.
    pub async fn tls(&self, alpn: &'static [u8]) -> CallerIo {
        self.try_tls(alpn)
            .await
            .expect("the relay takes a connection")
    }

    /// TLS with this one protocol, if the relay will.
    ///
    /// # Errors
    ///
    /// It will not.
    pub async fn try_tls(&self, alpn: &'static [u8]) -> std::io::Result<CallerIo> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind((from, 0).into())?;
        }
        let mut socket = socket.connect(self.address).await?;
        socket.set_nodelay(true)?;
        socket.write_all(&self.preface).await?;
        let tls = TlsConnector::from(pki::shared().client(&[alpn]));
        within("a TLS handshake", tls.connect(pki::localhost(), socket)).await
    }

    /// The head of a request by hand, with the caller's credential; `fields` are whole lines.
    #[must_use]
    pub fn head(&self, request: &str, fields: &str) -> String {
        let (method, path) = request.split_once(' ').expect("method and path");
        let credential = self
            .authorization
            .as_ref()
            .map(|value| format!("Authorization: {value}\r\n"))
            .unwrap_or_default();
        format!(
            "{method} {}{path} HTTP/1.1\r\nHost: localhost\r\n{credential}{fields}\r\n",
            self.prefix
        )
    }

    fn complete(&self, request: Request<Body>, is_http2: bool) -> Request<Body> {
        let (mut head, body) = request.into_parts();
        let target = format!("{}{}", self.prefix, head.uri);
        head.uri = if is_http2 {
            Uri::builder()
                .scheme("https")
                .authority("localhost")
                .path_and_query(target)
                .build()
                .unwrap()
        } else {
            target.parse().unwrap()
        };
        if !is_http2 && !head.headers.contains_key(header::HOST) {
            head.headers
                .insert(header::HOST, "localhost".parse().unwrap());
        }
        if let Some(authorization) = &self.authorization
            && !head.headers.contains_key(header::AUTHORIZATION)
        {
            head.headers
                .insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        Request::from_parts(head, body)
    }
}

/// A GET without anything.
///
/// # Panics
///
/// When `path` is none.
#[must_use]
pub fn get(path: &str) -> Request<Body> {
    Request::get(path).body(body::empty()).unwrap()
}

/// A request with a body.
///
/// # Panics
///
/// When `path` is none.
#[must_use]
pub fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .unwrap()
}

/// An HTTP/1.1 connection.
pub struct Http1 {
    sender: http1::SendRequest<Body>,
    caller: Caller,
    _tasks: JoinSet<()>,
}

impl Http1 {
    /// Sends it on its way below the caller's prefix, with the caller's credential unless it has one.
    ///
    /// # Errors
    ///
    /// The connection broke off before an answer.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender
            .send_request(self.caller.complete(request, false))
            .await
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.answer(get(path)).await
    }

    /// The whole answer, which must come.
    pub async fn answer(&mut self, request: Request<Body>) -> Answer {
        let response = within("an answer", self.send(request)).await.unwrap();
        within("the rest of an answer", Answer::of(response))
            .await
            .unwrap()
    }
}

/// An HTTP/2 connection; clones share it.
#[derive(Clone)]
pub struct Http2 {
    sender: http2::SendRequest<Body>,
    caller: Caller,
    _tasks: Tasks,
}

impl Http2 {
    /// See [`Http1::send`].
    ///
    /// # Errors
    ///
    /// The connection or the stream broke off before an answer.
    pub async fn send(&self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender
            .send_request(self.caller.complete(request, true))
            .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(get(path)).await
    }

    /// The whole answer, which must come.
    pub async fn answer(&self, request: Request<Body>) -> Answer {
        let response = within("an answer", self.send(request)).await.unwrap();
        within("the rest of an answer", Answer::of(response))
            .await
            .unwrap()
    }
}

/// An HTTP/2 connection by hand.
pub struct H2 {
    pub sender: h2::client::SendRequest<Bytes>,
    /// Gives the error that ended it, if it was one.
    pub connection: JoinSet<Option<h2::Error>>,
}

impl H2 {
    /// Opens a stream.
    ///
    /// # Panics
    ///
    /// When the connection is over.
    pub fn send(
        &mut self,
        head: Request<()>,
        is_whole: bool,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        self.sender.send_request(head, is_whole).unwrap()
    }
}
