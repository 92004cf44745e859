//! Decides nothing itself: it takes a request through the stages and hands back an answer, the API server's or ours.
//!
//! Both fronts (`front_door/http1.rs`, `front_door/http2.rs`) call [`Handler::answer`]; [`Handler::handle`] is the walk
//! that the crate's documentation tells. Invariant: every request leaves with an answer, a log line and a count.

use std::{
    fmt::{self, Display},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use adit_exchange::Upgraded;
use adit_tunnel::StreamError;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    authenticate::{Authenticate, Bearer},
    authorise::Authorise,
    contexts,
    forward::{Errand, Forward, Forwarded, Hold},
    in_flight::{Flight, InFlight},
    metrics::{Metrics, Outcome},
    refusal::Refusal,
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
    pub(crate) async fn answer<B>(&self, mut request: Request<B>, call: &Call<'_>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Display,
    {
        let format = Format::wanted(request.headers());
        let method = request.method().clone();
        let flight = self.in_flight.begin();
        let running = self.metrics.running();
        let answer = match Purpose::of(std::mem::take(request.uri_mut())) {
            _ if method == Method::CONNECT => Err(Refusal::BadMethod(
                "the relay opens no connections for a caller",
            )),
            Ok(Purpose::Kubernetes(target)) => self
                .handle(request, target, call)
                .await
                .map(|answer| answer.map(Content::Forwarded)),
            Ok(Purpose::Contexts) => self
                .contexts(&request, call)
                .await
                .map(|answer| answer.map(Content::Own)),
            Err(refusal) => Err(refusal),
        };
        self.metrics
            .stages
            .answer
            .observe(call.began.elapsed().as_secs_f64());
        let answer = match answer {
            Ok(answer) => {
                running.ended(Outcome::Answered);
                tracing::debug!(request.id = %call.id, client.addr = %call.connection.client, http.method = %method, http.status = answer.status().as_u16(), "answered");
                answer
            }
            Err(refusal) => {
                running.ended(Outcome::Refused);
                self.refuse(&refusal, &method, format, call)
            }
        };
        answer.map(|content| Body { content, flight })
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
        let permit = self.authorise.permit(&bearer, &target)?;
        let place = self.route.tunnel(&permit).await?;
        self.forward
            .request(
                place,
                &Errand {
                    bearer,
                    permit,
                    target,
                },
                request,
                call,
            )
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
        tracing::info!(
            request.id = %call.id,
            client.addr = %call.connection.client,
            http.method = %method,
            http.status = facts.status.as_u16(),
            refusal = facts.reason,
            detail = refusal.detail(),
            error = %refusal,
            "refused"
        );
        let mut answer = respond(refusal, &call.id, format);
        if *method == Method::HEAD {
            *answer.body_mut() = Full::default();
        }
        answer.map(Content::Own)
    }
}

/// What a front knows of a request besides the request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) id: RequestId,
    pub(crate) began: Instant,
    pub(crate) connection: &'a Connection,
    /// Where informational answers go, if the front can send them.
    pub(crate) early: Option<&'a Early>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(connection: &'a Connection, early: Option<&'a Early>) -> Self {
        Self {
            id: RequestId::new(),
            began: Instant::now(),
            connection,
            early,
        }
    }
}

/// One client connection, as far as the stages care.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: SocketAddr,
    /// The last credential that was verified here; see `authenticate.rs`.
    pub(crate) bearer: Mutex<Option<Arc<Bearer>>>,
}

impl Connection {
    pub(crate) fn new(client: SocketAddr) -> Self {
        Self {
            client,
            bearer: Mutex::new(None),
        }
    }
}

/// Names one request in answers, in both ends' logs and in the API server's audit log: 16 hexadecimal digits, random.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    pub(crate) fn new() -> Self {
        let digit = |random: u8| match random & 0xf {
            small @ 0..10 => b'0' + small,
            large => b'a' + large - 10,
        };
        Self(rand::random::<[u8; 16]>().map(digit))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }

    pub(crate) fn to_header(self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).expect("hexadecimal digits are visible ASCII")
    }
}

impl Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// Informational answers (RFC 9110 section 15.2) on their way to a client that can take them before the final one.
///
/// Filled while a request is driven and emptied by the front right after, in the same task. An agent that sends more than
/// [`Early::MOST`] before the front comes round loses the rest: they are hints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early(Arc<Mutex<Vec<(StatusCode, HeaderMap)>>>);

impl Early {
    const MOST: usize = 8;

    pub(crate) fn push(&self, status: StatusCode, headers: HeaderMap) {
        let mut waiting = self.0.lock();
        if waiting.len() < Self::MOST {
            waiting.push((status, headers));
        }
    }

    pub(crate) fn sink(&self) -> impl FnMut(StatusCode, HeaderMap) + Send + 'static {
        let early = self.clone();
        move |status, headers| early.push(status, headers)
    }

    pub(crate) fn take(&self) -> Vec<(StatusCode, HeaderMap)> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// The body of any answer; as long as it lives, its exchange is in flight.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
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
