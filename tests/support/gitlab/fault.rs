//! Faults on order: what an endpoint does instead of its work, or with its answer. Ordered by tests, looked at for each request.

use std::{io, time::Duration};

use futures_util::{StreamExt, stream};
use http::{HeaderName, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{call::Answer, endpoint::Endpoint, jwt};
use crate::body::{self, Body};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The true answer, after so many milliseconds.
    SlowMillis(u64),
    /// No answer until the caller gives up.
    Hang,
    /// The connection is closed without an answer.
    HangUp,
    /// This status with a body in GitLab's form.
    Status(u16),
    /// 429 with `Retry-After` and `RateLimit-*`, for so many seconds.
    TooManyRequests { retry_after: u64 },
    /// The page of a proxy in front of GitLab, with status 200.
    Garbage,
    /// The true answer, in which text became numbers, numbers text, lists objects.
    WrongTypes,
    /// Half of the true answer; then the connection breaks.
    HalfAnswer,
}

/// The orders. The first that fits is carried out.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Order>>);

#[derive(Debug)]
struct Order {
    /// `None`: all.
    endpoint: Option<Endpoint>,
    fault: Fault,
    /// How often yet; `None`: until it is taken back.
    left: Option<usize>,
}

impl Faults {
    /// Until [`Faults::clear`].
    pub fn set(&self, endpoint: Endpoint, fault: Fault) {
        self.order(Some(endpoint), fault, None);
    }

    /// At every endpoint, until [`Faults::clear`].
    pub fn set_everywhere(&self, fault: Fault) {
        self.order(None, fault, None);
    }

    /// For the next so many requests.
    pub fn times(&self, endpoint: Endpoint, fault: Fault, count: usize) {
        self.order(Some(endpoint), fault, Some(count));
    }

    /// All is well again.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    fn order(&self, endpoint: Option<Endpoint>, fault: Fault, left: Option<usize>) {
        let mut orders = self.0.lock();
        orders.push(Order {
            endpoint,
            fault,
            left,
        });
    }

    pub(super) fn next(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut orders = self.0.lock();
        orders.retain(|order| order.left != Some(0));
        let order = orders
            .iter_mut()
            .find(|order| order.endpoint.is_none_or(|of| of == endpoint))?;
        order.left = order.left.map(|left| left - 1);
        Some(order.fault)
    }
}

/// The connection is to be closed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("hung up on purpose")]
pub(super) struct HungUp;

impl Fault {
    /// What comes of a request to which `answer` is the true answer.
    pub(super) async fn apply(
        self,
        answer: impl FnOnce() -> Answer,
    ) -> Result<Response<Body>, HungUp> {
        Ok(match self {
            Self::SlowMillis(millis) => {
                sleep(Duration::from_millis(millis)).await;
                answer().into_response()
            }
            Self::Hang => std::future::pending().await,
            Self::HangUp => return Err(HungUp),
            Self::Status(status) => failed(status).into_response(),
            Self::TooManyRequests { retry_after } => limited(retry_after).into_response(),
            Self::Garbage => Answer::new(StatusCode::OK, "text/html", PAGE).into_response(),
            Self::WrongTypes => wrong(answer()).into_response(),
            Self::HalfAnswer => half(answer()),
        })
    }
}

const PAGE: &str = "<!DOCTYPE html><html><head><title>Deploy in progress</title></head></html>";

fn failed(status: u16) -> Answer {
    let status = StatusCode::from_u16(status).expect("an HTTP status");
    let reason = status.canonical_reason().unwrap_or_default();
    Answer::error(status, &format!("{} {reason}", status.as_u16()))
}

fn limited(retry_after: u64) -> Answer {
    let answer = Answer::new(StatusCode::TOO_MANY_REQUESTS, "text/plain", "Retry later\n");
    let seconds = retry_after.to_string();
    let reset = (jwt::now() + retry_after).to_string();
    [
        ("ratelimit-limit", "60"),
        ("ratelimit-name", "throttle_unauthenticated_api"),
        ("ratelimit-observed", "61"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", &reset),
    ]
    .into_iter()
    .fold(answer, |answer, (name, value)| {
        answer.with(HeaderName::from_static(name), value)
    })
    .with(header::RETRY_AFTER, &seconds)
}

fn wrong(answer: Answer) -> Answer {
    let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    Answer::json(answer.status, &wrongly_typed(&value))
}

fn wrongly_typed(value: &Value) -> Value {
    match value {
        Value::Null => json!([]),
        Value::Bool(is_so) => json!(is_so.to_string()),
        Value::Number(number) => json!(format!("number {number}")),
        Value::String(text) => json!(text.len()),
        Value::Array(items) => json!({ "items": items }),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), wrongly_typed(value)))
            .collect(),
    }
}

/// The head promises the whole.
fn half(answer: Answer) -> Response<Body> {
    let whole = answer.body.clone();
    let total = whole.len() as u64;
    let first = Frame::data(whole.slice(..whole.len() / 2));
    // A pause has the first half sent.
    let then = async {
        tokio::task::yield_now().await;
        Err(io::Error::other("broken off on purpose"))
    };
    let cut = stream::iter([Ok(first)]).chain(stream::once(then));
    let mut response = answer.into_response();
    let cut = StreamBody::new(cut).boxed_unsync();
    *response.body_mut() = body::of_known_length(cut, total);
    response
}
