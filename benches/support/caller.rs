//! A client of our own, for loads that wrk, h2load and curl do not make: it can stop reading, watch, and be many jobs at once.

use std::{net::Ipv4Addr, time::Duration};

use adit_agent::dial::{Dialler, Tls};
use adit_process::tls::{ClientTls, H2, HTTP_1_1, TrustRoots};
use anyhow::{Context as _, Result, ensure};
use http::{HeaderValue, Method, Request, Response, header};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    body::{self, Body},
    latency::Latencies,
    rig::Rig,
};

/// A job with its credential.
#[derive(Clone, Debug)]
pub struct Caller {
    port: u16,
    prefix: String,
    authorization: HeaderValue,
    http1: Dialler,
    http2: Dialler,
}

/// Requests one after the other.
#[derive(Debug)]
pub struct Http1 {
    sender: http1::SendRequest<Body>,
    caller: Caller,
    _connection: JoinSet<()>,
}

/// Requests beside each other.
#[derive(Debug)]
pub struct Http2 {
    sender: http2::SendRequest<Body>,
    caller: Caller,
    _connection: JoinSet<()>,
}

impl Caller {
    pub(crate) fn new(rig: &Rig, port: u16, prefix: &str, job: u64) -> Result<Self> {
        let authorization = rig.jobs.authorization(job)?;
        let (_, value) = authorization.split_once(' ').context("no value")?;
        Ok(Self {
            port,
            prefix: prefix.to_owned(),
            authorization: value.parse()?,
            http1: dialler(rig, port, HTTP_1_1)?,
            http2: dialler(rig, port, H2)?,
        })
    }

    pub async fn http1(&self) -> Result<Http1> {
        let wire = self.http1.dial().await?.wire;
        let (sender, connection) = http1::handshake(TokioIo::new(wire)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        Ok(Http1 {
            sender,
            caller: self.clone(),
            _connection: tasks,
        })
    }

    pub async fn http2(&self) -> Result<Http2> {
        let wire = self.http2.dial().await?.wire;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(wire))
            .await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        Ok(Http2 {
            sender,
            caller: self.clone(),
            _connection: tasks,
        })
    }

    /// HTTP/1.1 names the host in a field, HTTP/2 in the URL.
    fn request(&self, method: Method, path: &str, body: Body) -> Result<Request<Body>> {
        let (port, prefix) = (self.port, &self.prefix);
        let request = Request::builder()
            .method(method)
            .uri(format!("https://127.0.0.1:{port}{prefix}/{path}"))
            .header(header::AUTHORIZATION, &self.authorization);
        Ok(request.body(body)?)
    }
}

impl Http1 {
    /// Comes back with the head: the body is for the caller to read, or not.
    pub async fn get(&mut self, path: &str) -> Result<Response<Incoming>> {
        self.send(Method::GET, path, body::empty()).await
    }

    pub async fn put(&mut self, path: &str, body: Body) -> Result<Response<Incoming>> {
        self.send(Method::PUT, path, body).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Body) -> Result<Response<Incoming>> {
        let mut request = self.caller.request(method, path, body)?;
        let host = format!("127.0.0.1:{}", self.caller.port).parse()?;
        request.headers_mut().insert(header::HOST, host);
        let target = request.uri().path_and_query().context("no path")?.as_str();
        *request.uri_mut() = target.parse()?;
        self.sender.ready().await?;
        good(self.sender.send_request(request).await?)
    }

    /// One small request; gives how long it took to the end of its answer.
    pub async fn small(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        body::length(self.get("small").await?.into_body()).await?;
        Ok(begun.elapsed())
    }

    /// Small requests one after the other, for so long. One that takes three seconds is an error.
    pub async fn probe(&mut self, lasting: Duration) -> Result<Latencies> {
        let begun = Instant::now();
        let mut latencies = Latencies::default();
        while begun.elapsed() < lasting {
            latencies.add(timeout(PATIENCE, self.small()).await??);
        }
        Ok(latencies)
    }
}

impl Http2 {
    /// Comes back with the head.
    pub async fn get(&self, path: &str) -> Result<Response<Incoming>> {
        let request = self.caller.request(Method::GET, path, body::empty())?;
        let mut sender = self.sender.clone();
        sender.ready().await?;
        good(sender.send_request(request).await?)
    }

    /// One small request; gives how long it took to the end of its answer.
    pub async fn small(&self) -> Result<Duration> {
        let begun = Instant::now();
        body::length(self.get("small").await?.into_body()).await?;
        Ok(begun.elapsed())
    }
}

fn good(response: Response<Incoming>) -> Result<Response<Incoming>> {
    let status = response.status();
    ensure!(status.is_success(), "a request was answered with {status}");
    Ok(response)
}

/// To a port of this machine that the rig's authority vouches for.
pub(crate) fn dialler(rig: &Rig, port: u16, alpn: &[u8]) -> Result<Dialler> {
    let roots = TrustRoots::Only(rig.file("ca.crt"));
    let host = Ipv4Addr::LOCALHOST.to_string();
    let tls = Tls::new(&ClientTls::new(&roots, &[alpn])?, &host);
    Ok(Dialler {
        host,
        port,
        tls: Some(tls.context("an address has a name")?),
        proxy: None,
        timeout: Duration::from_secs(10),
    })
}

/// How long a small request may take before it counts as not answered.
pub const PATIENCE: Duration = Duration::from_secs(3);
