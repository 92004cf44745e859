//! Serves one tunnel: accepts its streams and runs one handler for each. Called by [`crate::agent`] for each tunnel.
//! Invariant: a stream ends in one of three ways: answered, reset with a reason that names what happened, or left by the
//! relay, which takes the request back from the API server at once.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use adit_exchange::{AnswerError, Asked, BadHead, HeadLimits, answer, informational, switch};
use adit_identity::operation::Target;
use adit_otlp::{Span, Traces};
use adit_process::chain;
use adit_process::metrics::{Held, Label as _};
use adit_tunnel::{Cause, ResetReason, StreamError, Tunnel, TunnelStream};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::io::InspectReader;
use tracing::Instrument as _;

use crate::impersonate::{Acting, Ceiling, Deed, Identities, NotActing};
use crate::in_hand::{self, InHand};
use crate::kube::{
    Answer, Call, CallError, Expectation, Kube, Lease, RequestBody, Upgrading, Window,
};
use crate::metrics::{Failure, Metrics};

mod running;

pub(crate) use running::Running;

/// What every handler needs.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) kube: Arc<Kube>,
    pub(crate) identities: Identities,
    pub(crate) running: Running,
    pub(crate) head_limits: HeadLimits,
    /// Through all tunnels: while a relay drains there are two.
    pub(crate) max_streams: usize,
    pub(crate) in_hand: InHand,
    /// If requests are traced.
    pub(crate) traces: Option<Traces>,
    pub(crate) metrics: Metrics,
}

/// Serves the tunnel until its session is over and every handler has ended.
pub(crate) async fn serve(tunnel: Tunnel, service: Arc<Service>) {
    let mut handlers = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            accepted = tunnel.accept() => match accepted {
                Some((stream, head)) => {
                    let span = tracing::debug_span!("stream", stream.id = stream.id());
                    // Boxed: tokio moves what it is given several times, and this is large.
                    let handler = Box::pin(handle(Arc::clone(&service), stream, head));
                    handlers.spawn(handler.instrument(span));
                }
                None => break,
            },
            Some(ended) = handlers.join_next() => report(ended),
        }
    }
    // Their streams have ended with the session: what is left is to notice.
    while let Some(ended) = handlers.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request's handler panicked; its stream was reset");
    }
}

/// A request's head, kept for as long as the request may have to be sent again.
struct Head {
    bytes: Bytes,
    _held: Held,
}

