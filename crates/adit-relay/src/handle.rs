//! Decides nothing itself: it takes a request through the stages and hands back an answer, the API server's or ours.
//!
//! Both fronts (`front_door/http1.rs`, `front_door/http2.rs`) call [`Handler::answer`]; [`Handler::handle`] is the walk
//! that the crate's documentation tells. Invariant: every request leaves with an answer, a log line and a count.

use std::{
    fmt::Display,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adit_exchange::Upgraded;
use adit_tunnel::StreamError;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    authenticate::Authenticate,
    authorise::Authorise,
    call::Call,
    contexts,
    forward::{Forward, Forwarded, Hold},
    in_flight::{Flight, InFlight},
    metrics::{Metrics, Outcome},
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
        let running = self.metrics.running();
        let answer = self.dispatch(request, call).await;
        let took = call.began.elapsed();
        self.metrics.stages.answer.observe(took.as_secs_f64());
        let answer = match answer {
            Ok(answer) => {
                running.ended(Outcome::Answered);
                tracing::debug!(
                    request.id = %call.id,
                    client.addr = %call.connection.client,
                    http.method = %method,
                    http.status = answer.status().as_u16(),
                    "answered"
                );
                answer
            }
            Err(refusal) => {
                running.ended(Outcome::Refused);
                self.refuse(&refusal, &method, format, call)
            }
        };
        answer.map(|content| Body {
            content,
            end: None,
            flight,
        })
    }

    async fn dispatch<B>(
        &self,
        mut request: Request<B>,
        call: &Call<'_>,
    ) -> Result<Response<Content>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        if request.method() == Method::CONNECT {
            let why = "the relay opens no connections for a caller";
            return Err(Refusal::BadMethod(why));
        }
        match Purpose::of(std::mem::take(request.uri_mut()))? {
            Purpose::Kubernetes(target) => {
                let answer = self.handle(request, target, call).await?;
                Ok(answer.map(Content::Forwarded))
            }
            Purpose::Contexts => {
                let list = self.contexts(&request, call).await?;
                Ok(list.map(Content::Own))
            }
        }
    }

    /// Steps 2 to 5 of a request's way; each takes what the one before proved.
    async fn handle<B>(
        &self,
        request: Request<B>,
        target: Target,
        call: &Call<'_>,
    ) -> Result<Response<Forwarded>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let bearer = self.authenticate.bearer(request.headers(), call).await?;
        let of_job = bearer.job_use.begin(Instant::now())?;
        let errand = self.authorise.errand(bearer, target)?;
        let place = self.route.tunnel(&errand.permit).await?;
        self.forward
            .request(place, of_job, &errand, request, call)
            .await
    }

    async fn contexts<B>(
        &self,
        request: &Request<B>,
        call: &Call<'_>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::BadMethod("only GET is served here"));
        }
        let bearer = self.authenticate.bearer(request.headers(), call).await?;
        let _of_job = bearer.job_use.begin(Instant::now())?;
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

/// At `info`, but for what strangers cause: that is at `debug`, and counted like the rest.
fn log_refusal(refusal: &Refusal, facts: &Facts, method: &Method, call: &Call<'_>) {
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                request.id = %call.id,
                client.addr = %call.connection.client,
                http.method = %method,
                http.status = facts.status.as_u16(),
                refusal = facts.reason,
                detail = refusal.detail(),
                error = %refusal,
                "refused"
            )
        };
    }
    if refusal.is_to_a_stranger() {
        log!(debug);
    } else {
        log!(info);
    }
}

/// The body of any answer; as long as it lives, its exchange is in flight.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    /// Set once a client is slow to take it.
    end: Option<Pin<Box<Sleep>>>,
    flight: Flight,
}

#[derive(Debug)]
enum Content {
    /// Made here.
    Own(Full<Bytes>),
    /// The API server's.
    Forwarded(Forwarded),
}

impl Body {
    /// Ready once nothing more may be sent, also of what was taken out already: the permit has ended, or a bound was reached. For
    /// the fronts while a client takes nothing, since nobody reads the body then.
    pub(crate) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ends = match &self.content {
            Content::Own(_) => Instant::now() + OWN_ANSWER_TIME,
            Content::Forwarded(answer) => {
                if answer.poll_cut(cx).is_ready() {
                    return Poll::Ready(());
                }
                match answer.ends() {
                    Some(ends) => ends,
                    None => return Poll::Pending,
                }
            }
        };
        let sleep = || Box::pin(sleep_until(ends));
        self.end.get_or_insert_with(sleep).as_mut().poll(cx)
    }

    /// The upgraded connection, when the API server's answer was 101, and what must be held as long as it is used.
    pub(crate) fn into_upgraded(self) -> Option<(Upgraded, (Hold, Flight))> {
        match self.content {
            Content::Own(_) => None,
            Content::Forwarded(answer) => {
                let (upgraded, hold) = answer.into_upgraded()?;
                Some((upgraded, (hold, self.flight)))
            }
        }
    }
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
        match &mut self.get_mut().content {
            Content::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Content::Forwarded(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(body) => body.is_end_stream(),
            Content::Forwarded(body) => body.is_end_stream(),
        }
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
        };
        let mut within = async |time| {
            let cut = poll_fn(|cx| body.poll_cut(cx));
            timeout(time, cut).await.is_ok()
        };
        assert!(!within(OWN_ANSWER_TIME - Duration::from_millis(10)).await);
        assert!(within(Duration::from_millis(20)).await);
    }
}
