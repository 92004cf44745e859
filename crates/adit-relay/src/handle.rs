//! Decides nothing itself: it takes a request through the stages and hands back an answer, the API server's or ours.
//!
//! Both fronts (`front_door/http1.rs`, `front_door/http2.rs`) call [`Handler::answer`]; [`Handler::handle`] is the walk
//! that the crate's documentation tells. Invariant: every request leaves with an answer, a log line, a count, and a record of it.

use std::{fmt::Display, pin::pin, sync::Arc};

use adit_authority::gitlab::AgentFiles;
use adit_identity::operation;
use adit_otlp::Traces;
use adit_process::net::websocket;
use adit_tunnel::WEBSOCKET_PROTOCOL;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::{
    audit::{Admission, Entry},
    authenticate::{AGENT_ID, Authenticate, Bearer, CSRF_PARAMETER},
    authorise::{self, Errand},
    browsers::{self, Browsers, Page, is_preflight},
    call::Call,
    contexts,
    forward::{Counted, Forward, Forwarded, Hold},
    gitlab::Events,
    in_flight::InFlight,
    jobs::OfJob,
    metrics::{Class, Direction, Metrics, Outcome, Running, Stage, StreamKind, Streaming},
    refusal::Refusal,
    respond::{Format, respond},
    route::Route,
    spans,
    target::{Purpose, Target},
    turns::{self, Turn, Waiting},
};

mod body;
mod known;

use body::Content;
pub(crate) use body::{Body, Held};
use known::Known;

