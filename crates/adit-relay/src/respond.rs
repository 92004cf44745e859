//! Decides how a [`Refusal`] looks on the wire: always a Kubernetes `Status`, so that kubectl prints its message.
//!
//! The only file that makes a body of the relay's own for a Kubernetes client. Invariant: nothing in the answer depends
//! on what the caller is not allowed to know; the message comes from the refusal alone.

use adit_proto::kubernetes as wire;
use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WARNING, WWW_AUTHENTICATE},
};
use http_body_util::Full;
use prost::Message as _;
use serde::Serialize;

use crate::{call::RequestId, refusal::Refusal};

/// Header with the request's id, in every answer of the relay's own.
pub(crate) const REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// By which GitLab's pages and tools tell a 401 of the relay's from the cluster's own.
pub(crate) const UNAUTHORIZED: http::HeaderName =
    http::HeaderName::from_static("gitlab-unauthorized");
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// The parameter by which a client asks for the list of all that is served, since Kubernetes 1.26.
const DISCOVERY: &str = "as=APIGroupDiscoveryList";
/// What every protobuf object of Kubernetes begins with.
const PROTOBUF_MAGIC: &[u8] = b"k8s\0";

/// In which form a client wants a `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The default.
    Json,
    /// `application/vnd.kubernetes.protobuf`, what typed clients prefer.
    Protobuf,
    /// JSON for client-go that asks what the cluster serves, kubectl's first request of all. It throws away the body of
    /// an error there and says only that "the server is currently unable to handle the request", but it prints a
    /// `Warning`: so the message stands there, too.
    Discovery,
}

impl Format {
    /// The first of the two that `Accept` names; weights are not read, Kubernetes clients list by preference.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let ranges = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        for range in ranges {
            let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
            match media_type.trim() {
                PROTOBUF => return Self::Protobuf,
                JSON if parameters
                    .split(';')
                    .any(|parameter| parameter.trim() == DISCOVERY) =>
                {
                    return Self::Discovery;
                }
                JSON => return Self::Json,
                _ => {}
            }
        }
        Self::Json
    }
}

/// The answer for `refusal`.
pub(crate) fn respond(
    refusal: &Refusal,
    request: &RequestId,
    format: Format,
) -> Response<Full<Bytes>> {
    let facts = refusal.facts();
    let status = Status::of(refusal, request);
    let (content_type, body) = match format {
        Format::Json | Format::Discovery => (JSON, status.to_json()),
        Format::Protobuf => (PROTOBUF, status.to_protobuf()),
    };
    let length = body.len();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = facts.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Said here, because the answer to HEAD has it too, and no body.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(REQUEST_ID, request.to_header());
    if facts.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        headers.insert(UNAUTHORIZED, HeaderValue::from_static("true"));
    }
    if let Some(seconds) = facts.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if format == Format::Discovery
        && let Some(warning) = warning(refusal)
    {
        headers.insert(WARNING, warning);
    }
    response
}

/// Code 299 is what Kubernetes uses (RFC 7234 section 5.5, a quoted string). Without the request's id: kubectl asks five
/// times and prints a text once. `None` for a text that no field can hold, which then stands in the body alone.
fn warning(refusal: &Refusal) -> Option<HeaderValue> {
    let text = format!("adit: {refusal} ({hop})", hop = refusal.facts().hop);
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::try_from(format!("299 - \"{quoted}\"")).ok()
}

/// Kubernetes' `meta/v1.Status`, as far as a refusal fills it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: String,
    reason: &'static str,
    details: Details,
    code: u16,
}

#[derive(Debug, Serialize)]
struct Empty {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    causes: [Cause; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Cause {
    reason: &'static str,
    message: String,
}

impl Status {
    fn of(refusal: &Refusal, request: &RequestId) -> Self {
        let facts = refusal.facts();
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: Empty {},
            status: "Failure",
            message: format!(
                "adit: {refusal} ({hop}, request {request})",
                hop = facts.hop
            ),
            reason: status_reason(facts.status),
            details: Details {
                causes: [
                    Cause {
                        reason: "AditReason",
                        message: facts.reason.to_owned(),
                    },
                    Cause {
                        reason: "AditHop",
                        message: facts.hop.to_string(),
                    },
                    Cause {
                        reason: "AditRequestId",
                        message: request.to_string(),
                    },
                ],
                retry_after_seconds: facts.retry_after,
            },
            code: facts.status.as_u16(),
        }
    }

    fn to_json(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("strings and numbers always serialise")
            .into()
    }

    fn to_protobuf(&self) -> Bytes {
        let causes = self.details.causes.iter().map(|cause| wire::StatusCause {
            reason: cause.reason.to_owned(),
            message: cause.message.clone(),
            field: String::new(),
        });
        let status = wire::Status {
            metadata: Some(wire::ListMeta {}),
            status: self.status.to_owned(),
            message: self.message.clone(),
            reason: self.reason.to_owned(),
            details: Some(wire::StatusDetails {
                causes: causes.collect(),
                retry_after_seconds: self.details.retry_after_seconds.map_or(0, u32::cast_signed),
                ..wire::StatusDetails::default()
            }),
            code: i32::from(self.code),
        };
        let envelope = wire::Unknown {
            type_meta: Some(wire::TypeMeta {
                api_version: self.api_version.to_owned(),
                kind: self.kind.to_owned(),
            }),
            raw: status.encode_to_vec().into(),
            ..wire::Unknown::default()
        };
        let mut bytes = BytesMut::with_capacity(PROTOBUF_MAGIC.len() + envelope.encoded_len());
        bytes.put_slice(PROTOBUF_MAGIC);
        envelope.encode(&mut bytes).expect("a BytesMut grows");
        bytes.freeze()
    }
}

/// Kubernetes' own word for a status; clients such as client-go decide by it.
fn status_reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        429 => "TooManyRequests",
        431 => "RequestEntityTooLarge",
        502 | 503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}

#[cfg(test)]
mod tests;
