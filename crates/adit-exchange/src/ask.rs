//! The relay's side: puts a request to an agent and waits for the answer's head. The relay calls it once per permitted request.
//! Invariant: nothing that says who the caller is crosses, but the identity that the relay decided on.

use std::{
    fmt,
    fmt::Display,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use adit_identity::ActAs;
use adit_tunnel::{RequestBody, ResetReason, Terms, Tunnel, TunnelStream};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts,
};
use http_body::Body;
use tokio::task::JoinSet;

use crate::{
    body::AnswerBody,
    head::{
        BadHead, HeadLimits,
        request::{self, RequestHead},
        response::{self, ResponseHead},
    },
    hop::{self, Listed},
    pour::{Broken, poll_pour},
};

mod error;

pub use error::{AskError, BadRequest};

/// What the relay adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Path and query after the relay's own prefix, byte for byte.
    pub target: &'a str,
    /// As whom the agent asks its API server.
    pub act_as: &'a ActAs,
    /// The relay's id of the request, for the agent's log.
    pub request_id: &'a str,
    /// What [`crate::upgrade_asked`] found, if the front can carry an upgraded connection.
    pub upgrade: Option<&'a HeaderValue>,
    /// How much the request's head may hold. Heads and trailers of answers are read within [`HeadLimits::default`], whatever this
    /// says: agents send no larger ones, and a relay that is strict with its callers must not refuse an API server's answers.
    pub limits: HeadLimits,
}

/// Puts a request to a tunnel; for one attempt. See [`Question::put`].
///
/// # Errors
/// See [`AskError`].
pub async fn ask<B>(
    tunnel: &Tunnel,
    request: Request<B>,
    ask: Ask<'_>,
    terms: Terms,
) -> Result<Response<AnswerBody>, AskError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Display,
{
    Question::new(request, ask)?.put(tunnel, terms).await
}

/// A request that is ready to be put to a tunnel, and to another one if the first did not take it.
pub struct Question<B> {
    head: Bytes,
    /// `None` for a request without one, and after an answer that left nothing of it here.
    body: Option<B>,
    flow: Flow,
    is_whole: bool,
    informational: Option<Informational>,
}

/// Takes an informational head.
type Informational = Box<dyn FnMut(StatusCode, HeaderMap) + Send>;

/// What the sending half carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Nothing,
    Body,
    /// The body, once a 100 has come.
    BodyWhenTold,
    /// After a 101, the upgraded connection.
    Upgrade,
}

impl<B> Question<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Display,
{
    /// Writes the head and leaves out what does not cross.
    ///
    /// # Errors
    /// [`AskError::BadRequest`] or [`AskError::HeadTooLarge`].
    pub fn new(request: Request<B>, ask: Ask<'_>) -> Result<Self, AskError> {
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let flow = match (ask.upgrade, has_body) {
            (Some(_), true) => return Err(BadRequest::UpgradeWithBody.into()),
            (Some(_), false) => Flow::Upgrade,
            (None, true) if expects_continue(&parts.headers) => Flow::BodyWhenTold,
            (None, true) => Flow::Body,
            (None, false) => Flow::Nothing,
        };
        Ok(Self {
            head: write_head(&parts, ask, flow)?,
            body: has_body.then_some(body),
            flow,
            is_whole: true,
            informational: None,
        })
    }

    /// Has informational heads (1xx but 101) passed on. A 100 is among them, beside starting the body.
    pub fn on_informational(
        &mut self,
        callback: impl FnMut(StatusCode, HeaderMap) + Send + 'static,
    ) {
        self.informational = Some(Box::new(callback));
    }

    /// Whether nothing of the body was taken yet: the question may then be put again, elsewhere.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Asks, and waits for the final head. The body is sent meanwhile, and by a task that the answer's body owns afterwards. With
    /// 101 the answer holds `Connection` and `Upgrade` for the next hop. Dropping the future cancels the exchange.
    ///
    /// # Errors
    /// See [`AskError`]; nothing runs any more.
    pub async fn put(
        &mut self,
        tunnel: &Tunnel,
        terms: Terms,
    ) -> Result<Response<AnswerBody>, AskError> {
        let follows = if self.flow == Flow::Nothing {
            RequestBody::Absent
        } else {
            RequestBody::Follows
        };
        let stream = Arc::new(
            tunnel
                .open(self.head.clone(), follows, terms)
                .map_err(AskError::Open)?,
        );
        let mut may_pour = self.flow == Flow::Body;
        let head = poll_fn(|cx| self.poll_answer(&stream, &mut may_pour, cx)).await?;
        self.answered(stream, head, may_pour)
    }