/// The stages, in the order in which a request meets them.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) authenticate: Authenticate,
    pub(crate) route: Arc<Route>,
    pub(crate) forward: Forward,
    /// If browsers are served that are logged in to GitLab.
    pub(crate) browsers: Option<Browsers>,
    /// If GitLab may tell of its jobs here.
    pub(crate) events: Option<Events>,
    /// If agents' files at GitLab are read: they say why GitLab does not let a job in.
    pub(crate) agent_files: Option<Arc<AgentFiles>>,
    pub(crate) in_flight: InFlight,
    /// Those that wait for their turn.
    pub(crate) waiting: InFlight,
    /// If requests are traced.
    pub(crate) traces: Option<Traces>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Handler {
    /// An answer for every request. Dropping the future cancels the exchange.
    pub(crate) fn answer<B>(
        &self,
        request: Request<B>,
        call: &Call<'_>,
    ) -> impl Future<Output = Response<Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let span = tracing::debug_span!("request", request.id = %call.id);
        self.answer_any(request, call).instrument(span)
    }

    async fn answer_any<B>(&self, request: Request<B>, call: &Call<'_>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let format = Format::wanted(request.headers());
        let method = request.method().clone();
        let flight = self.in_flight.begin();
        let mut running = self.metrics.running();
        let (mut entry, mut known) = (Entry::begin(call), Known::default());
        let page = self.page(&request);
        let from = page.as_ref().ok().cloned().flatten();
        let answer = match page {
            Ok(page) => {
                self.dispatch(request, page, call, &mut running, &mut entry, &mut known)
                    .await
            }
            Err(refusal) => {
                entry.asks_relay(&method, request.uri().path());
                Err(refusal)
            }
        };
        let took = call.began.elapsed();
        self.metrics.stage(Stage::Answer).observe(took);
        let (mut answer, entry) = match answer {
            Ok(answer) => {
                running.ended(Outcome::Answered);
                let is_whole = method == Method::HEAD || answer.body().is_end_stream();
                entry.answered(&answer, is_whole, call, took);
                known.tell_answered(&answer, &method, call);
                (answer, entry)
            }
            Err(refusal) => {
                running.ended(Outcome::Refused);
                entry.refused(&refusal, call, took);
                let answer = self.refuse(&refusal, &method, format, call, &known);
                (answer, Entry::none())
            }
        };
        if let Some(page) = from {
            page.mark(answer.headers_mut());
        }
        answer.map(|content| Body::new(content, flight, entry))
    }

    /// The page of a browser behind a request, if one is.
    fn page<B>(&self, request: &Request<B>) -> Result<Option<Page>, Refusal> {
        let browsers = self.browsers.as_ref();
        browsers.map_or(Ok(None), |browsers| browsers.page(request))
    }

    async fn dispatch<B>(
        &self,
        request: Request<B>,
        page: Option<Page>,
        call: &Call<'_>,
        running: &mut Running<'_>,
        entry: &mut Entry,
        known: &mut Known,
    ) -> Result<Response<Content>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        match purpose(&request) {
            Ok(Purpose::Kubernetes(_)) if page.is_some() && is_preflight(&request) => {
                entry.asks_relay(request.method(), request.uri().path());
                let answer = browsers::preflight(request.headers());
                Ok(answer.map(Content::Own))
            }
            Ok(Purpose::Kubernetes(target)) => {
                let kind = asks(&request, &target, running, entry);
                let answer = self.handle(request, target, kind, call, entry, known);
                Ok(answer.await?.map(Content::Forwarded))
            }
            Ok(Purpose::Contexts) => {
                entry.asks_relay(request.method(), request.uri().path());
                let list = self.contexts(&request, call, entry, known).await?;
                Ok(list.map(Content::Own))
            }
            Ok(Purpose::GitLabEvent) => {
                entry.asks_relay(request.method(), request.uri().path());
                let events = self.events.as_ref().ok_or(Refusal::UnknownPath)?;
                let done = events.take(request).await?;
                Ok(done.map(Content::Own))
            }
            Ok(Purpose::Tunnel) => {
                entry.asks_relay(request.method(), request.uri().path());
                let agreed = websocket::agree(&request, WEBSOCKET_PROTOCOL);
                let agreed = agreed.map_err(Refusal::BadWebSocket)?;
                Ok(agreed.map(|()| Content::Own(Full::default())))
            }
            Err(refusal) => {
                entry.asks_relay(request.method(), request.uri().path());
                Err(refusal)
            }
        }
    }

    /// Steps 2 to 5 of a request's way; each takes what the one before proved.
    async fn handle<B>(
        &self,
        mut request: Request<B>,
        target: Target,
        kind: StreamKind,
        call: &Call<'_>,
        entry: &mut Entry,
        known: &mut Known,
    ) -> Result<Response<Forwarded>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let (headers, uri) = (request.headers(), request.uri());
        let bearer = self.authenticate.bearer(headers, uri, call).await?;
        let agent = target.agent().or(bearer.agent);
        entry.comes_from(&bearer.caller, agent);
        let bearer = known.learn(bearer, agent);
        // Strangers have nothing told of them.
        if let Some(traces) = &self.traces {
            spans::begin(traces, &request, &target, &bearer.caller, call, entry);
        }
        let of_job = bearer.job_use.begin(call.began, &bearer.rules.limits)?;
        let target = self.strip(request.headers_mut(), target);
        let errand = match authorise::errand(Arc::clone(bearer), target) {
            Ok(errand) => errand,
            Err(refusal) => return Err(self.with_cause(refusal, bearer, call).await),
        };
        entry.permitted(&errand.permit, request.headers());
        match entry.admitted(&bearer.rules.audit)? {
            Admission::Granted => {}
            // Boxed: most requests need not wait.
            Admission::Waits => Box::pin(self.room(bearer.ends, call, entry)).await?,
        }
        let turn = match bearer.job_use.turn(call.began, &bearer.rules.limits) {
            Ok(turn) => turn,
            // Boxed: most requests need not wait.
            Err(waiting) => Box::pin(self.turn(waiting, call, entry)).await,
        };
        let answer = pin!(self.ask(&errand, request, (kind, of_job), call, entry));
        turns::held(turn, answer).await
    }

    /// Waits for room for the records of a request, where it must.
    async fn room(
        &self,
        ends: Option<Instant>,
        call: &Call<'_>,
        entry: &mut Entry,
    ) -> Result<(), Refusal> {
        if let Some(span) = entry.span() {
            span.enter("audit");
        }
        let began = Instant::now();
        let room = entry.room(ends).await;
        let took = began.elapsed();
        call.took.audit.set(took);
        self.metrics.stage(Stage::Audit).observe(took);
        room
    }

    /// The turn of a request that must wait for it.
    async fn turn(&self, waiting: Waiting, call: &Call<'_>, entry: &mut Entry) -> Option<Turn> {
        if let Some(span) = entry.span() {
            span.enter("turn");
        }
        let (_waits, began) = (self.waiting.begin(), Instant::now());
        let turn = waiting.turn().await;
        let took = began.elapsed();
        call.took.turn.set(took);
        self.metrics.stage(Stage::Turn).observe(took);
        turn
    }

    /// From a permit to the answer's head.
    async fn ask<B>(
        &self,
        errand: &Errand,
        mut request: Request<B>,
        (kind, of_job): (StreamKind, OfJob),
        call: &Call<'_>,
        entry: &mut Entry,
    ) -> Result<Response<Forwarded>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        if let Some(span) = entry.span() {
            span.enter("route");
        }
        let place = self.route.tunnel(errand, call).await?;
        let hold = Hold {
            place,
            bearer: Arc::clone(&errand.bearer),
            _permit: Arc::clone(&errand.permit),
            streaming: self.metrics.stream(kind),
            entered: None,
            _of_job: of_job,
        };
        if let Some(span) = entry.span() {
            span.call("forward", request.headers_mut());
        }
        let request = request.map(|body| counted(body, &hold.streaming, entry));
        let answer = self.forward.request(hold, errand, request, call);
        let mut answer = answer.await?;
        if let Some(browsers) = &self.browsers {
            browsers.sift(answer.headers_mut(), errand.bearer.is_of_browser());
        }
        Ok(answer)
    }

    /// The refusal with its cause, where agents' files tell it and the job may know it.
    async fn with_cause(&self, refusal: Refusal, bearer: &Bearer, call: &Call<'_>) -> Refusal {
        let (Refusal::NotPermitted(why), Some(files)) = (&refusal, &self.agent_files) else {
            return refusal;
        };
        let Some(job) = bearer.caller.job().filter(|_| why.is_unlisted()) else {
            return refusal;
        };
        let place = self.authenticate.place(bearer, call).await;
        let why = place.and_then(|place| why.with_cause(files, job, &place));
        why.map_or(refusal, Refusal::NotPermitted)
    }

    /// What is between a browser and the relay stays here.
    fn strip(&self, headers: &mut HeaderMap, target: Target) -> Target {
        if self.browsers.is_none() {
            return target;
        }
        browsers::strip(headers);
        target.without(&[AGENT_ID.as_str(), CSRF_PARAMETER])
    }

    async fn contexts<B>(
        &self,
        request: &Request<B>,
        call: &Call<'_>,
        entry: &mut Entry,
        known: &mut Known,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::BadMethod("only GET is served here"));
        }
        let (headers, uri) = (request.headers(), request.uri());
        let bearer = self.authenticate.bearer(headers, uri, call).await?;
        entry.comes_from(&bearer.caller, None);
        let bearer = known.learn(bearer, None);
        let _of_job = bearer.job_use.begin(call.began, &bearer.rules.limits)?;
        let reachable = authorise::reachable(bearer);
        Ok(contexts::list(&reachable, |agent| {
            self.route.versions(agent)
        }))
    }

    fn refuse(
        &self,
        refusal: &Refusal,
        method: &Method,
        format: Format,
        call: &Call<'_>,
        known: &Known,
    ) -> Response<Content> {
        let facts = refusal.facts();
        self.metrics.refused(facts.reason);
        known.tell_refused(refusal, &facts, method, call);
        let mut answer = respond(refusal, &call.id, format);
        if *method == Method::HEAD {
            *answer.body_mut() = Full::default();
        }
        answer.map(Content::Own)
    }
}

/// Tells what an API server is asked for, and says as what kind of stream that counts.
fn asks<B>(
    request: &Request<B>,
    target: &Target,
    running: &mut Running<'_>,
    entry: &mut Entry,
) -> StreamKind {
    let sent_on = target.for_api_server();
    let asked = operation::Target::new(&sent_on);
    let operation = asked.operation(request.method().as_str());
    running.asks(Class::of(&operation));
    entry.asks(request, &operation);
    operation.kind.into()
}

fn counted<B: http_body::Body>(body: B, streaming: &Streaming, entry: &mut Entry) -> Counted<B> {
    let of_body = (!body.is_end_stream()).then(|| entry.request_bytes());
    Counted::new(body, streaming.bytes(Direction::Request)).also(of_body.flatten())
}

fn purpose<B>(request: &Request<B>) -> Result<Purpose, Refusal> {
    if request.method() == Method::CONNECT {
        let why = "the relay opens no connections for a caller";
        return Err(Refusal::BadMethod(why));
    }
    Purpose::of(request.uri())
}
