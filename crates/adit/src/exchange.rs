//! One request and its whole answer, on a connection of its own that is dialled as an agent's are. Called for `adit kubeconfig` and by
//! the doctor.
//!
//! The invariant: it waits for nobody longer than [`DEADLINE`], and reads no more than [`MAX_BYTES`].

use std::pin::pin;
use std::time::Duration;

use adit_agent::dial::{DialError, Dialled, Dialler};
use adit_process::tls::H2;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// A peer's whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the connection broke before the answer")]
    Http(#[from] hyper::Error),
    #[error("there was no answer within {} s", DEADLINE.as_secs())]
    Late,
    #[error("the answer broke off, or is longer than {MAX_BYTES} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends the request, whose URI is a whole one.
pub(crate) async fn exchange(
    dialler: &Dialler,
    request: Request<Full<Bytes>>,
) -> Result<Answer, NoAnswer> {
    let dialled = dialler.dial().await?;
    // Boxed: a connection's whole state is in it.
    Box::pin(in_time(send(dialled, request))).await
}

/// Holds an exchange to the deadline.
pub(crate) async fn in_time<T>(
    exchange: impl Future<Output = Result<T, NoAnswer>>,
) -> Result<T, NoAnswer> {
    let answered = tokio::time::timeout(DEADLINE, exchange).await;
    answered.unwrap_or(Err(NoAnswer::Late))
}

async fn send(dialled: Dialled, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
    if speaks_http2(&dialled) {
        let io = TokioIo::new(dialled.wire);
        let (mut sender, driver) = http2::handshake(TokioExecutor::new(), io).await?;
        let asking = async { whole(sender.send_request(request).await?).await };
        return beside(driver, asking).await;
    }
    let (mut sender, driver) = http1::handshake(TokioIo::new(dialled.wire)).await?;
    let request = in_origin_form(request);
    let asking = async { whole(sender.send_request(request).await?).await };
    beside(driver, asking).await
}

/// The whole of an answer.
pub(crate) async fn whole(
    response: http::Response<hyper::body::Incoming>,
) -> Result<Answer, NoAnswer> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.map_err(NoAnswer::Body)?.to_bytes(),
    })
}

/// As HTTP/1.1 has it: the target in its first line, the authority in `Host`.
pub(crate) fn in_origin_form<B>(mut request: Request<B>) -> Request<B> {
    let authority = request.uri().authority().map(ToString::to_string);
    if let Some(host) = authority.and_then(|host| HeaderValue::try_from(host).ok()) {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(target) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(target);
    }
    request
}

/// Whether HTTP/2 got through. kubectl does without, an agent does not.
pub(crate) fn speaks_http2(dialled: &Dialled) -> bool {
    dialled.alpn.as_deref() == Some(H2)
}

/// Runs a connection beside the work on it, which goes on when the connection has ended: what came before may be unread.
pub(crate) async fn beside<T>(driver: impl Future, work: impl Future<Output = T>) -> T {
    let (mut driver, mut work) = (pin!(driver), pin!(work));
    tokio::select! {
        biased;
        done = &mut work => done,
        _ = &mut driver => work.await,
    }
}

/// Longer than the relay waits for an agent that is on its way back.
const DEADLINE: Duration = Duration::from_secs(20);
/// A list of ten thousand agents.
const MAX_BYTES: usize = 4 * 1024 * 1024;
