//! Decides how a request reaches the API server: which credentials it shows, over which connection it goes, and what its
//! failure is called. Called by [`crate::serve`] once per request.
//! Invariant: there is one API server, fixed at start; a request gives a target beneath it and nothing else. Answers are
//! passed on as they are: a redirect is never followed.

pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod files;
pub(crate) mod http1;
pub(crate) mod http2;
mod own;
pub(crate) mod pool;
mod presence;
mod pulse;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_process::chain;
use adit_process::metrics::Held;
use adit_tunnel::{ResetReason, StreamError};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use self::credentials::Credentials;
use self::endpoint::{Endpoint, EndpointError};
use self::files::Files;
pub(crate) use self::http1::Upgrading;
pub(crate) use self::http2::upload::{Expectation, Upload};
pub(crate) use self::http2::window::Window;
pub(crate) use self::pool::Lease;
use self::pool::Pool;
use self::presence::Presence;
use self::pulse::Pulse;
use crate::config::KubernetesConfig;
use crate::dial::DialError;
use crate::metrics::{Loss, Metrics};

/// A request's body, as it comes out of the tunnel.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, StreamError>;

/// The API server.
#[derive(Debug)]
pub(crate) struct Kube {
    endpoint: Endpoint,
    files: Files,
    credentials: Arc<Credentials>,
    pool: Pool,
    pulse: Arc<Pulse>,
    /// `None` where whoever calls tells it.
    presence: Option<Presence>,
}

/// What goes to the API server, but for its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    /// With the identity, without credentials.
    pub(crate) headers: HeaderMap,
}

/// An answer whose head has come.
pub(crate) struct Answer {
    pub(crate) response: Response<AnswerBody>,
    /// What is left of the request, over HTTP/2: poll it beside the answer's body. Over HTTP/1.1 the connection's own task
    /// sends it.
    pub(crate) upload: Option<Upload>,
}

/// An answer's body. Dropping it before its end cancels the request.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Http2(http2::exchange::Receiving),
    Http1(http1::Receiving),
}

