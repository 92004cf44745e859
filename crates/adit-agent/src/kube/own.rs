//! What the agent asks the API server for itself, without impersonation: its version, which is told to the relay when a tunnel opens
//! and is a first sign in the log of whether the API server can be reached at all; for `adit doctor` who the agent is and what
//! it may; and what `flux` keeps in the cluster. Nothing that comes out of a tunnel's streams is asked here.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, Limited};

use super::{AnswerBody, Call, CallError, Expectation, Kube, RequestBody, Window};

#[derive(serde::Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    git_version: String,
}

impl Kube {
    /// Such as `v1.37.0`; `None` if the answer says nothing of the kind.
    ///
    /// # Errors
    /// The API server cannot be called. An answer that is no version is none.
    pub(crate) async fn version(&self) -> Result<Option<String>, CallError> {
        let (status, body) = self
            .ask(PathAndQuery::from_static("/version"), None)
            .await?;
        Ok(read(&body).filter(|_| status.is_success()))
    }

    /// Status and body of the answer to a GET, or with a document to a POST of it. A body that breaks off, or is too long, is
    /// taken for an empty one.
    ///
    /// # Errors
    /// The API server cannot be called.
    pub(crate) async fn ask(
        &self,
        target: PathAndQuery,
        document: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let method = match document {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let mut headers = HeaderMap::new();
        if document.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        let response = self.send(method, target, headers, document).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await;
        Ok((status, body.map(Collected::to_bytes).unwrap_or_default()))
    }

    /// Sends a request, and waits for the answer's head. What an API server has not looked at, because it closes the connection, is sent
    /// once more.
    ///
    /// # Errors
    /// The API server cannot be called.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: PathAndQuery,
        headers: HeaderMap,
        document: Option<Bytes>,
    ) -> Result<Response<AnswerBody>, CallError> {
        let send = async || {
            let call = Call {
                method: method.clone(),
                target: target.clone(),
                headers: headers.clone(),
            };
            let lease = self.lease(Window::wished(&target)).await?;
            let body = document.clone().map(whole);
            self.call(lease, call, body, Expectation::None, |_, _| {})
                .await
        };
        let answer = match send().await {
            Err(CallError::NotTaken(_)) => send().await,
            answer => answer,
        };
        Ok(answer?.response)
    }
}

fn whole(document: Bytes) -> RequestBody {
    Full::new(document)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn read(body: &Bytes) -> Option<String> {
    let version: Version = serde_json::from_slice(body).ok()?;
    Some(version.git_version).filter(|version| version.len() <= 64 && version.is_ascii())
}

const JSON: &str = "application/json";
const MAX_BYTES: usize = 64 << 10;
