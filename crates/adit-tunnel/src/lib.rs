//! Drives one mux session over one gRPC bidirectional stream.
#![allow(dead_code, unused_variables, missing_docs, clippy::todo, clippy::unused_async, reason = "skeleton")]

use std::{sync::Arc, task::{Context, Poll}, time::Duration};

use bytes::{Buf, Bytes};
use http::HeaderValue;

pub use adit_proto::tunnel::{About, CloseReason, ResetReason};

/// The gRPC method's path.
pub const PATH: &str = "/adit.tunnel.v1.Tunnel/Open";

#[derive(Clone, Debug)]
pub struct Tunnel;

impl Tunnel {
    pub fn open(&self, head: Bytes, body: RequestBody, terms: Terms) -> Result<TunnelStream, OpenError> { todo!() }
    pub async fn accept(&self) -> Option<(TunnelStream, Bytes)> { todo!() }
    pub fn drain(&self, message: &str) { todo!() }
    pub fn close(&self, reason: CloseReason, message: &str) { todo!() }
    pub async fn closed(&self) -> Arc<SessionError> { todo!() }
    pub fn is_closed(&self) -> bool { todo!() }
    pub fn is_draining(&self) -> bool { todo!() }
    pub fn peer(&self) -> Peer { todo!() }
    pub fn stats(&self) -> Stats { todo!() }
    pub fn end_streams(&self, owner: u64, reason: ResetReason, message: &str) -> usize { todo!() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody { Absent, Follows }

#[derive(Clone, Copy, Debug, Default)]
pub struct Terms { pub deadline: Option<tokio::time::Instant>, pub owner: u64 }

#[derive(Debug)]
pub struct TunnelStream;

#[derive(Debug)]
pub enum Read { Data(Bytes), Trailers(Bytes), End }

impl TunnelStream {
    pub fn id(&self) -> u64 { todo!() }
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, StreamError>> { todo!() }
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Result<Read, StreamError>> { todo!() }
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> { todo!() }
    pub fn write(&self, data: Bytes, end: bool) -> Result<(), StreamError> { todo!() }
    pub fn send_head(&self, head: Bytes) -> Result<(), StreamError> { todo!() }
    pub fn send_trailers(&self, trailers: Bytes) -> Result<(), StreamError> { todo!() }
    pub fn is_read_end(&self) -> bool { todo!() }
    pub fn reset(&self, reason: ResetReason, message: &str) { todo!() }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the peer reset the stream: {message}")]
    Reset { reason: ResetReason, message: String },
    #[error("the stream was cut: {message}")]
    Cut { reason: ResetReason, message: String },
    #[error("the session ended")]
    SessionEnded(#[source] Arc<SessionError>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the tunnel is closed")]
    Closed,
    #[error("the tunnel is draining")]
    Draining,
    #[error("the agent runs as many streams as it takes")]
    TooManyStreams,
    #[error("the head is larger than the agent takes")]
    HeadTooLarge,
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError { #[error("closed")] Closed }

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The relay answered something other than a gRPC stream.
    #[error("the relay answered {status} instead of opening the tunnel{}", grpc_message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Refused { status: http::StatusCode, grpc_status: Option<u32>, grpc_message: Option<String> },
    #[error("HTTP/2 failed")]
    Http2(#[from] h2::Error),
    #[error("the session failed")]
    Session(#[from] SessionError),
    #[error("the relay did not answer in {0:?}")]
    TimedOut(Duration),
}

#[derive(Clone, Debug, Default)]
pub struct Peer { pub session: String, pub version: String, pub replica: String, pub kubernetes_version: String }

#[derive(Clone, Debug, Default)]
pub struct Stats { pub streams: usize, pub round_trip: Option<Duration>, pub buffered_bytes: usize, pub queued_bytes: usize, pub bytes_in: u64, pub bytes_out: u64, pub credit_stalls: u64 }

/// What the h2 server connection sends: plain bytes or a tunnel's batch.
#[derive(Debug)]
pub struct SendBuf(Bytes);
impl From<Bytes> for SendBuf { fn from(b: Bytes) -> Self { Self(b) } }
impl Buf for SendBuf {
    fn remaining(&self) -> usize { self.0.remaining() }
    fn chunk(&self) -> &[u8] { self.0.chunk() }
    fn advance(&mut self, n: usize) { self.0.advance(n) }
}

/// Process-wide bound on buffered bytes.
#[derive(Debug)]
pub struct Budget;
impl Budget { pub fn new(bytes: usize) -> Arc<Self> { Arc::new(Self) } }

#[derive(Clone, Debug)]
pub struct Options { pub about: About, pub ping_interval: Duration, pub dead_after: Duration, pub budget: Arc<Budget>, pub max_streams: u64, pub stream_credit: u64, pub max_stream_credit: u64, pub max_buffered_bytes: usize, pub max_head_bytes: u64, pub handshake_timeout: Duration }
impl Default for Options { fn default() -> Self { todo!() } }

/// Ends with the session's reason. Poll it, or nothing moves.
pub type Driver = std::pin::Pin<Box<dyn Future<Output = Arc<SessionError>> + Send>>;
pub type Opening = std::pin::Pin<Box<dyn Future<Output = Result<Tunnel, Arc<SessionError>>> + Send>>;

pub fn serve(request: http::Request<h2::RecvStream>, respond: h2::server::SendResponse<SendBuf>, options: Options) -> (Opening, Driver) { todo!() }

pub async fn connect<IO>(io: IO, authority: &str, token: &HeaderValue, options: Options) -> Result<(Tunnel, Driver), ConnectError>
where IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static { todo!() }
