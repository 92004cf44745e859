//! Asks the API server for its version: told to the relay when a tunnel opens, and a first sign in the log of whether the
//! API server can be reached at all. Called by [`crate::agent`]; nothing is decided by it.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Limited};

use super::{Call, CallError, Expectation, Kube, Window};

#[derive(serde::Deserialize)]
struct Version {
    #[serde(rename = "gitVersion")]
    git_version: String,
}

impl Kube {
    /// Such as `v1.37.0`; `None` if the answer says nothing of the kind. As the agent itself, without impersonation.
    ///
    /// # Errors
    /// The API server cannot be called. An answer that is no version is none.
    pub(crate) async fn version(&self) -> Result<Option<String>, CallError> {
        let target = PathAndQuery::from_static("/version");
        let call = Call {
            method: Method::GET,
            target,
            headers: HeaderMap::new(),
        };
        let answer = self
            .call(
                self.lease(Window::Wide).await?,
                call,
                None,
                Expectation::None,
                |_, _| {},
            )
            .await?;
        if !answer.response.status().is_success() {
            return Ok(None);
        }
        let body = Limited::new(answer.response.into_body(), MAX_BYTES)
            .collect()
            .await;
        Ok(body.ok().and_then(|body| read(&body.to_bytes())))
    }
}

fn read(body: &Bytes) -> Option<String> {
    let version: Version = serde_json::from_slice(body).ok()?;
    Some(version.git_version).filter(|version| version.len() <= 64 && version.is_ascii())
}

const MAX_BYTES: usize = 64 << 10;
