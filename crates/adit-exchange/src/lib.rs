//! One HTTP request and its answer over one tunnel stream, both ends side by side; upgrades.
#![allow(dead_code, unused_imports, unused_variables, missing_debug_implementations, missing_docs, clippy::todo, clippy::unused_async, reason = "skeleton: bodies follow")]

use std::{fmt::Display, pin::Pin, sync::Arc, task::{Context, Poll}};

use adit_identity::ActAs;
use adit_tunnel::{OpenError, ResetReason, StreamError, Terms, Tunnel, TunnelStream};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, uri::PathAndQuery};
use http_body::{Body, Frame};

/// What a head may hold.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits { pub max_fields: usize, pub max_bytes: usize }
impl Default for HeadLimits { fn default() -> Self { Self { max_fields: 256, max_bytes: 64 << 10 } } }

/// Relay side. `upgrade`: what [`upgrade_asked`] returned, if the front can carry an upgraded connection.
pub struct Ask<'a> {
    /// Path and query after the relay's prefix. (Take the Uri out of the request first: `std::mem::take(request.uri_mut())`.)
    pub target: &'a str,
    pub act_as: &'a ActAs,
    pub request_id: &'a str,
    pub upgrade: Option<&'a HeaderValue>,
    pub limits: HeadLimits,
}

/// The protocol(s) of `Upgrade`, when `Connection` names it and the request is HTTP/1.1.
pub fn upgrade_asked<B>(request: &Request<B>) -> Option<HeaderValue> { todo!() }

/// Ask once.
pub async fn ask<B>(tunnel: &Tunnel, request: Request<B>, ask: Ask<'_>, terms: Terms) -> Result<Response<AnswerBody>, AskError>
where B: Body<Data = Bytes> + Send + Unpin + 'static, B::Error: Display { todo!() }

/// A request that is ready to be put to a tunnel, and to another one if the first did not take it.
pub struct Question<B> { body: B }
impl<B> Question<B> where B: Body<Data = Bytes> + Send + Unpin + 'static, B::Error: Display {
    pub fn new(request: Request<B>, ask: Ask<'_>) -> Result<Self, AskError> { todo!() }
    /// Calls back for informational heads but 100.
    pub fn on_informational(&mut self, callback: impl FnMut(StatusCode, HeaderMap) + Send + 'static) { todo!() }
    pub async fn put(&mut self, tunnel: &Tunnel, terms: Terms) -> Result<Response<AnswerBody>, AskError> { todo!() }
    /// Nothing of the body was taken yet: it may be put to another tunnel.
    pub fn is_whole(&self) -> bool { todo!() }
}

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("bad request")] BadRequest(#[source] BadRequest),
    #[error("the head is too large")] HeadTooLarge,
    #[error("the tunnel took no stream")] Open(#[source] OpenError),
    #[error("the request body broke off: {0}")] BodyLost(String),
    #[error("no answer came")] NoAnswer(#[source] StreamError),
    #[error("the agent sent a bad answer")] BadAnswer(#[source] BadHead),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("Impersonate-* fields are not allowed here")] Impersonation,
    #[error("Connection lists a field it must not")] Connection,
    #[error("method")] Method,
    #[error("target")] Target,
    #[error("a request that asks for an upgrade has a body")] UpgradeWithBody,
    #[error("a token in Sec-WebSocket-Protocol")] TokenInSubprotocol,
}
#[derive(Debug, thiserror::Error)]
pub enum BadHead { #[error("malformed")] Malformed }

/// The answer's body. Dropping it before its end cancels the exchange.
#[derive(Debug)]
pub struct AnswerBody { stream: Arc<TunnelStream> }
impl AnswerBody {
    /// `None` unless the status was 101. A 101's response carries `Connection: upgrade` and `Upgrade` already.
    pub fn into_upgraded(self) -> Option<Upgraded> { todo!() }
}
impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StreamError;
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> { todo!() }
}

/// Agent side: what was asked.
#[derive(Debug)]
pub struct Asked {
    pub method: Method,
    pub target: PathAndQuery,
    /// No hop-by-hop fields, no Host, no Expect, no credentials.
    pub headers: HeaderMap,
    pub act_as: ActAs,
    pub upgrade: Option<HeaderValue>,
    pub expect_continue: bool,
    pub request_id: String,
}
impl Asked {
    pub fn read(head: Bytes, limits: HeadLimits) -> Result<Self, BadHead> { todo!() }
    /// The request's body; sends 100 Continue by itself when first polled, if the caller waits for it. Empty for an upgrade.
    pub fn body(&self, stream: &Arc<TunnelStream>) -> RequestBody { todo!() }
}

#[derive(Debug)]
pub struct RequestBody { stream: Arc<TunnelStream> }
impl Body for RequestBody {
    type Data = Bytes;
    type Error = StreamError;
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> { todo!() }
}

/// Sends the whole answer (not 101); a body that fails resets the stream.
pub async fn answer<B>(stream: &TunnelStream, response: Response<B>) -> Result<(), StreamError>
where B: Body<Data = Bytes>, B::Error: Display { todo!() }
/// An informational head (100, 102, 103 ...).
pub fn informational(stream: &TunnelStream, status: StatusCode, headers: &HeaderMap) -> Result<(), StreamError> { todo!() }
/// Sends the API server's 101 (its headers name the protocol in `Upgrade`); from here the stream is the upgraded connection.
pub fn switch(stream: &Arc<TunnelStream>, headers: &HeaderMap) -> Result<Upgraded, StreamError> { todo!() }

/// Two byte streams with half-close.
#[derive(Debug)]
pub struct Upgraded { stream: Arc<TunnelStream> }
impl Upgraded { pub fn new(stream: Arc<TunnelStream>) -> Self { todo!() } }
impl tokio::io::AsyncRead for Upgraded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut tokio::io::ReadBuf<'_>) -> Poll<std::io::Result<()>> { todo!() }
}
impl tokio::io::AsyncWrite for Upgraded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> { todo!() }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> { todo!() }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> { todo!() }
}