    /// Waits for the final head; sends the body meanwhile.
    fn poll_answer(
        &mut self,
        stream: &TunnelStream,
        may_pour: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, AskError>> {
        loop {
            // The head first: with it, what is left of the body may not be wanted any more.
            if let Poll::Ready(head) = stream.poll_head(cx) {
                let head = read_head(stream, &head.map_err(AskError::NoAnswer)?)?;
                if !is_interim(head.status) {
                    return Poll::Ready(Ok(head));
                }
                *may_pour |= head.status == StatusCode::CONTINUE && self.flow == Flow::BodyWhenTold;
                if let Some(callback) = &mut self.informational {
                    callback(head.status, head.headers);
                }
                continue;
            }
            if *may_pour && let Some(body) = &mut self.body {
                self.is_whole = false;
                ready!(poll_upload(stream, body, cx))?;
                self.body = None;
            }
            return Poll::Pending;
        }
    }

    fn answered(
        &mut self,
        stream: Arc<TunnelStream>,
        head: ResponseHead,
        may_pour: bool,
    ) -> Result<Response<AnswerBody>, AskError> {
        let body = match (head.upgrade.is_some(), self.flow) {
            (true, Flow::Upgrade) => AnswerBody::switched(stream, head.api_server),
            (true, Flow::Nothing | Flow::Body | Flow::BodyWhenTold) => {
                return Err(refuse(&stream, BadHead::Upgrade));
            }
            (false, Flow::Upgrade) => {
                // Nothing will be carried after all.
                stream
                    .write(Bytes::new(), true)
                    .map_err(AskError::NoAnswer)?;
                AnswerBody::new(stream, None, head.api_server)
            }
            (false, Flow::Nothing | Flow::Body | Flow::BodyWhenTold) => {
                let rest = self.body.take();
                self.is_whole &= rest.is_none();
                // A body that was not told to come is not read at all; the front closes the connection it is on.
                let rest = rest.filter(|_| may_pour);
                let upload = rest.map(|body| upload(Arc::clone(&stream), body));
                AnswerBody::new(stream, upload, head.api_server)
            }
        };
        Ok(response(head, body))
    }
}

/// The answer as the next hop needs it.
fn response(head: ResponseHead, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if let Some(protocol) = head.upgrade {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    response
}

impl<B> fmt::Debug for Question<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("flow", &self.flow)
            .field("is_whole", &self.is_whole)
            .finish_non_exhaustive()
    }
}

fn write_head(parts: &Parts, ask: Ask<'_>, flow: Flow) -> Result<Bytes, AskError> {
    if !request::may_ask(&parts.method) {
        return Err(BadRequest::Method.into());
    }
    if !request::is_target(ask.target) {
        return Err(BadRequest::Target.into());
    }
    if ask
        .upgrade
        .is_some_and(|protocols| protocols.is_empty() || protocols.to_str().is_err())
    {
        return Err(BadRequest::Upgrade.into());
    }
    let listed = Listed::of_request(&parts.headers).map_err(|_| BadRequest::Connection)?;
    if listed.names_identity() {
        return Err(BadRequest::ConnectionListsIdentity.into());
    }
    let head = RequestHead {
        method: &parts.method,
        target: ask.target,
        headers: &parts.headers,
        act_as: ask.act_as,
        upgrade: ask.upgrade.map_or(b"", HeaderValue::as_bytes),
        expect_continue: flow == Flow::BodyWhenTold,
        request_id: ask.request_id,
    };
    request::encode(head, ask.limits, |name, value| {
        Ok(crosses(name, value, ask.act_as)? && !listed.contains(name))
    })
}

/// Whether a field of a request crosses, or has no business being there.
fn crosses(name: &HeaderName, value: &HeaderValue, act_as: &ActAs) -> Result<bool, AskError> {
    match (hop::kind(name), act_as) {
        (hop::Kind::EndToEnd, _) if hop::is_token_subprotocol(name, value) => {
            Err(BadRequest::TokenInSubprotocol.into())
        }
        (hop::Kind::EndToEnd, _) => Ok(!is_continue(name, value)),
        // GitLab's rule: who acts as the agent may impersonate whomever the agent may.
        (hop::Kind::Impersonation, ActAs::Agent) => Ok(true),
        (hop::Kind::Impersonation, ActAs::Impersonate(_)) => Err(BadRequest::Impersonation.into()),
        (hop::Kind::HopByHop | hop::Kind::Credential | hop::Kind::RemoteUser, _) => Ok(false),
    }
}

/// RFC 9110 section 10.1.1. It crosses as a flag: the agent answers for its own hop.
fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::EXPECT)
        .iter()
        .any(|value| is_continue(&header::EXPECT, value))
}

fn is_continue(name: &HeaderName, value: &HeaderValue) -> bool {
    name == header::EXPECT && value.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn read_head(stream: &TunnelStream, head: &Bytes) -> Result<ResponseHead, AskError> {
    response::read(head, HeadLimits::default()).map_err(|error| refuse(stream, error))
}

fn refuse(stream: &TunnelStream, error: BadHead) -> AskError {
    stream.reset(ResetReason::Protocol, &error.to_string());
    AskError::BadAnswer(error)
}

/// Sends what is left of a body while its answer is under way.
fn upload<B>(stream: Arc<TunnelStream>, mut body: B) -> JoinSet<()>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Display,
{
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // Whatever stopped it, the answer's reader sees the same.
        let _: Result<(), AskError> = poll_fn(|cx| poll_upload(&stream, &mut body, cx)).await;
    });
    tasks
}

/// Sends a body; resets the stream if the body fails, so that nobody takes it for complete.
fn poll_upload<B>(
    stream: &TunnelStream,
    body: &mut B,
    cx: &mut Context<'_>,
) -> Poll<Result<(), AskError>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    poll_pour(stream, Pin::new(body), cx).map_err(|broken| match broken {
        Broken::Stream(error) => AskError::NoAnswer(error),
        Broken::Body(why) => {
            stream.reset(ResetReason::Cancelled, "the request's body broke off");
            AskError::BodyLost(why)
        }
    })
}
