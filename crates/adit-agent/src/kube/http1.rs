//! Decides how HTTP/1.1 is spoken to the API server: for one that has no HTTP/2, and for every upgrade. Called by
//! [`crate::kube::Kube`].
//! Invariant: a connection serves one request at a time, and the next one only after an answer that was read to its end.
//! One whose upgrade was refused is closed (CVE-2018-1002105: bytes after a refusal rode on the proxy's credentials).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio_util::sync::ReusableBoxFuture;

use super::{CallError, RequestBody};
use crate::dial::Wire;

/// A connection that waits for a request.
pub(crate) type Sender = SendRequest<RequestBody>;
/// Moves a connection's bytes; for the pool to run.
pub(crate) type Driver = http1::Connection<TokioIo<Wire>, RequestBody>;

/// Connections that wait for a request, the one used last on top: the others age and are closed by the API server.
pub(crate) type Idle = Arc<Mutex<Vec<Sender>>>;

/// The answer's body, which gives its connection back when it was read to its end.
#[derive(Debug)]
pub(crate) struct Receiving {
    body: Incoming,
    sender: Option<Sender>,
    idle: Idle,
    /// Ready once the API server has fallen silent.
    silence: ReusableBoxFuture<'static, ()>,
}

/// What became of a request to upgrade.
pub(crate) enum Upgrading {
    /// The API server said 101.
    Switched(HeaderMap, TokioIo<Upgraded>),
    /// Any other answer; its connection goes with it.
    Answered(Response<Incoming>),
}

pub(crate) async fn open(wire: Wire) -> Result<(Sender, Driver), CallError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES);
    Ok(builder.handshake(TokioIo::new(wire)).await?)
}

/// Sends the request, and waits for the answer's head. The body goes out by the connection's driver, which also tells of
/// informational heads.
pub(crate) async fn call(
    mut sender: Sender,
    request: Request<()>,
    body: Option<RequestBody>,
    idle: Idle,
    silence: impl Future<Output = ()> + Send + 'static,
    on_informational: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
) -> Result<Response<Receiving>, CallError> {
    let mut request = request.map(|()| body.unwrap_or_else(no_body));
    hyper::ext::on_informational(&mut request, move |head| {
        // Nobody asked for a 100: reading the body tells the caller to go on.
        if head.status() != StatusCode::CONTINUE {
            on_informational(head.status(), head.headers());
        }
    });
    let mut silence = ReusableBoxFuture::new(silence);
    let response = tokio::select! {
        biased;
        response = sender.send_request(request) => response?,
        () = &mut silence => return Err(CallError::Silent),
    };
    Ok(response.map(|body| {
        let mut receiving = Receiving {
            body,
            sender: Some(sender),
            idle,
            silence,
        };
        receiving.give_back_at_end();
        receiving
    }))
}

/// Asks for an upgrade on a connection of its own.
pub(crate) async fn upgrade(
    mut sender: Sender,
    request: Request<()>,
) -> Result<Upgrading, CallError> {
    let response = sender.send_request(request.map(|()| no_body())).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Upgrading::Answered(response));
    }
    let headers = response.headers().clone();
    let upgraded = hyper::upgrade::on(response).await?;
    Ok(Upgrading::Switched(headers, TokioIo::new(upgraded)))
}

fn no_body() -> RequestBody {
    Empty::<Bytes>::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

impl Receiving {
    fn give_back_at_end(&mut self) {
        if !self.body.is_end_stream() {
            return;
        }
        if let Some(sender) = self.sender.take().filter(|sender| !sender.is_closed()) {
            self.idle.lock().push(sender);
        }
    }
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx)? else {
            ready!(self.silence.poll(cx));
            return Poll::Ready(Some(Err(CallError::Silent)));
        };
        self.give_back_at_end();
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Per connection and direction. An answer's head must fit into it, as it must into a tunnel's.
const BUFFER_BYTES: usize = 64 << 10;
