//! The agent's end of a tunnel: makes the call, says Hello, waits for Welcome.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use adit_mux::{Config, Session, SessionError};
use h2::client::{self, ResponseFuture};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use crate::{
    Driver, MAX_FRAME_BYTES, PATH, SEND_BUFFER_BYTES, WINDOW,
    beside::Calls,
    driver::{Lane, Role},
    handle::{Shared, Tunnel},
    options::Options,
    send_buf::SendBuf,
};

/// Why no tunnel came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The relay answered, but not with a tunnel.
    #[error("the relay refused the tunnel: {}", described(*status, *grpc_status, grpc_message.as_deref()))]
    Refused {
        /// HTTP's status; 200 for a refusal that gRPC expresses.
        status: StatusCode,
        /// gRPC's status, such as 16 for a token that is not accepted.
        /// <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>
        grpc_status: Option<u32>,
        /// The relay's words.
        grpc_message: Option<String>,
    },
    /// HTTP/2 failed.
    #[error("HTTP/2 failed")]
    Http2(#[from] h2::Error),
    /// The call's parts do not make a request, such as an authority that is none.
    #[error("the call cannot be made")]
    BadCall(#[from] http::Error),
    /// The session ended before it began.
    #[error("the session failed")]
    Session(#[source] Arc<SessionError>),
    /// The relay did not answer in time.
    #[error("the relay did not answer in {0:?}")]
    TimedOut(Duration),
}

/// HTTP's status is told only where it says something: gRPC refuses under 200.
fn described(status: StatusCode, grpc_status: Option<u32>, message: Option<&str>) -> String {
    let grpc_status = grpc_status.map(|status| format!("gRPC status {status}"));
    let status = match grpc_status {
        Some(grpc_status) if status == StatusCode::OK => grpc_status,
        Some(grpc_status) => format!("HTTP {status}, {grpc_status}"),
        None => format!("HTTP {status}"),
    };
    match message {
        Some(message) => format!("{message} ({status})"),
        None => status,
    }
}

/// Opens a tunnel over a transport whose other end speaks HTTP/2. `token` is the whole `authorization` value. Other calls may go beside
/// it.
///
/// # Errors
/// See [`ConnectError`]; the transport is closed then.
pub async fn connect<IO>(
    io: IO,
    authority: &str,
    token: &HeaderValue,
    options: Options,
) -> Result<(Tunnel, Calls, Driver), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let timeout = options.handshake_timeout;
    let opening = open(io, authority, token, options);
    tokio::time::timeout(timeout, opening)
        .await
        .map_err(|_| ConnectError::TimedOut(timeout))?
}

async fn open<IO>(
    io: IO,
    authority: &str,
    token: &HeaderValue,
    options: Options,
) -> Result<(Tunnel, Calls, Driver), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut requests, connection) = http2().handshake::<_, SendBuf>(io).await?;
    let mut connection = Box::pin(connection);
    let (response, send) = requests.send_request(call(authority, PATH, token)?, false)?;
    let response = answered(&mut connection, response).await?;
    check(&response)?;
    // Agents' clocks go together well enough; one that is wrong asks by itself.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let config = Config {
        common_clock: now.ok(),
        ..options.config()
    };
    let session = Session::acceptor(config, Arc::clone(&options.budget), Default::default());
    let shared = Shared::new(session, Instant::now());
    let tunnel = Tunnel {
        shared: Arc::clone(&shared),
    };
    let lane = Lane::new(shared, response.into_body(), send, Role::Client);
    let calls = Calls::new(requests.clone(), authority, token);
    // Kept until the end: the connection goes away with its last handle.
    let mut wire = Wire {
        connection,
        lane: Some(lane),
        ended: None,
        _requests: requests,
    };
    poll_fn(|cx| wire.poll_opened(&tunnel, cx))
        .await
        .map_err(ConnectError::Session)?;
    let driver = async move { poll_fn(|cx| wire.poll(cx)).await };
    Ok((tunnel, calls, Box::pin(driver)))
}

fn http2() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .enable_push(false);
    builder
}

/// The head of a call.
pub(crate) fn call(
    authority: &str,
    path: &str,
    token: &HeaderValue,
) -> Result<Request<()>, http::Error> {
    Request::post(format!("https://{authority}{path}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::AUTHORIZATION, token)
        .header(
            header::USER_AGENT,
            concat!("adit/", env!("CARGO_PKG_VERSION")),
        )
        .body(())
}

type Connection<IO> = Pin<Box<client::Connection<IO, SendBuf>>>;

async fn answered<IO>(
    connection: &mut Connection<IO>,
    mut response: ResponseFuture,
) -> Result<Response<h2::RecvStream>, h2::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = connection.as_mut().poll(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut response).poll(cx)
    })
    .await
}

/// Whether a call was taken.
pub(crate) fn check(response: &Response<h2::RecvStream>) -> Result<(), ConnectError> {
    let status = response.status();
    let (grpc_status, grpc_message) = grpc_status(response.headers());
    if status == StatusCode::OK && grpc_status.is_none_or(|status| status == 0) {
        return Ok(());
    }
    Err(ConnectError::Refused {
        status,
        grpc_status,
        grpc_message,
    })
}

/// gRPC's status and the peer's words, of headers or trailers.
pub(crate) fn grpc_status(fields: &HeaderMap) -> (Option<u32>, Option<String>) {
    let status = text(fields, "grpc-status").and_then(|status| status.parse().ok());
    // gRPC sends the message percent-encoded.
    let decode = |message| {
        percent_encoding::percent_decode_str(message)
            .decode_utf8_lossy()
            .into_owned()
    };
    (status, text(fields, "grpc-message").map(decode))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The agent's connection and the one call on it, polled together.
struct Wire<IO> {
    connection: Connection<IO>,
    lane: Option<Lane>,
    ended: Option<Arc<SessionError>>,
    _requests: client::SendRequest<SendBuf>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Wire<IO> {
    fn poll_opened(
        &mut self,
        tunnel: &Tunnel,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Arc<SessionError>>> {
        if let Poll::Ready(error) = self.poll(cx) {
            return Poll::Ready(Err(error));
        }
        tunnel.shared.with(|session| {
            if session.is_open() {
                return Poll::Ready(Ok(()));
            }
            session.watch(cx);
            Poll::Pending
        })
    }

    /// Reads, lets the session act, and writes what that made due.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arc<SessionError>> {
        let mut connection = self.connection.as_mut().poll(cx);
        if let Some(lane) = &mut self.lane
            && let Poll::Ready(error) = lane.poll_turn(cx)
        {
            self.ended = Some(error);
            self.lane = None;
        }
        if connection.is_pending() {
            connection = self.connection.as_mut().poll(cx);
        }
        match (self.ended.take(), connection) {
            (Some(error), _) => Poll::Ready(error),
            (None, Poll::Pending) => Poll::Pending,
            (None, Poll::Ready(outcome)) => {
                let message = outcome
                    .err()
                    .map_or_else(|| "closed".to_owned(), |error| error.to_string());
                Poll::Ready(Arc::new(SessionError::Transport(message)))
            }
        }
    }
}
