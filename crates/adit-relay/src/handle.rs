//! Decides nothing itself: it takes a request through the stages and hands back an answer, the API server's or ours.
//!
//! Both fronts (`front_door/http1.rs`, `front_door/http2.rs`) call [`Handler::answer`]; [`Handler::handle`] is the walk
//! that the crate's documentation tells. Invariant: every request leaves with an answer, a log line, a count, and a record of it.

use std::{
    fmt::Display,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use adit_exchange::Upgraded;
use adit_identity::operation;
use adit_tunnel::StreamError;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    audit::{Ended, Entry},
    authenticate::{AGENT_ID, Authenticate, Bearer, CSRF_PARAMETER},
    authorise::Authorise,
    browsers::{self, Browsers, Page, is_preflight},
    call::Call,
    contexts,
    forward::{Counted, Forward, Forwarded, Hold},
    gitlab::Events,
    in_flight::{Flight, InFlight},
    metrics::{Class, Direction, Metrics, Outcome, Running, Stage, StreamKind, Streaming},
    refusal::{Facts, Refusal},
    respond::{Format, respond},
    route::Route,
    target::{Purpose, Target},
};

/// The stages, in the order in which a request meets them.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) authenticate: Authenticate,
    pub(crate) authorise: Authorise,
    pub(crate) route: Arc<Route>,
    pub(crate) forward: Forward,
    /// If browsers are served that are logged in to GitLab.
    pub(crate) browsers: Option<Browsers>,
    /// If GitLab may tell of its jobs here.
    pub(crate) events: Option<Events>,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: Arc<Metrics>,
}

impl Handler {
    /// An answer for every request. Dropping the future cancels the exchange.
    pub(crate) async fn answer<B>(&self, request: Request<B>, call: &Call<'_>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let format = Format::wanted(request.headers());
        let method = request.method().clone();
        let flight = self.in_flight.begin();
        let mut running = self.metrics.running();
        let mut entry = Entry::begin(call);
        let page = self.page(&request);
        let from = page.as_ref().ok().cloned().flatten();
        let answer = match page {
            Ok(page) => {
                self.dispatch(request, page, call, &mut running, &mut entry)
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
                tracing::debug!(
                    request.id = %call.id,
                    client.addr = %call.client,
                    http.method = %method,
                    http.status = answer.status().as_u16(),
                    "answered"
                );
                (answer, entry)
            }
            Err(refusal) => {
                running.ended(Outcome::Refused);
                entry.refused(&refusal, call, took);
                let answer = self.refuse(&refusal, &method, format, call);
                (answer, Entry::none())
            }
        };
        if let Some(page) = from {
            page.mark(answer.headers_mut());
        }
        answer.map(|content| Body {
            content,
            end: None,
            flight,
            entry,
        })
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
                let kind = asks(request.method(), &target, running, entry);
                let answer = self.handle(request, target, kind, call, entry).await?;
                Ok(answer.map(Content::Forwarded))
            }
            Ok(Purpose::Contexts) => {
                entry.asks_relay(request.method(), request.uri().path());
                let list = self.contexts(&request, call, entry).await?;
                Ok(list.map(Content::Own))
            }
            Ok(Purpose::GitLabEvent) => {
                entry.asks_relay(request.method(), request.uri().path());
                let events = self.events.as_ref().ok_or(Refusal::UnknownPath)?;
                let done = events.take(request).await?;
                Ok(done.map(Content::Own))
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
    ) -> Result<Response<Forwarded>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let (headers, uri) = (request.headers(), request.uri());
        let bearer = self.authenticate.bearer(headers, uri, call).await?;
        entry.comes_from(&bearer.caller, target.agent().or(bearer.agent));
        let of_job = bearer.job_use.begin(call.began)?;
        let target = self.strip(request.headers_mut(), target);
        let errand = self.authorise.errand(bearer, target)?;
        entry.permitted(&errand.permit, request.headers());
        entry.admitted(errand.bearer.ends).await?;
        let place = self.route.tunnel(&errand.permit, call).await?;
        let hold = Hold {
            place,
            bearer: Arc::clone(&errand.bearer),
            streaming: self.metrics.stream(kind),
            entered: None,
            _of_job: of_job,
        };
        let request = request.map(|body| counted(body, &hold.streaming, entry));
        let answer = self.forward.request(hold, &errand, request, call);
        let mut answer = answer.await?;
        if let Some(browsers) = &self.browsers {
            browsers.sift(answer.headers_mut(), errand.bearer.is_of_browser());
        }
        Ok(answer)
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
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::BadMethod("only GET is served here"));
        }
        let (headers, uri) = (request.headers(), request.uri());
        let bearer = self.authenticate.bearer(headers, uri, call).await?;
        entry.comes_from(&bearer.caller, None);
        let _of_job = bearer.job_use.begin(call.began)?;
        Ok(contexts::list(&self.authorise.reachable(&bearer)))
    }

    fn refuse(
        &self,
        refusal: &Refusal,
        method: &Method,
        format: Format,
        call: &Call<'_>,
    ) -> Response<Content> {
        let facts = refusal.facts();
        self.metrics.refused(facts.reason);
        log_refusal(refusal, &facts, method, call);
        let mut answer = respond(refusal, &call.id, format);
        if *method == Method::HEAD {
            *answer.body_mut() = Full::default();
        }
        answer.map(Content::Own)
    }
}

