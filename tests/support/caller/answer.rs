//! A whole answer, read in the two ways that scenarios ask about: as an echo of what reached the API server, or as a refusal
//! of the relay's own.

use adit_proto::kubernetes as wire;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Raw, within};

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// Reads the body to its end.
    ///
    /// # Errors
    ///
    /// It broke off.
    pub async fn of(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }

    /// The next one on a connection by hand. It must come, and say its length.
    pub async fn read<IO: AsyncRead + AsyncWrite + Unpin>(connection: &mut Raw<IO>) -> Self {
        let (status, head, body) = within("an answer", connection.answer()).await.unwrap();
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let headers = fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Self {
            status: status.try_into().unwrap(),
            version: Version::HTTP_11,
            headers: headers.collect(),
            body: body.into(),
            trailers: None,
        }
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What an echo says came, unless the relay answered itself.
    ///
    /// # Panics
    ///
    /// When it is no echo.
    pub fn echo(&self) -> Echo {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        Echo(self.json())
    }

    /// The relay's own answer.
    ///
    /// # Panics
    ///
    /// When it is not one.
    #[must_use]
    pub fn refused(&self) -> Refused {
        Refused::of(self)
    }
}

/// The next piece of an answer under way, which must come.
///
/// # Panics
///
/// When the answer ends, or trailers come.
pub async fn next_piece(answer: &mut Response<Incoming>) -> Bytes {
    let frame = within("more of an answer", answer.body_mut().frame()).await;
    frame.unwrap().unwrap().into_data().unwrap()
}

/// How an answer under way breaks off, which it must.
///
/// # Panics
///
/// When it looks complete.
pub async fn breaks_off(answer: Response<Incoming>) -> hyper::Error {
    within("the end of an answer", Answer::of(answer))
        .await
        .expect_err("it must not look complete")
}

/// A request as the API server got it.
#[derive(Clone, Debug)]
pub struct Echo(pub Value);

impl Echo {
    #[must_use]
    pub fn target(&self) -> &str {
        self.0["target"].as_str().unwrap()
    }

    #[must_use]
    pub fn body(&self) -> &str {
        self.0["body"].as_str().unwrap()
    }

    /// Values of a header, in order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        Self::values_of(&self.0["headers"], name)
    }

    /// Values of a trailer, in order.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Vec<&str> {
        Self::values_of(&self.0["trailers"], name)
    }

    fn values_of<'a>(fields: &'a Value, name: &str) -> Vec<&'a str> {
        let fields = fields.as_array().map(Vec::as_slice).unwrap_or_default();
        fields
            .iter()
            .filter(|field| field[0] == name)
            .filter_map(|field| field[1].as_str())
            .collect()
    }
}

/// A Kubernetes `Status` that the relay made, in JSON or in protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub reason: String,
    pub hop: String,
    pub message: String,
    pub request_id: String,
    /// Of the header.
    pub retry_after: Option<u32>,
}

impl Refused {
    /// What programs go by: status, reason, the hop that failed, and when to come back.
    #[must_use]
    pub fn told(&self) -> (u16, &str, &str, Option<u32>) {
        (self.status, &self.reason, &self.hop, self.retry_after)
    }

    fn of(answer: &Answer) -> Self {
        let status = status_object(answer);
        assert_eq!(
            (&status["kind"], &status["apiVersion"], &status["status"]),
            (&"Status".into(), &"v1".into(), &"Failure".into())
        );
        assert_eq!(status["code"], answer.status.as_u16());
        let cause = |name: &str| {
            let causes = status["details"]["causes"].as_array().unwrap();
            let found = causes.iter().find(|cause| cause["reason"] == name).unwrap();
            found["message"].as_str().unwrap().to_owned()
        };
        assert_eq!(answer.headers["x-request-id"], cause("AditRequestId"));
        let retry_after = answer
            .headers
            .get(header::RETRY_AFTER)
            .map(|value| value.to_str().unwrap().parse().unwrap());
        assert_eq!(
            status["details"]["retryAfterSeconds"].as_u64(),
            retry_after.map(u64::from)
        );
        Self {
            status: answer.status.as_u16(),
            reason: cause("AditReason"),
            hop: cause("AditHop"),
            message: status["message"].as_str().unwrap().to_owned(),
            request_id: cause("AditRequestId"),
            retry_after,
        }
    }
}

/// The `Status` in the body, in whichever form the `Content-Type` says.
fn status_object(answer: &Answer) -> Value {
    if answer.headers[header::CONTENT_TYPE] != PROTOBUF {
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
        return answer.json();
    }
    let envelope = answer.body.strip_prefix(b"k8s\0").unwrap();
    let envelope = wire::Unknown::decode(envelope).unwrap();
    let type_meta = envelope.type_meta.unwrap();
    let status = wire::Status::decode(envelope.raw).unwrap();
    let details = status.details.unwrap();
    let causes = details.causes.iter();
    json!({
        "kind": type_meta.kind,
        "apiVersion": type_meta.api_version,
        "status": status.status,
        "message": status.message,
        "reason": status.reason,
        "details": {
            "causes": causes.map(|cause| json!({ "reason": cause.reason, "message": cause.message })).collect::<Vec<_>>(),
            "retryAfterSeconds": Some(details.retry_after_seconds).filter(|seconds| *seconds > 0),
        },
        "code": status.code,
    })
}

/// What typed clients ask for.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
