//! Decides how a permitted request goes through a tunnel, and what a failure there means to the caller.
//!
//! The last stage of `handle.rs`. Credentials are stripped and the head is written by `adit-exchange`; this file sets the
//! terms (until when, for whom), tries another replica once where that is safe, and names the hop that failed.
//! Invariant: nothing is sent twice that an API server may have acted on.

use std::{
    fmt::Display,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, ready},
};

use adit_authority::Permit;
use adit_exchange::{AnswerBody, Ask, AskError, HeadLimits, Question, Upgraded, upgrade_asked};
use adit_process::chain;
use adit_tunnel::{CloseReason, OpenError, ResetReason, SessionError, StreamError, Terms};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::{
    authenticate::Bearer,
    authorise::Errand,
    call::Call,
    config::FrontDoorConfig,
    jobs::OfJob,
    lasting::{Entered, Exchange, Lasting},
    metrics::{Direction, Metrics, Stage, Streaming},
    refusal::{Facts, Refusal},
    registry::OnTunnel,
    respond::UNAUTHORIZED,
    route::Route,
    rules::Current,
};

mod counted;

pub(crate) use counted::{Count, Counted};

/// The stage between a tunnel and an answer.
#[derive(Debug)]
pub(crate) struct Forward {
    rules: Current,
    route: Arc<Route>,
    lasting: Lasting,
    metrics: Arc<Metrics>,
}

impl Forward {
    pub(crate) fn new(
        rules: Current,
        route: Arc<Route>,
        lasting: Lasting,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            rules,
            route,
            lasting,
            metrics,
        }
    }

    /// Sends the request on and waits for the answer's head. Dropping the future, or the answer's body, cancels the
    /// exchange at the API server.
    pub(crate) async fn request<B>(
        &self,
        mut hold: Hold,
        errand: &Errand,
        request: Request<B>,
        call: &Call<'_>,
    ) -> Result<Response<Forwarded>, Refusal>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let (is_safe, method) = (is_safe(&request), request.method().clone());
        let mut question = self.question(errand, request, call)?;
        let began = Instant::now();
        let mut asked = self.put(&mut question, &hold.place, errand).await;
        if let Err(error) = &asked
            && question.is_whole()
            && (was_not_acted_on(error) || (is_safe && is_lost(error)))
            && let Some(other) = self.route.other(errand, hold.place.session())
        {
            tracing::debug!(request.id = %call.id, error = %chain(error), "trying another replica");
            hold.place = other;
            asked = self.put(&mut question, &hold.place, errand).await;
        }
        let took = began.elapsed();
        self.metrics.stage(Stage::Forward).observe(took);
        let mut response = asked.map_err(|error| {
            let refusal = refusal(error, errand);
            call.took.failed(refusal.facts().hop, took);
            refusal
        })?;
        if let Some(api_server) = response.body().api_server() {
            // An agent's word: it cannot make it more than it was.
            let api_server = api_server.min(took);
            call.took.api_server.set(api_server);
            call.took.tunnel.set(took.saturating_sub(api_server));
        }
        // A mark of the relay's own.
        response.headers_mut().remove(UNAUTHORIZED);
        if hold.streaming.lasts() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            hold.entered = Some(self.lasting.enter(Exchange {
                request: call.id,
                began: call.began,
                method,
                target: errand.target.clone(),
                permit: Arc::clone(&errand.permit),
                cutter: response.body().cutter(),
                request_bytes: Arc::default(),
                answer_bytes: Arc::default(),
            }));
        }
        Ok(response.map(|body| {
            let body = Counted::new(body, hold.streaming.bytes(Direction::Answer));
            Forwarded {
                body: body.also(hold.answer_bytes()),
                hold,
            }
        }))
    }

    /// Asks, unless what it was permitted by has ended meanwhile. Whoever ends a caller marks it first and then cuts its streams, see
    /// `gitlab/cuts.rs`, and a change of the rules comes before what they do not uphold is cut; so a stream that was opened too late to
    /// be cut is seen here.
    async fn put<B>(
        &self,
        question: &mut Question<B>,
        place: &OnTunnel,
        errand: &Errand,
    ) -> Result<Response<AnswerBody>, AskError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        // It may have waited long for its tunnel.
        if let Some(reason) = errand.ended(&self.rules) {
            return Err(cut(reason));
        }
        let mut answer = pin!(question.put(place.tunnel(), terms(errand)));
        // With its first turn the stream is open, and whoever ends it from now on finds it there. Not every change of what the caller was
        // permitted by ends it.
        match poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            Poll::Ready(answer) => answer,
            Poll::Pending => match errand.ended(&self.rules) {
                Some(reason) => Err(cut(reason)),
                None => answer.await,
            },
        }
    }

    fn question<B>(
        &self,
        errand: &Errand,
        request: Request<B>,
        call: &Call<'_>,
    ) -> Result<Question<B>, Refusal>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let upgrade = upgrade_asked(&request);
        let ask = Ask {
            target: &errand.target.for_api_server(),
            act_as: errand.permit.act_as(),
            request_id: call.id.as_str(),
            upgrade: upgrade.as_ref(),
            limits: head_limits(&call.connection.config),
        };
        let mut question = Question::new(request, ask).map_err(|error| refusal(error, errand))?;
        if let Some(early) = call.early {
            question.on_informational(early.sink());
        }
        Ok(question)
    }
}

