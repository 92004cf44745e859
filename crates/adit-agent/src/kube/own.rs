//! What the agent asks the API server for itself, without impersonation: its version, which is told to the relay when a tunnel opens
//! and is a first sign in the log of whether the API server can be reached at all; and for `adit doctor` who the agent is and what
//! it may. Nothing is decided by it, and nothing that comes out of a tunnel is asked here.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, Limited};

use super::{Call, CallError, Expectation, Kube, RequestBody, Window};

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
        let (status, body) = self.ask("/version", None).await?;
        Ok(read(&body).filter(|_| status.is_success()))
    }

    /// Status and body of the answer to a GET, or with a document to a POST of it. A body that breaks off, or is too long, is
    /// taken for an empty one.
    ///
    /// # Errors
    /// The API server cannot be called.
    pub(crate) async fn ask(
        &self,
        target: &'static str,
        document: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let (mut headers, mut method) = (HeaderMap::new(), Method::GET);
        if document.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
            method = Method::POST;
        }
        let call = Call {
            method,
            target: PathAndQuery::from_static(target),
            headers,
        };
        let lease = self.lease(Window::Wide).await?;
        let body = document.map(whole);
        let answer = self
            .call(lease, call, body, Expectation::None, |_, _| {})
            .await?;
        let status = answer.response.status();
        let body = Limited::new(answer.response.into_body(), MAX_BYTES)
            .collect()
            .await;
        Ok((status, body.map(Collected::to_bytes).unwrap_or_default()))
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
