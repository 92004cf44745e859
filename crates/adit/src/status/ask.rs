//! Asks a relay's private port for its status.

use std::error::Error;
use std::time::Duration;

use adit_process::Exit;
use adit_relay::status::Report;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::kubernetes_status::printable;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("`{0}` is no address: a host and a port are wanted, such as 127.0.0.1:8151")]
    Address(String),
    #[error("the token holds a character that no token has")]
    Token,
    #[error("it cannot be reached: is it running, and is this its `admin.address`?")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("it did not answer within {} s", DEADLINE.as_secs())]
    Late,
    #[error("it answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("its answer broke off, or is longer than {MOST_BYTES} bytes")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    #[error("its answer is no status: is this the private port of an adit relay?")]
    Answer(#[source] serde_json::Error),
}

impl AskError {
    /// The code to end with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Address(_) | Self::Token => Exit::BadConfig,
            Self::Unreachable(_) | Self::Late => Exit::Unavailable,
            Self::Refused {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                ..
            } => Exit::NotPermitted,
            Self::Refused { .. } | Self::Body(_) | Self::Answer(_) => Exit::Failed,
        }
    }
}

/// One question, one answer.
pub(super) async fn report(
    address: &str,
    token: Option<&SecretString>,
) -> Result<Report, AskError> {
    let asked = async {
        let request = request(address, token)?;
        let http = Client::builder(TokioExecutor::new()).build_http();
        let answer = http.request(request).await.map_err(AskError::Unreachable)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(AskError::Body)?.to_bytes();
        if status != StatusCode::OK {
            return Err(AskError::Refused {
                status,
                message: printable(String::from_utf8_lossy(&body).trim_end()),
            });
        }
        serde_json::from_slice(&body).map_err(AskError::Answer)
    };
    timeout(DEADLINE, asked)
        .await
        .unwrap_or(Err(AskError::Late))
}

fn request(address: &str, token: Option<&SecretString>) -> Result<Request<Empty<Bytes>>, AskError> {
    let mut request = Request::get(format!("http://{address}/status"))
        .body(Empty::new())
        .map_err(|_| AskError::Address(address.to_owned()))?;
    if request.uri().port_u16().is_none() {
        return Err(AskError::Address(address.to_owned()));
    }
    if let Some(token) = token {
        let text = format!("Bearer {}", token.expose_secret());
        let mut value = HeaderValue::try_from(text).map_err(|_| AskError::Token)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

const DEADLINE: Duration = Duration::from_secs(10);
/// A thousand agents and a thousand streams take less than half of it.
const MOST_BYTES: usize = 4 << 20;
