//! One request and its answer, whole and in memory.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::body::{self, Body};

/// A request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn new(head: &http::request::Parts, body: Bytes) -> Self {
        Self {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: parameters(head.uri.query().unwrap_or_default()),
            headers: head.headers.clone(),
            body,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token of `Authorization: Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.authorization("bearer")
    }

    /// Name and password of `Authorization: Basic`.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let pair = STANDARD.decode(self.authorization("basic")?).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (name, password) = pair.split_once(':')?;
        Some((name.to_owned(), password.to_owned()))
    }

    /// A personal access token, in one of two headers.
    pub(super) fn personal_token(&self) -> Option<&str> {
        self.header("private-token").or_else(|| self.bearer())
    }

    fn authorization(&self, scheme: &str) -> Option<&str> {
        let (shown, credential) = self.header("authorization")?.split_once(' ')?;
        shown.eq_ignore_ascii_case(scheme).then_some(credential)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The segments of the path, decoded.
    pub(super) fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .map(|segment| decoded(segment).into_owned())
            .collect()
    }

    /// The body's members, when it is a JSON object.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let [name, value] = [name, value].map(|text| text.replace('+', " "));
            (decoded(&name).into_owned(), decoded(&value).into_owned())
        })
        .collect()
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        Self {
            status,
            headers: vec![(header::CONTENT_TYPE, content_type)],
            body: body.into(),
        }
    }

    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub(super) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// GitLab's usual form of an error.
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    pub(super) fn unauthorized() -> Self {
        Self::error(StatusCode::UNAUTHORIZED, "401 Unauthorized")
    }

    /// A token that is good for other things than these.
    pub(super) fn insufficient_scope(scopes: &[&str]) -> Self {
        let answer = json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": scopes.join(" "),
        });
        Self::json(StatusCode::FORBIDDEN, &answer)
    }

    pub(super) fn not_found(what: &str) -> Self {
        let message = match what {
            "" => "404 Not Found".to_owned(),
            what => format!("404 {what} Not Found"),
        };
        Self::error(StatusCode::NOT_FOUND, &message)
    }

    /// A parameter that is missing or wrong.
    pub(super) fn bad_parameter(what: &str) -> Self {
        Self::json(StatusCode::BAD_REQUEST, &json!({ "error": what }))
    }

    /// GitLab fell over.
    pub(super) fn failure() -> Self {
        Self::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "500 Internal Server Error",
        )
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header's value");
        self.headers.push((name, value));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(body::full(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}