/// Why a stream got no answer, or only a part of it.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the relay sent a head that it must not send")]
    BadHead(#[from] BadHead),
    #[error(transparent)]
    NotActing(#[from] NotActing),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the agent serves as many requests as it may: raise limits.max_streams")]
    TooMany,
    #[error("{}", in_hand::FULL)]
    HandsFull,
    /// The API server broke off in the middle; the stream was reset already.
    #[error("the API server's answer broke off")]
    BrokenOff,
    /// The ceiling was lowered; the stream was reset already.
    #[error("the agent's configuration was changed, and does not cover the request any more")]
    Lowered,
    /// The caller left, or the relay tries elsewhere; the stream is over.
    #[error("the relay left")]
    Left,
    /// An operator, a token's end, a bound or the end of the tunnel, by the relay's word for it where it has one; the stream is over.
    #[error("the exchange was cut: {0}")]
    Cut(&'static str),
}

async fn handle(service: Arc<Service>, stream: TunnelStream, head: Bytes) {
    let stream = Arc::new(stream);
    let mut asked = service.read(&head);
    let mut span = None;
    let outcome = match &mut asked {
        Ok(asked) => {
            span = service.traced(asked);
            service.admit(&stream, asked, head, &mut span).await
        }
        Err(error) => Err(error.clone().into()),
    };
    let Err(error) = outcome else {
        return;
    };
    let kind = error.kind();
    service.metrics.failure(kind);
    if let Some(span) = &mut span
        && let Some(why) = error.error_type()
    {
        span.failed(why);
    }
    let message = chain(&error);
    let asked = asked.as_ref().ok();
    macro_rules! log {
        ($level:ident, $what:literal) => {
            tracing::$level!(
                stream.id = stream.id(),
                request.id = asked.map(|asked| &*asked.request_id),
                http.method = asked.map(|asked| display(&asked.method)),
                error = message,
                $what
            )
        };
    }
    let Some(reason) = error.reset_reason() else {
        log!(debug, "request ended early");
        return;
    };
    log!(info, "request not answered");
    stream.reset(reason, &message);
}

impl Service {
    /// Acts for whom this covers from now on, in what it covers, and for nobody else; says how many requests were reset that it does not cover.
    pub(crate) fn lower(&self, ceiling: Ceiling) -> usize {
        let ceiling = Arc::new(ceiling);
        self.identities.judge_by(Arc::clone(&ceiling));
        self.running.lower(&ceiling)
    }

    fn read(&self, head: &Bytes) -> Result<Asked<Acting>, BadHead> {
        let identify = |encoded: &[u8]| self.identities.read(encoded);
        let mut asked = Asked::read_by(head, self.head_limits, identify)?;
        name(&mut asked);
        Ok(asked)
    }

    /// Its span, if it is to be traced.
    fn traced(&self, asked: &Asked<Acting>) -> Option<Span> {
        let traces = self.traces.as_ref()?;
        let target = Target::new(asked.target.as_str());
        let name = || target.operation(asked.method.as_str()).to_string();
        let mut span = traces.request(&asked.headers, Instant::now(), name)?;
        span.tell("http.request.method", asked.method.as_str().to_owned());
        span.tell("adit.request.id", asked.request_id.clone());
        Some(span)
    }

    async fn admit(
        &self,
        stream: &Arc<TunnelStream>,
        asked: &mut Asked<Acting>,
        head: Bytes,
        span: &mut Option<Span>,
    ) -> Result<(), Unanswered> {
        let (streams, max) = (&self.metrics.streams, self.max_streams);
        let _held = Held::within(streams, 1, max).ok_or(Unanswered::TooMany)?;
        let held = self.in_hand.take(head.len()).ok_or(Unanswered::HandsFull)?;
        let deed = Arc::new(Deed::of(asked.method.as_str(), asked.target.as_str()));
        let _entered = self
            .running
            .enter(stream, &asked.act_as, &asked.headers, &deed);
        // Whoever lowers the ceiling does so first, and then looks at what was entered.
        if !self.identities.hold(&asked.act_as) {
            *asked = self.read(&head)?;
        }
        let mut head = Some(Head {
            bytes: head,
            _held: held,
        });
        self.exchange(stream, asked, &deed, &mut head, span).await
    }

    async fn exchange(
        &self,
        stream: &Arc<TunnelStream>,
        asked: &mut Asked<Acting>,
        deed: &Deed,
        head: &mut Option<Head>,
        span: &mut Option<Span>,
    ) -> Result<(), Unanswered> {
        let mut attempts = 0;
        loop {
            asked.act_as.apply(&mut asked.headers, deed)?;
            let outcome = match asked.upgrade.take() {
                // Apart: it is several times as large, and rare.
                Some(protocols) => {
                    let upgrade = self.upgrade(stream, asked, protocols, head, span);
                    Box::pin(upgrade).await
                }
                None => self.forward(stream, asked, head, span).await,
            };
            match outcome {
                Err(Unanswered::Call(CallError::NotTaken(_))) if attempts < MAX_RETRIES => {
                    attempts += 1
                }
                outcome => return outcome,
            }
            // An API server that closes a connection says what it has not looked at: that goes onto another one.
            let Some(head) = head else {
                return Err(Unanswered::BrokenOff);
            };
            *asked = self.read(&head.bytes)?;
        }
    }

    /// Lets go of the head once there is an answer: nothing is sent again then.
    async fn forward(
        &self,
        stream: &Arc<TunnelStream>,
        asked: &mut Asked<Acting>,
        head: &mut Option<Head>,
        span: &mut Option<Span>,
    ) -> Result<(), Unanswered> {
        let began = Instant::now();
        if let Some(span) = span {
            span.enter("connection");
        }
        let lease =
            unless_left(stream, pin!(self.kube.lease(Window::wished(&asked.target)))).await??;
        let called = called(span, &mut asked.headers);
        let Answer {
            response,
            mut upload,
        } = {
            let calling = pin!(self.call(lease, stream, asked));
            unless_left(stream, calling).await??
        };
        *head = None;
        let took = called.elapsed();
        self.answered(stream, asked, response.status(), (began, took), span);
        let mut answering = pin!(answer(stream, response, Some(took)));
        let both = poll_fn(|cx| {
            // Whether it is done shows in itself.
            let _: Option<Poll<()>> = upload.as_mut().map(|upload| upload.poll(cx));
            answering.as_mut().poll(cx)
        });
        let answered = unless_left(stream, both).await?;
        Ok(answered?)
    }

    /// Begun then, and answered by the API server within so long.
    fn answered(
        &self,
        stream: &TunnelStream,
        asked: &Asked<Acting>,
        status: StatusCode,
        (began, took): (Instant, Duration),
        span: &mut Option<Span>,
    ) {
        self.metrics.answer(status, began.elapsed(), took);
        tracing::debug!(
            stream.id = stream.id(),
            request.id = asked.request_id,
            http.method = %asked.method,
            http.status = status.as_u16(),
            "answered"
        );
        if let Some(span) = span {
            span.answered(status);
        }
    }

    fn call<'a>(
        &'a self,
        lease: Lease,
        stream: &'a Arc<TunnelStream>,
        asked: &mut Asked<Acting>,
    ) -> impl Future<Output = Result<Answer, CallError>> + use<'a> {
        let body = (!stream.is_read_end()).then(|| self.in_hand.count(asked.body(stream), stream));
        let body = body.map(RequestBody::new);
        let expectation = if asked.expect_continue {
            Expectation::Continue
        } else {
            Expectation::None
        };
        self.kube
            .call(lease, take(asked), body, expectation, early(stream))
    }

    /// Two byte streams, once the API server has said 101, and not a byte before (CVE-2018-1002105).
    async fn upgrade(
        &self,
        stream: &Arc<TunnelStream>,
        asked: &mut Asked<Acting>,
        protocols: HeaderValue,
        head: &mut Option<Head>,
        span: &mut Option<Span>,
    ) -> Result<(), Unanswered> {
        let began = Instant::now();
        let called = called(span, &mut asked.headers);
        let calling = pin!(self.kube.upgrade(take(asked), protocols));
        let (upgrading, _held) = unless_left(stream, calling).await??;
        let took = called.elapsed();
        *head = None;
        let (headers, upgraded, listening) = match upgrading {
            Upgrading::Answered(response) => {
                self.answered(stream, asked, response.status(), (began, took), span);
                let answering = pin!(answer(stream, response, Some(took)));
                let answered = unless_left(stream, answering).await?;
                return Ok(answered?);
            }
            Upgrading::Switched(headers, upgraded, listening) => (headers, upgraded, listening),
        };
        let status = StatusCode::SWITCHING_PROTOCOLS;
        self.answered(stream, asked, status, (began, took), span);
        let mut ours = switch(stream, &headers, Some(took))?;
        let failed = ours.failure();
        let heard = listening.heard().clone();
        let mut theirs = InspectReader::new(upgraded, |_: &[u8]| heard.now());
        let copying = copy_bidirectional_with_sizes(&mut ours, &mut theirs, COPY_BYTES, COPY_BYTES);
        let lost = tokio::select! {
            biased;
            copied = copying => match copied {
                Ok(_) => return Ok(()),
                Err(error) => match error.downcast::<StreamError>() {
                    // The copy may see first that the relay has left: the API server did nothing.
                    Ok(left) => return Err(left.into()),
                    Err(error) => format!("the upgraded connection broke: {error}"),
                },
            },
            // The API server may take nothing more: then nobody looks at the stream.
            left = failed => return Err(left.into()),
            () = listening => chain(&CallError::Silent),
        };
        stream.reset(ResetReason::ApiServerLost, &lost);
        Err(Unanswered::BrokenOff)
    }
}

