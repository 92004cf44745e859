//! One client's exchange on an HTTP/2 stream: asks `handle.rs` for the answer and sends it as the client's windows allow.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use adit_tunnel::{SendBuf, StreamError};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{Request, Response};
use http_body::{Body as _, Frame};

use super::{Ended, body::RequestBody};
use crate::{
    call::{Call, Connection, Early},
    front_door::FrontDoor,
    handle::{Body, Handler},
};

/// Answers `request`, unless the client takes it back first.
pub(super) async fn exchange(
    door: Arc<FrontDoor>,
    connection: Arc<Connection>,
    request: Request<RecvStream>,
    mut respond: SendResponse<SendBuf>,
) -> Ended {
    // Boxed, because it is large and short: what lives as long as a watch is small.
    let answer = Box::pin(answer(&door.handler, &connection, request, &mut respond)).await;
    let Some(answer) = answer else {
        return Ended::TakenBack;
    };
    // A client that is gone is found out by the connection; there is nobody to tell here.
    let _ = send(respond, answer).await;
    Ended::Answered
}

/// The answer, or nothing when the client takes the request back.
async fn answer(
    handler: &Handler,
    connection: &Connection,
    request: Request<RecvStream>,
    respond: &mut SendResponse<SendBuf>,
) -> Option<Response<Body>> {
    let early = Early::default();
    let (head, stream) = request.into_parts();
    let body = RequestBody::new(stream, &head.headers);
    let call = Call::new(connection, &head.headers, Some(&early));
    let mut answering = pin!(handler.answer(Request::from_parts(head, body), &call));
    poll_fn(|cx| {
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        let answer = answering.as_mut().poll(cx);
        send_early(respond, &early);
        answer.map(Some)
    })
    .await
}

fn send_early(respond: &mut SendResponse<SendBuf>, early: &Early) {
    for (status, headers) in early.take() {
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers;
        // A hint that cannot be sent is no loss.
        let _ = respond.send_informational(head);
    }
}

/// Why an answer was not sent whole.
#[derive(Debug)]
enum Unsent {
    /// The client took the stream back, or the connection is gone.
    Gone,
    /// The answer broke off, or its time is over.
    Cut,
}

impl From<h2::Error> for Unsent {
    fn from(_: h2::Error) -> Self {
        Self::Gone
    }
}

async fn send(mut respond: SendResponse<SendBuf>, answer: Response<Body>) -> Result<(), Unsent> {
    let (head, mut body) = answer.into_parts();
    let is_empty = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), is_empty)?;
    if is_empty {
        return Ok(());
    }
    let sent = send_body(&mut stream, &mut body).await;
    if matches!(sent, Err(Unsent::Cut)) {
        // The client must see that. What h2 holds of it goes, too.
        stream.send_reset(Reason::INTERNAL_ERROR);
    }
    sent
}

async fn send_body(stream: &mut SendStream<SendBuf>, body: &mut Body) -> Result<(), Unsent> {
    while let Some(frame) = poll_fn(|cx| poll_next(cx, stream, body)).await? {
        match frame.map_err(|_| Unsent::Cut)?.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                send_data(stream, body, data, is_last).await?;
                if is_last {
                    return Ok(());
                }
            }
            Err(other) => {
                let trailers = other.into_trailers().unwrap_or_default();
                return Ok(stream.send_trailers(trailers)?);
            }
        }
    }
    Ok(stream.send_data(Bytes::new().into(), true)?)
}

/// What a body gives.
type Next = Option<Result<Frame<Bytes>, StreamError>>;

/// The next piece of the answer, unless the client takes the stream back.
fn poll_next(
    cx: &mut Context<'_>,
    stream: &mut SendStream<SendBuf>,
    body: &mut Body,
) -> Poll<Result<Next, Unsent>> {
    if stream.poll_reset(cx).is_ready() {
        return Poll::Ready(Err(Unsent::Gone));
    }
    Pin::new(body).poll_frame(cx).map(Ok)
}

/// Sends `data` in pieces as the client's windows allow; an empty piece only to end the answer.
async fn send_data(
    stream: &mut SendStream<SendBuf>,
    body: &mut Body,
    mut data: Bytes,
    is_last: bool,
) -> Result<(), Unsent> {
    if data.is_empty() && is_last {
        return Ok(stream.send_data(data.into(), true)?);
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = match stream.capacity() {
            0 => poll_fn(|cx| poll_capacity(cx, stream, body)).await?,
            capacity => capacity,
        };
        let piece = data.split_to(capacity.min(data.len()));
        stream.send_data(piece.into(), is_last && data.is_empty())?;
    }
    Ok(())
}

/// How much the client takes, unless the answer's time is over first: a client that takes nothing must not outlive its permit.
fn poll_capacity(
    cx: &mut Context<'_>,
    stream: &mut SendStream<SendBuf>,
    body: &mut Body,
) -> Poll<Result<usize, Unsent>> {
    if let Poll::Ready(capacity) = stream.poll_capacity(cx) {
        return Poll::Ready(Ok(capacity.ok_or(Unsent::Gone)??));
    }
    body.poll_cut(cx).map(|()| Err(Unsent::Cut))
}