/// As of a stream that this end has cut: it may not be opened, or was opened too late.
fn cut(reason: ResetReason) -> AskError {
    AskError::NoAnswer(StreamError::Cut {
        reason,
        message: String::new(),
    })
}

/// Of requests alone.
fn head_limits(config: &FrontDoorConfig) -> HeadLimits {
    HeadLimits {
        max_fields: config.max_fields,
        max_bytes: config.max_head_bytes,
    }
}

/// Until when, and on whose behalf.
fn terms(errand: &Errand) -> Terms {
    Terms {
        deadline: errand.bearer.ends,
        owner: errand.permit.owner(),
    }
}

/// What an exchange holds as long as it runs: its place in each count, and the credential, about which GitLab is asked again while it
/// is held.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) place: OnTunnel,
    pub(crate) bearer: Arc<Bearer>,
    /// As long as it is held it can be withdrawn.
    pub(crate) _permit: Arc<Permit>,
    pub(crate) _of_job: OfJob,
    pub(crate) streaming: Streaming,
    /// Once it is known to last.
    pub(crate) entered: Option<Entered>,
}

impl Hold {
    /// Where operators see the bytes of an upgraded connection, from the caller.
    pub(crate) fn request_bytes(&self) -> Option<Arc<AtomicU64>> {
        self.entered.as_ref().map(Entered::request_bytes)
    }

    /// The same for those to the caller, and for an answer that lasts.
    pub(crate) fn answer_bytes(&self) -> Option<Arc<AtomicU64>> {
        self.entered.as_ref().map(Entered::answer_bytes)
    }

    /// When the permit ends, and the exchange with it, if that is known.
    pub(crate) fn ends(&self) -> Option<Instant> {
        self.bearer.ends
    }
}

/// The API server's answer. Dropping it before its end cancels the exchange.
#[derive(Debug)]
pub(crate) struct Forwarded {
    body: Counted<AnswerBody>,
    hold: Hold,
}

impl Forwarded {
    /// Ready once this end cut the exchange before its answer was read whole, and says why. What an agent sent before it broke off is
    /// still the caller's to read. Holds one waiter, beside the body's.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<StreamError> {
        match ready!(self.body.inner().poll_failure(cx)) {
            cut @ StreamError::Cut { .. } if !self.body.is_end_stream() => Poll::Ready(cut),
            StreamError::Cut { .. } | StreamError::Reset { .. } | StreamError::SessionEnded(_) => {
                Poll::Pending
            }
        }
    }

    pub(crate) fn ends(&self) -> Option<Instant> {
        self.hold.ends()
    }

    /// The tunnel's id.
    pub(crate) fn tunnel(&self) -> &str {
        self.hold.place.session()
    }

    /// The upgraded connection, when the answer was 101; the exchange stays counted as long as the hold lives.
    pub(crate) fn into_upgraded(self) -> Option<(Upgraded, Hold)> {
        Some((self.body.into_inner().into_upgraded()?, self.hold))
    }
}