impl Unanswered {
    const fn reset_reason(&self) -> Option<ResetReason> {
        match self {
            Self::NotActing(NotActing::Beyond(_)) => Some(ResetReason::BeyondCeiling),
            Self::BadHead(_) | Self::NotActing(NotActing::Smuggled(_) | NotActing::Unwritable) => {
                Some(ResetReason::Protocol)
            }
            Self::Call(error) => Some(error.reset_reason()),
            Self::TooMany | Self::HandsFull => Some(ResetReason::Overloaded),
            Self::BrokenOff | Self::Lowered | Self::Left | Self::Cut(_) => None,
        }
    }

    fn kind(&self) -> Failure {
        match self {
            Self::BadHead(_) => Failure::BadHead,
            Self::NotActing(NotActing::Beyond(_)) => Failure::BeyondCeiling,
            Self::NotActing(NotActing::Smuggled(_) | NotActing::Unwritable) => Failure::Smuggled,
            Self::Call(error) => error.reset_reason().into(),
            Self::TooMany | Self::HandsFull => Failure::Overloaded,
            Self::BrokenOff => Failure::Broken,
            Self::Lowered => Failure::BeyondCeiling,
            Self::Left | Self::Cut(_) => Failure::Left,
        }
    }

    /// What its span is told. Whoever leaves may have had all that they wanted, as of a watch.
    fn error_type(&self) -> Option<&'static str> {
        match self {
            Self::Left => None,
            Self::Cut(why) => Some(why),
            Self::BadHead(_)
            | Self::NotActing(_)
            | Self::Call(_)
            | Self::TooMany
            | Self::HandsFull
            | Self::BrokenOff
            | Self::Lowered => Some(self.kind().as_str()),
        }
    }
}

