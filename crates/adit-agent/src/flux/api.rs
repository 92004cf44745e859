//! The agent's own objects in the cluster, read and written as JSON, with the agent's own credentials. Called by everything in `flux`.
//! Invariant: an answer is read to a bound, and no call but a watch lasts longer than [`PATIENCE`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::kube::{AnswerBody, CallError, Kube};

/// The API server, for the agent itself.
#[derive(Clone, Debug)]
pub(super) struct Api(Arc<Kube>);

/// How a document is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// As a new object.
    Create,
    /// In the place of what is there.
    Replace,
    /// As the fields that the agent answers for.
    Apply,
}

/// Why there is no use in an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the API server answers {0}: {1}")]
    Status(StatusCode, String),
    #[error("the API server's answer broke off, or is too long")]
    Broken,
    #[error("the API server's answer cannot be used")]
    Unusable(#[from] serde_json::Error),
    #[error("an object's name makes no path")]
    Target,
}

impl Api {
    pub(super) const fn new(kube: Arc<Kube>) -> Self {
        Self(kube)
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, target: &str) -> Result<T, ApiError> {
        self.ask(Method::GET, target, HeaderMap::new(), None).await
    }

    /// Gives the object as it is then.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        how: Write,
        target: &str,
        document: &Value,
    ) -> Result<T, ApiError> {
        let (method, media_type) = match how {
            Write::Create => (Method::POST, "application/json"),
            Write::Replace => (Method::PUT, "application/json"),
            // JSON is YAML.
            Write::Apply => (Method::PATCH, "application/apply-patch+yaml"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        let document = Bytes::from(document.to_string());
        self.ask(method, target, headers, Some(document)).await
    }

    /// What comes of a watch.
    pub(super) async fn watch(&self, target: &str) -> Result<AnswerBody, ApiError> {
        let sent = self.send(Method::GET, target, HeaderMap::new(), None);
        let (status, body) = timeout(PATIENCE, sent)
            .await
            .map_err(|_| ApiError::Late)??;
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(status, &whole(body).await.unwrap_or_default()))
    }

    /// Posts to something that the API server passes on to, and gives its status.
    pub(super) async fn post(
        &self,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<StatusCode, ApiError> {
        let sent = self.send(Method::POST, target, headers, Some(body));
        let (status, _) = timeout(PATIENCE, sent)
            .await
            .map_err(|_| ApiError::Late)??;
        Ok(status)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        document: Option<Bytes>,
    ) -> Result<T, ApiError> {
        let asked = async {
            let (status, body) = self.send(method, target, headers, document).await?;
            let body = whole(body).await?;
            if status.is_success() {
                return Ok(serde_json::from_slice(&body)?);
            }
            Err(refused(status, &body))
        };
        timeout(PATIENCE, asked).await.map_err(|_| ApiError::Late)?
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        document: Option<Bytes>,
    ) -> Result<(StatusCode, AnswerBody), ApiError> {
        let target = PathAndQuery::try_from(target).map_err(|_| ApiError::Target)?;
        let answer = self.0.send(method, target, headers, document).await?;
        Ok((answer.status(), answer.into_body()))
    }
}

impl ApiError {
    /// Whether the API server gave this status.
    pub(super) fn is(&self, status: StatusCode) -> bool {
        matches!(self, Self::Status(given, _) if *given == status)
    }
}

async fn whole(body: AnswerBody) -> Result<Bytes, ApiError> {
    let whole = Limited::new(body, MAX_BYTES).collect().await;
    whole
        .map(|body| body.to_bytes())
        .map_err(|_| ApiError::Broken)
}

fn refused(status: StatusCode, body: &[u8]) -> ApiError {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = told.get("message").and_then(Value::as_str);
    let message = message.unwrap_or("nothing that is a Status");
    ApiError::Status(status, message.to_owned())
}

/// Of one answer: a page of objects, which have seldom more than 10 KiB each.
const MAX_BYTES: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(15);