impl Body for Forwarded {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Asking twice does no harm, RFC 9110 section 9.2.1. An upgrade may: a WebSocket begins as GET, and runs a command.
fn is_safe<B>(request: &Request<B>) -> bool {
    matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) && upgrade_asked(request).is_none()
}

/// The API server has certainly seen nothing of it.
fn was_not_acted_on(error: &AskError) -> bool {
    match error {
        AskError::Open(open) => !matches!(open, OpenError::HeadTooLarge),
        AskError::NoAnswer(StreamError::Reset { reason, .. }) => *reason == ResetReason::Refused,
        AskError::NoAnswer(StreamError::Cut { .. } | StreamError::SessionEnded(_))
        | AskError::BadRequest(_)
        | AskError::HeadTooLarge
        | AskError::BodyLost(_)
        | AskError::BadAnswer(_) => false,
    }
}

/// The tunnel ended, so nobody knows.
fn is_lost(error: &AskError) -> bool {
    matches!(error, AskError::NoAnswer(StreamError::SessionEnded(_)))
}

fn refusal(error: AskError, errand: &Errand) -> Refusal {
    let name = || errand.permit.context().to_owned();
    match error {
        AskError::BadRequest(why) => Refusal::BadRequest(why),
        AskError::HeadTooLarge | AskError::Open(OpenError::HeadTooLarge) => Refusal::HeadTooLarge,
        AskError::Open(OpenError::TooManyStreams) => Refusal::TunnelFull { name: name() },
        AskError::Open(why @ (OpenError::Closed | OpenError::Draining)) => Refusal::AgentRefused {
            name: name(),
            why: why.to_string(),
        },
        AskError::Open(why @ OpenError::Overloaded) => Refusal::Overloaded {
            name: name(),
            why: why.to_string(),
        },
        AskError::Open(OpenError::TooManyCancels) => Refusal::TooManyCancels { name: name() },
        AskError::BodyLost(why) => Refusal::BodyLost(why),
        AskError::NoAnswer(StreamError::SessionEnded(why)) => lost(&why, name()),
        AskError::NoAnswer(StreamError::Cut {
            reason: ResetReason::PermitEnded,
            ..
        }) => match errand.bearer.caller.ended() {
            Some(ended) => Refusal::access_ended(&errand.bearer.caller, ended),
            None => Refusal::PermitEnded,
        },
        AskError::NoAnswer(
            StreamError::Reset { reason, message } | StreamError::Cut { reason, message },
        ) => reset(reason, message, name()),
        AskError::BadAnswer(why) => Refusal::AgentFailed {
            name: name(),
            why: chain(&why),
        },
    }
}

fn lost(why: &SessionError, name: String) -> Refusal {
    if let SessionError::Closed {
        reason: CloseReason::CutByOperator,
        ..
    } = why
    {
        return Refusal::CutByOperator { name };
    }
    let why = chain(why);
    Refusal::AgentLost { name, why }
}

/// What a caller whose answer has begun cannot be told any more.
pub(crate) fn facts_of(error: &StreamError) -> Facts {
    let (why, name) = (String::new(), String::new());
    let refusal = match error {
        StreamError::SessionEnded(why) => lost(why, name),
        StreamError::Reset { reason, .. } | StreamError::Cut { reason, .. } => {
            reset(*reason, why, name)
        }
    };
    refusal.facts()
}

fn reset(reason: ResetReason, why: String, name: String) -> Refusal {
    match reason {
        ResetReason::PermitEnded => Refusal::PermitEnded,
        ResetReason::Withdrawn => Refusal::Withdrawn { name },
        ResetReason::Refused => Refusal::AgentRefused { name, why },
        ResetReason::BeyondCeiling => Refusal::BeyondCeiling { name, why },
        ResetReason::ApiServerUnreachable => Refusal::ApiServerUnreachable { name, why },
        ResetReason::ApiServerLost => Refusal::ApiServerLost { name, why },
        ResetReason::Overloaded => Refusal::Overloaded { name, why },
        ResetReason::TimedOut => Refusal::TimedOut { name, why },
        ResetReason::Unspecified
        | ResetReason::Cancelled
        | ResetReason::Protocol
        | ResetReason::Internal
        // Nobody at the agent has a say in that, and a request that an operator cuts here has its answer.
        | ResetReason::CutByOperator => Refusal::AgentFailed { name, why },
    }
}