impl From<StreamError> for Unanswered {
    /// The relay knows: it reset the stream, or is gone, or was told.
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Cut {
                reason: ResetReason::BeyondCeiling,
                ..
            } => Self::Lowered,
            StreamError::Cut { reason, .. } | StreamError::Reset { reason, .. } => match reason {
                ResetReason::Cancelled | ResetReason::Refused => Self::Left,
                ResetReason::PermitEnded => Self::Cut("permit_ended"),
                ResetReason::CutByOperator => Self::Cut("cut_by_operator"),
                ResetReason::Withdrawn => Self::Cut("access_withdrawn"),
                ResetReason::Overloaded => Self::Cut("overloaded"),
                ResetReason::TimedOut => Self::Cut("timed_out"),
                ResetReason::ApiServerUnreachable
                | ResetReason::ApiServerLost
                | ResetReason::BeyondCeiling
                | ResetReason::Protocol
                | ResetReason::Internal
                | ResetReason::Unspecified => Self::Cut("broken"),
            },
            StreamError::SessionEnded(why) => Self::Cut(match why.cause() {
                Cause::CutByOperator => "cut_by_operator",
                Cause::Closed
                | Cause::Silent
                | Cause::Misbehaved
                | Cause::Lost
                | Cause::Revoked => "tunnel_lost",
            }),
        }
    }
}

impl From<AnswerError> for Unanswered {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Stream(error) => error.into(),
            AnswerError::ApiServerLost(_)
            | AnswerError::HeadTooLarge(_)
            | AnswerError::Status(_)
            | AnswerError::NoProtocol => Self::BrokenOff,
        }
    }
}

/// Runs `work` until it is done, or the relay leaves: a stream that is reset drops it, and so the API server's request.
/// Who reads the request's body is another matter: over HTTP/1.1 that is the connection's own task.
async fn unless_left<T>(
    stream: &TunnelStream,
    mut work: impl Future<Output = T> + Unpin,
) -> Result<T, StreamError> {
    poll_fn(|cx| {
        if let Poll::Ready(error) = stream.poll_failure(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut work).poll(cx).map(Ok)
    })
    .await
}

/// Passes informational heads on. Weak: a connection to the API server may keep it longer than its stream lives.
fn early(
    stream: &Arc<TunnelStream>,
) -> impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static + use<> {
    let stream = Arc::downgrade(stream);
    move |status, headers| {
        if let Some(stream) = stream.upgrade() {
            // The final answer will tell whether the stream still lives.
            let _ = informational(&stream, status, headers);
        }
    }
}

/// The API server is asked now, and continues there.
fn called(span: &mut Option<Span>, headers: &mut HeaderMap) -> Instant {
    if let Some(span) = span {
        span.call("api_server", headers);
    }
    Instant::now()
}

/// What is asked of the API server. Nothing of the head stays behind, which it would pin.
fn take(asked: &mut Asked<Acting>) -> Call {
    Call {
        method: asked.method.clone(),
        target: std::mem::replace(&mut asked.target, PathAndQuery::from_static("/")),
        headers: std::mem::take(&mut asked.headers),
    }
}

/// The API server's audit log shows the relay's id of the request, unless the caller gave one.
fn name(asked: &mut Asked<Acting>) {
    if !asked.headers.contains_key(&AUDIT_ID)
        && let Ok(mut id) = HeaderValue::try_from(&asked.request_id)
        && !id.is_empty()
    {
        // It is new each time: HPACK's table is to hold what is not.
        id.set_sensitive(true);
        asked.headers.insert(AUDIT_ID, id);
    }
}

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const MAX_RETRIES: u32 = 2;
/// Per direction of an upgraded connection.
const COPY_BYTES: usize = 32 << 10;

#[cfg(test)]
mod tests;
