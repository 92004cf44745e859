//! The agent's side: reads what was asked and sends what the API server answers. The agent calls it once per accepted stream.
//! Invariant: an answer that the API server did not finish is reset, never ended.

use std::{
    borrow::Borrow, fmt::Display, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration,
};

use adit_identity::ActAs;
use adit_tunnel::{ResetReason, StreamError, TunnelStream};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, uri::PathAndQuery};
use http_body::Body;

use crate::{
    body::{RequestBody, Requesting},
    head::{BadHead, HeadLimits, HeadTooLarge, request, response},
    identity::{BadIdentity, read as read_identity},
    pour::{Broken, poll_pour},
    upgraded::Upgraded,
};

/// What was asked. `I` is the identity as its reader wants it; see [`Asked::read_by`].
#[derive(Clone, Debug)]
pub struct Asked<I = ActAs> {
    /// Never CONNECT.
    pub method: Method,
    /// Path and query as the caller sent them, byte for byte.
    pub target: PathAndQuery,
    /// End-to-end fields: no Host, no credentials, and `Impersonate-*` only where `act_as` is [`ActAs::Agent`]. Their values
    /// are slices of the head: keeping one keeps all.
    pub headers: HeaderMap,
    /// As whom to ask the API server.
    pub act_as: I,
    /// The protocols that the caller would switch to. The request has no body then.
    pub upgrade: Option<HeaderValue>,
    /// The caller sends its body only when told to go on, which [`Asked::body`] sees to.
    pub expect_continue: bool,
    /// The relay's id of the request.
    pub request_id: String,
}

impl Asked {
    /// Reads a stream's `open`.
    ///
    /// # Errors
    /// It is not what a relay may send: reset the stream, with [`ResetReason::Protocol`].
    pub fn read(head: &Bytes, limits: HeadLimits) -> Result<Self, BadHead> {
        Self::read_by(head, limits, read_identity)
    }
}

impl<I: Borrow<ActAs>> Asked<I> {
    /// Reads a stream's `open`, and has its identity read by `identify`: [`read_identity`], or something that remembers what that
    /// said of the same bytes. Many requests come with one identity, and it is most of what reading a head costs.
    ///
    /// # Errors
    /// As [`Asked::read`].
    pub fn read_by(
        head: &Bytes,
        limits: HeadLimits,
        identify: impl FnOnce(&[u8]) -> Result<I, BadIdentity>,
    ) -> Result<Self, BadHead> {
        request::read(head, limits, identify)
    }

    /// The request's body. If the caller waits for 100 Continue, it is told so when this is first polled.
    #[must_use]
    pub fn body(&self, stream: &Arc<TunnelStream>) -> RequestBody {
        let state = match (&self.upgrade, self.expect_continue) {
            // What comes on the stream after a 101 is not the request's.
            (Some(_), _) => Requesting::Done,
            (None, true) => Requesting::AwaitsContinue,
            (None, false) => Requesting::Reading,
        };
        RequestBody::new(Arc::clone(stream), state)
    }
}

/// Sends the final answer, body and all, and tells the relay how long the API server took for its head, if that is known. Dropping the
/// future before its end cancels the exchange.
///
/// # Errors
/// The answer was not sent to its end; the stream has been reset already.
pub async fn answer<B>(
    stream: &TunnelStream,
    response: Response<B>,
    api_server: Option<Duration>,
) -> Result<(), AnswerError>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let mut under_way = UnderWay {
        stream,
        is_finished: false,
    };
    let outcome = send(stream, response, api_server).await;
    match &outcome {
        Ok(()) => under_way.is_finished = true,
        Err(AnswerError::ApiServerLost(why)) => stream.reset(ResetReason::ApiServerLost, why),
        Err(
            error @ (AnswerError::HeadTooLarge(_)
            | AnswerError::Status(_)
            | AnswerError::NoProtocol),
        ) => {
            stream.reset(ResetReason::Protocol, &error.to_string());
        }
        Err(AnswerError::Stream(_)) => {}
    }
    outcome
}

/// Sends an informational head: any 1xx but 101.
///
/// # Errors
/// The status is another one, the head too large, or the stream over. Nothing was sent, and the answer may still come.
pub fn informational(
    stream: &TunnelStream,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), AnswerError> {
    if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(AnswerError::Status(status));
    }
    let head = response::encode(status, headers, b"", None, HeadLimits::default())?;
    Ok(stream.send_head(head)?)
}

/// Sends the API server's 101, whose `Upgrade` names the protocol, and how long the API server took for it, as [`answer`] does. From
/// here the stream is the upgraded connection.
///
/// # Errors
/// There is no `Upgrade`, the head is too large, or the stream over. Nothing was sent.
pub fn switch(
    stream: &Arc<TunnelStream>,
    headers: &HeaderMap,
    api_server: Option<Duration>,
) -> Result<Upgraded, AnswerError> {
    let protocol = headers
        .get(header::UPGRADE)
        .filter(|protocol| !protocol.is_empty())
        .ok_or(AnswerError::NoProtocol)?;
    let head = response::encode(
        StatusCode::SWITCHING_PROTOCOLS,
        headers,
        protocol.as_bytes(),
        api_server,
        HeadLimits::default(),
    )?;
    stream.send_head(head)?;
    Ok(Upgraded::new(Arc::clone(stream)))
}

/// Why an answer was not sent.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The stream ended first.
    #[error("the stream ended before the answer")]
    Stream(#[from] StreamError),
    /// The answer's body broke off.
    #[error("the API server's answer broke off: {0}")]
    ApiServerLost(String),
    /// The API server's head is past our limits.
    #[error("the API server's answer cannot be sent on")]
    HeadTooLarge(#[from] HeadTooLarge),
    /// A status that has no place here.
    #[error("the status {0} has no place here")]
    Status(StatusCode),
    /// A 101 without `Upgrade`.
    #[error("the API server switched to a protocol that it did not name")]
    NoProtocol,
}

/// As [`informational`], for statuses that are known to be right.
pub(crate) fn send_informational(
    stream: &TunnelStream,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), StreamError> {
    match response::encode(status, headers, b"", None, HeadLimits::default()) {
        Ok(head) => stream.send_head(head),
        Err(error) => Err(StreamError::Cut {
            reason: ResetReason::Internal,
            message: error.to_string(),
        }),
    }
}

async fn send<B>(
    stream: &TunnelStream,
    response: Response<B>,
    api_server: Option<Duration>,
) -> Result<(), AnswerError>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let (parts, body) = response.into_parts();
    if parts.status.is_informational() {
        return Err(AnswerError::Status(parts.status));
    }
    stream.send_head(response::encode(
        parts.status,
        &parts.headers,
        b"",
        api_server,
        HeadLimits::default(),
    )?)?;
    if body.is_end_stream() {
        return Ok(stream.write(Bytes::new(), true)?);
    }
    let mut body = pin!(body);
    poll_fn(|cx| {
        if let Poll::Ready(error) = stream.poll_failure(cx) {
            return Poll::Ready(Err(error.into()));
        }
        poll_pour(stream, body.as_mut(), cx).map_err(|broken| match broken {
            Broken::Stream(error) => error.into(),
            Broken::Body(why) => AnswerError::ApiServerLost(why),
        })
    })
    .await
}

/// An answer under way. Dropped before it is finished, it cancels the exchange, whoever else may hold the stream.
#[derive(Debug)]
struct UnderWay<'a> {
    stream: &'a TunnelStream,
    is_finished: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.stream
                .reset(ResetReason::Cancelled, "the agent gave the answer up");
        }
    }
}
