//! Decides how HTTP/1.1 is spoken to the API server: for one that has no HTTP/2, and for every upgrade. Called by
//! [`crate::kube::Kube`].
//! Invariant: a connection serves one request at a time, and the next one only after an answer that was read to its end.
//! One whose upgrade was refused is closed (CVE-2018-1002105: bytes after a refusal rode on the proxy's credentials).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, BodyStream, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use super::pulse::Listening;
use super::{CallError, RequestBody};
use crate::dial::Wire;

/// A connection that waits for a request.
pub(crate) type Sender = SendRequest<RequestBody>;
/// Moves a connection's bytes; for the pool to run.
pub(crate) type Driver = http1::Connection<TokioIo<Wire>, RequestBody>;

/// Connections that wait for a request, the one used last on top: the others age and are closed by the API server.
pub(crate) type Idle = Arc<Mutex<Vec<Sender>>>;

/// The answer's body, which gives its connection back when it was read to its end, if others may have it.
#[derive(Debug)]
pub(crate) struct Receiving {
    body: Incoming,
    back: Option<(Sender, Idle)>,
    listening: Listening,
}

/// What became of a request to upgrade.
pub(crate) enum Upgrading {
    /// The API server said 101.
    Switched(HeaderMap, TokioIo<Upgraded>, Listening),
    /// Any other answer; its connection goes with it.
    Answered(Response<Receiving>),
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
    mut listening: Listening,
    on_informational: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
) -> Result<Response<Receiving>, CallError> {
    let mut request = whole(request, body);
    hyper::ext::on_informational(&mut request, move |head| {
        // Nobody asked for a 100: reading the body tells the caller to go on.
        if head.status() != StatusCode::CONTINUE {
            on_informational(head.status(), head.headers());
        }
    });
    let response = send(&mut sender, request, &mut listening).await?;
    Ok(response.map(|body| {
        let mut receiving = Receiving {
            body,
            back: Some((sender, idle)),
            listening,
        };
        receiving.give_back_at_end();
        receiving
    }))
}

/// Asks for an upgrade on a connection of its own.
pub(crate) async fn upgrade(
    mut sender: Sender,
    request: Request<()>,
    mut listening: Listening,
) -> Result<Upgrading, CallError> {
    let request = request.map(|()| no_body());
    let response = send(&mut sender, request, &mut listening).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Upgrading::Answered(response.map(|body| Receiving {
            body,
            back: None,
            listening,
        })));
    }
    let headers = response.headers().clone();
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await?);
    Ok(Upgrading::Switched(headers, upgraded, listening))
}

/// Waits for the answer's head for as long as the API server is there.
async fn send(
    sender: &mut Sender,
    request: Request<RequestBody>,
    listening: &mut Listening,
) -> Result<Response<Incoming>, CallError> {
    let response = tokio::select! {
        biased;
        response = sender.send_request(request) => response?,
        () = &mut *listening => return Err(CallError::Silent),
    };
    listening.heard().now();
    Ok(response)
}

/// The request with its body, and no length that the body may not have: hyper sends what a head says, and takes a connection for free
/// again after a body that was empty from the start. Somebody who reads as many bytes as were said would find the next request in them.
fn whole(mut request: Request<()>, body: Option<RequestBody>) -> Request<RequestBody> {
    let body = match body {
        // Not empty before it was read: then what is missing is an error, and the connection ends.
        Some(body) if request.headers().contains_key(CONTENT_LENGTH) => {
            StreamBody::new(BodyStream::new(body)).boxed_unsync()
        }
        Some(body) => body,
        None => {
            let headers = request.headers_mut();
            if headers.get(CONTENT_LENGTH).is_some_and(|said| said != "0") {
                headers.remove(CONTENT_LENGTH);
            }
            no_body()
        }
    };
    request.map(|()| body)
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
        if let Some((sender, idle)) = self.back.take().filter(|(sender, _)| !sender.is_closed()) {
            idle.lock().push(sender);
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
            ready!(Pin::new(&mut self.listening).poll(cx));
            return Poll::Ready(Some(Err(CallError::Silent)));
        };
        self.listening.heard().now();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(length: &str) -> Request<()> {
        let request = Request::put("/").header(CONTENT_LENGTH, length);
        request.body(()).unwrap()
    }

    #[test]
    fn no_length_is_said_of_a_body_that_is_not_there() {
        let length =
            |request: &Request<RequestBody>| request.headers().get(CONTENT_LENGTH).cloned();
        assert_eq!(length(&whole(saying("5"), None)), None);
        assert_eq!(length(&whole(saying("0"), None)).unwrap(), "0");
        let there = whole(saying("5"), Some(no_body()));
        assert_eq!(length(&there).unwrap(), "5");
        assert!(
            !there.body().is_end_stream(),
            "hyper would take it for sent"
        );
    }
}