/// Tells what an API server is asked for, and says as what kind of stream that counts.
fn asks(
    method: &Method,
    target: &Target,
    running: &mut Running<'_>,
    entry: &mut Entry,
) -> StreamKind {
    let sent_on = target.for_api_server();
    let asked = operation::Target::new(&sent_on);
    let operation = asked.operation(method.as_str());
    running.asks(Class::of(&operation));
    entry.asks(method, &operation);
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

/// At `info`, but for what strangers cause, and what a job causes more often than once in a second: that is at `debug`, and counted
/// like the rest.
fn log_refusal(refusal: &Refusal, facts: &Facts, method: &Method, call: &Call<'_>) {
    let unlogged = if refusal.is_to_a_stranger() {
        None
    } else {
        let bearer = call.connection.bearer.lock();
        let told = |bearer: &Arc<Bearer>| bearer.job_use.refusals.told(call.began);
        bearer.as_ref().map_or(Some(0), told)
    };
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                request.id = %call.id,
                client.addr = %call.client,
                http.method = %method,
                http.status = facts.status.as_u16(),
                refusal = facts.reason,
                detail = refusal.detail(),
                error = %refusal,
                unlogged,
                "refused"
            )
        };
    }
    if unlogged.is_some() {
        log!(info);
    } else {
        log!(debug);
    }
}

/// The body of any answer; as long as it lives, its exchange is in flight.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    /// Set once a client is slow to take it.
    end: Option<Pin<Box<Sleep>>>,
    flight: Flight,
    entry: Entry,
}

#[derive(Debug)]
enum Content {
    /// Made here.
    Own(Full<Bytes>),
    /// The API server's.
    Forwarded(Forwarded),
}

impl Content {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => http_body::Body::is_end_stream(body),
            Self::Forwarded(body) => http_body::Body::is_end_stream(body),
        }
    }
}

impl Body {
    /// Ready once nothing more may be sent, also of what was taken out already: the permit has ended, or a bound was reached. For
    /// the fronts while a client takes nothing, since nobody reads the body then.
    pub(crate) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = ready!(self.poll_over(cx));
        self.entry.ended(ended);
        Poll::Ready(())
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let ends = match &self.content {
            Content::Own(_) => Instant::now() + OWN_ANSWER_TIME,
            Content::Forwarded(answer) => {
                if let Poll::Ready(cut) = answer.poll_cut(cx) {
                    return Poll::Ready(Ended::of(&cut));
                }
                match answer.ends() {
                    Some(ends) => ends,
                    None => return Poll::Pending,
                }
            }
        };
        let sleep = || Box::pin(sleep_until(ends));
        let over = self.end.get_or_insert_with(sleep).as_mut().poll(cx);
        over.map(|()| Ended::with_its_permit())
    }

    /// The upgraded connection, when the API server's answer was 101, and what must be held as long as it is used.
    pub(crate) fn into_upgraded(self) -> Option<(Upgraded, Held)> {
        match self.content {
            Content::Own(_) => None,
            Content::Forwarded(answer) => {
                let (upgraded, hold) = answer.into_upgraded()?;
                let held = Held {
                    hold,
                    entry: self.entry,
                    _flight: self.flight,
                };
                Some((upgraded, held))
            }
        }
    }
}

/// What an upgraded connection holds as long as it is used.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) hold: Hold,
    pub(crate) entry: Entry,
    _flight: Flight,
}

/// For an answer of the relay's own, once its client is slow. It is a few kilobytes; a client may announce a window of none, and would
/// hold up a drain, without ever having shown a token.
const OWN_ANSWER_TIME: Duration = Duration::from_secs(10);

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        let frame = ready!(match &mut this.content {
            Content::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Content::Forwarded(body) => Pin::new(body).poll_frame(cx),
        });
        let content = &this.content;
        this.entry.sent(frame.as_ref(), || content.is_end_stream());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(body) => body.size_hint(),
            Content::Forwarded(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusal_that_nobody_reads_is_given_up() {
        let mut body = Body {
            content: Content::Own(Full::from("no")),
            end: None,
            flight: InFlight::default().begin(),
            entry: Entry::none(),
        };
        let mut within = async |time| {
            let cut = poll_fn(|cx| body.poll_cut(cx));
            timeout(time, cut).await.is_ok()
        };
        assert!(!within(OWN_ANSWER_TIME - Duration::from_millis(10)).await);
        assert!(within(Duration::from_millis(20)).await);
    }
}