/// Why no answer came, or not all of it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the agent cannot reach the API server")]
    Dial(#[from] DialError),
    #[error("the API server accepted a connection and then said nothing for {0:?}")]
    Mute(Duration),
    #[error("all {0} connections to the API server are full: raise kubernetes.max_connections")]
    Full(usize),
    #[error(
        "all {0} upgraded connections (exec, attach, port-forward) are taken: raise kubernetes.max_upgrades"
    )]
    ManyUpgrades(usize),
    /// Nothing of the request was acted on: it may be sent again.
    #[error("the API server is closing the connection")]
    NotTaken(#[source] Arc<h2::Error>),
    #[error("the request is none that HTTP/2 can carry")]
    Refused(#[source] Arc<h2::Error>),
    #[error("the connection to the API server {}", went(*loss))]
    Lost {
        loss: Option<Loss>,
        source: Arc<h2::Error>,
    },
    #[error("the connection to the API server was lost")]
    Http1(#[from] Arc<hyper::Error>),
    /// Told for a connection that has no pings of its own.
    #[error("the API server does not answer any more: new connections get no answer either")]
    Silent,
    #[error("the request cannot be written")]
    Unwritable(#[from] Arc<http::Error>),
}

impl Kube {
    /// Finds the API server and the credentials for it. Does not call it.
    ///
    /// # Errors
    /// The configuration of either cannot be used.
    pub(crate) async fn load(
        config: &KubernetesConfig,
        metrics: Metrics,
    ) -> Result<Self, EndpointError> {
        let kube = endpoint::find(config).await?;
        let credentials = Credentials::load(&kube, metrics.credential_failures.clone()).await?;
        let files = Files::load(&kube, &metrics)?;
        let (terms, deciding) = (config.clone(), files.clone());
        // It may run a plugin, and waits for it.
        let endpoint = move || Endpoint::new(&kube, &deciding, &terms);
        let endpoint = tokio::task::spawn_blocking(endpoint).await;
        let endpoint = endpoint.map_err(|_| EndpointError::Url)??;
        let pool = Pool::new(&endpoint, config.pool, metrics);
        let pulse = Pulse::new(&endpoint.any, config.pool);
        let presence = Some(Presence::of(endpoint.any.target()));
        Ok(Self {
            endpoint,
            files,
            credentials: Arc::new(credentials),
            pool,
            pulse,
            presence,
        })
    }

    /// The log is not told whether the API server is there.
    pub(crate) fn untold(self) -> Self {
        Self {
            presence: None,
            ..self
        }
    }

    /// For the owner to run: renews the credentials.
    pub(crate) const fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// For the owner to have them read again.
    pub(crate) const fn files(&self) -> &Files {
        &self.files
    }

    /// `host:port`, for logs.
    pub(crate) fn address(&self) -> String {
        self.endpoint.any.target()
    }

    /// Tells the log that it does not answer, unless that was told.
    pub(crate) fn is_away(&self, error: &str) {
        if let Some(presence) = &self.presence {
            presence.away(error);
        }
    }

    fn answers(&self) {
        if let Some(presence) = &self.presence {
            presence.answers();
        }
    }

    /// There is no connection, or none for one more.
    fn has_no_connection(&self, error: &CallError) {
        if !error.is_of_our_own() {
            self.is_away(&chain(error));
        }
    }

    /// On a connection: one that is lost says that it is lost, and the next how it is with the API server.
    fn has_no_answer(&self, error: &CallError) {
        if error.is_silence() {
            self.is_away(&chain(error));
        }
    }

    /// A connection with room for a request, and a window up to the one that is wished for.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(crate) async fn lease(&self, wished: Window) -> Result<Lease, CallError> {
        let leased = self.pool.lease(wished).await;
        leased.inspect_err(|error| self.has_no_connection(error))
    }

    /// Calls the API server. Resolves with the answer's head; dropping it before takes the request back.
    ///
    /// # Errors
    /// See [`CallError`]; after [`CallError::NotTaken`] the same may be tried again.
    pub(crate) async fn call(
        &self,
        lease: Lease,
        call: Call,
        body: Option<RequestBody>,
        expectation: Expectation,
        on_informational: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
    ) -> Result<Answer, CallError> {
        let is_own = answers_itself(&call.target);
        let answer = match lease {
            Lease::Http2(lease) => {
                let request = self.request_http2(call, expectation)?;
                let called =
                    http2::exchange::call(lease, request, body, expectation, on_informational);
                let called = called.await;
                let (response, upload) = called.inspect_err(|error| self.has_no_answer(error))?;
                Answer {
                    response: response.map(AnswerBody::Http2),
                    upload: Some(upload),
                }
            }
            Lease::Http1(sender, idle) => {
                let request = self.request_http1(call)?;
                // Apart: nearly every API server speaks HTTP/2.
                let listening = self.pulse.listen();
                let calling = http1::call(sender, request, body, idle, listening, on_informational);
                let called = Box::pin(calling).await;
                let response = called.inspect_err(|error| self.has_no_answer(error))?;
                Answer {
                    response: response.map(AnswerBody::Http1),
                    upload: None,
                }
            }
        };
        self.answers();
        if is_own && is_status(&answer.response, StatusCode::UNAUTHORIZED) {
            self.credentials.doubt();
        }
        Ok(answer)
    }

    /// Asks the API server to upgrade, on a connection of its own. Its place among them goes with what came of it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub(crate) async fn upgrade(
        &self,
        call: Call,
        protocols: HeaderValue,
    ) -> Result<(Upgrading, Held), CallError> {
        let fresh = self.pool.fresh_http1().await;
        let (sender, held) = fresh.inspect_err(|error| self.has_no_connection(error))?;
        let mut request = self.request_http1(call)?;
        request
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(header::UPGRADE, protocols);
        let upgrading = http1::upgrade(sender, request, self.pulse.listen()).await;
        let upgrading = upgrading.inspect_err(|error| self.has_no_answer(error))?;
        self.answers();
        Ok((upgrading, held))
    }

    fn request_http2(
        &self,
        call: Call,
        expectation: Expectation,
    ) -> Result<Request<()>, CallError> {
        let uri = self.endpoint.absolute(call.target)?;
        let mut request = self.request(call.method, uri, call.headers);
        if expectation == Expectation::Continue {
            request
                .headers_mut()
                .insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        Ok(request)
    }

    fn request_http1(&self, call: Call) -> Result<Request<()>, CallError> {
        let uri = self.endpoint.origin(call.target)?;
        let mut request = self.request(call.method, uri, call.headers);
        request
            .headers_mut()
            .insert(header::HOST, self.endpoint.host().clone());
        Ok(request)
    }

    fn request(&self, method: Method, uri: http::Uri, headers: HeaderMap) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        if let Some(authorization) = self.credentials.authorization() {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, authorization);
        }
        request
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match &mut *self {
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http2(body) => body.is_end_stream(),
            Self::Http1(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http2(body) => body.size_hint(),
            Self::Http1(body) => body.size_hint(),
        }
    }
}

impl CallError {
    /// What the relay is told.
    pub(crate) const fn reset_reason(&self) -> ResetReason {
        match self {
            Self::Dial(DialError::TimedOut { .. }) | Self::Mute(_) => ResetReason::TimedOut,
            Self::Dial(_) => ResetReason::ApiServerUnreachable,
            Self::Full(_) | Self::ManyUpgrades(_) => ResetReason::Overloaded,
            Self::NotTaken(_) | Self::Lost { .. } | Self::Http1(_) | Self::Silent => {
                ResetReason::ApiServerLost
            }
            Self::Refused(_) | Self::Unwritable(_) => ResetReason::Internal,
        }
    }
}

impl CallError {
    /// Of the agent's bounds, or of the request: says nothing of the API server.
    pub(crate) const fn is_of_our_own(&self) -> bool {
        match self {
            Self::Full(_) | Self::ManyUpgrades(_) | Self::Refused(_) | Self::Unwritable(_) => true,
            Self::Dial(_)
            | Self::Mute(_)
            | Self::NotTaken(_)
            | Self::Lost { .. }
            | Self::Http1(_)
            | Self::Silent => false,
        }
    }

    const fn is_silence(&self) -> bool {
        match self {
            Self::Dial(_) | Self::Mute(_) | Self::Silent => true,
            Self::Lost { loss, .. } => matches!(loss, Some(Loss::Silent)),
            Self::Full(_)
            | Self::ManyUpgrades(_)
            | Self::NotTaken(_)
            | Self::Refused(_)
            | Self::Http1(_)
            | Self::Unwritable(_) => false,
        }
    }
}

impl From<hyper::Error> for CallError {
    fn from(error: hyper::Error) -> Self {
        Self::Http1(Arc::new(error))
    }
}

impl From<http::Error> for CallError {
    fn from(error: http::Error) -> Self {
        Self::Unwritable(Arc::new(error))
    }
}

/// Whether the API server answers for this path by itself. Behind `proxy` stands a pod, a service or a node, whose 401 says
/// nothing about the agent. In doubt not: the credential is renewed by the clock, too.
fn answers_itself(target: &PathAndQuery) -> bool {
    let path = target.path();
    !path.contains('%') && path.split('/').all(|segment| segment != "proxy")
}

/// Whether this looks like a `Status` of the API server, in one of the forms that it writes one.
fn is_status<B>(response: &Response<B>, status: StatusCode) -> bool {
    let form = response.headers().get(header::CONTENT_TYPE);
    let form = form
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    response.status() == status && STATUS_FORMS.iter().any(|known| form.starts_with(known))
}

fn went(loss: Option<Loss>) -> &'static str {
    match loss {
        Some(Loss::Silent) => "was given up: it did not answer a ping in time",
        Some(Loss::Closed | Loss::Idle | Loss::Broken) | None => "was lost",
    }
}

/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources>
const STATUS_FORMS: [&str; 4] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
];
