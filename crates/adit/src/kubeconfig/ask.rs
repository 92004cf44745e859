//! Asks a relay which agents an ID token may use.
//!
//! One GET over a client of its own. The invariant: no error shows the token.

use std::error::Error;
use std::time::Duration;

use adit_process::Exit;
use adit_process::tls::{ClientTls, TlsError, TrustRoots};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::relay_url::RelayUrl;
use crate::status::Status;

/// An agent that the token may use. Fields that a newer relay adds are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reachable {
    pub(crate) id: u64,
    /// `<config project path>:<agent name>`
    pub(crate) context: String,
    #[serde(default)]
    pub(crate) default_namespace: Option<String>,
}

impl Reachable {
    pub(crate) fn new(id: u64, context: &str, namespace: Option<&str>) -> Self {
        Self {
            id,
            context: context.to_owned(),
            default_namespace: namespace.map(str::to_owned),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("its certificate cannot be checked")]
    Tls(#[from] TlsError),
    #[error("the ID token holds a character that no token has")]
    Token,
    #[error("its certificate is not believed: name its CA by --ca, or check the address")]
    Unbelieved(#[source] rustls::Error),
    #[error("it cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("it did not answer within {} s", DEADLINE.as_secs())]
    Late,
    #[error("it answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("its answer broke off, or is longer than {MAX_ANSWER_BYTES} bytes")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    #[error("its answer is not a list of agents: is this an adit relay?")]
    Answer(#[source] serde_json::Error),
}

impl AskError {
    /// The code to end with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Tls(_) | Self::Token => Exit::BadConfig,
            Self::Unbelieved(_) | Self::Unreachable(_) | Self::Late => Exit::Unavailable,
            Self::Refused { status, .. } if is_passing(*status) => Exit::TryAgain,
            Self::Refused {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                ..
            } => Exit::NotPermitted,
            Self::Refused { .. } | Self::Body(_) | Self::Answer(_) => Exit::Failed,
        }
    }

    /// A connection that failed: because of the certificate, which stays as it is, or otherwise.
    fn unreached(error: hyper_util::client::legacy::Error) -> Self {
        let first: &(dyn Error + 'static) = &error;
        let mut causes = std::iter::successors(Some(first), |cause| inner(*cause));
        let tls = causes.find_map(|cause| cause.downcast_ref::<rustls::Error>().cloned());
        if let Some(rustls::Error::InvalidCertificate(why)) = tls {
            return Self::Unbelieved(why.into());
        }
        Self::Unreachable(error)
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => is_passing(*status),
            Self::Tls(_)
            | Self::Token
            | Self::Unbelieved(_)
            | Self::Late
            | Self::Body(_)
            | Self::Answer(_) => false,
        }
    }
}

/// What is below an error. An `io::Error` gives what it wraps by another way than its source.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The agents that the token may use; asks again a few times while the relay is away or busy.
pub(super) async fn reachable(
    relay: &RelayUrl,
    token: &SecretString,
    roots: &TrustRoots,
) -> Result<Vec<Reachable>, AskError> {
    let tls = ClientTls::new(roots, &[])?;
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(rustls::ClientConfig::clone(&tls.config()))
        .https_or_http()
        .enable_all_versions()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(https);
    let mut pauses = PAUSES.into_iter();
    loop {
        let response = async {
            let response = client
                .request(request(relay, token)?)
                .await
                .map_err(AskError::unreached)?;
            read(response).await
        };
        let error = match timeout(DEADLINE, response)
            .await
            .unwrap_or(Err(AskError::Late))
        {
            Ok(agents) => return Ok(agents),
            Err(error) => error,
        };
        let Some(pause) = pauses.next().filter(|_| error.may_pass()) else {
            return Err(error);
        };
        tracing::debug!(%error, "asking again");
        sleep(pause).await;
    }
}

fn request(relay: &RelayUrl, token: &SecretString) -> Result<Request<Empty<Bytes>>, AskError> {
    let authorization = bearer(token.expose_secret()).ok_or(AskError::Token)?;
    let request = Request::get(relay.agents())
        .header(AUTHORIZATION, authorization)
        .header(ACCEPT, "application/json")
        .body(Empty::new());
    Ok(request.expect("a checked URL and fixed headers"))
}

/// An `Authorization` value that no `Debug` shows.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut authorization = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    authorization.set_sensitive(true);
    Some(authorization)
}

async fn read(response: Response<Incoming>) -> Result<Vec<Reachable>, AskError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(AskError::Body)?;
    listed(status, &body.to_bytes())
}

/// The agents that a relay's answer lists.
pub(crate) fn listed(status: StatusCode, body: &[u8]) -> Result<Vec<Reachable>, AskError> {
    #[derive(Deserialize)]
    struct Answer {
        agents: Vec<Reachable>,
    }

    if status != StatusCode::OK {
        return Err(AskError::Refused {
            status,
            message: Status::read(body).message,
        });
    }
    serde_json::from_slice::<Answer>(body)
        .map(|answer| answer.agents)
        .map_err(AskError::Answer)
}

/// For each try.
const DEADLINE: Duration = Duration::from_secs(20);
/// Between tries: long enough for a relay that is being replaced.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];
/// Ten thousand agents.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_tells_a_refused_token_from_a_busy_relay() {
        let refused = |status| AskError::Refused {
            status,
            message: String::new(),
        };
        assert_eq!(refused(StatusCode::UNAUTHORIZED).exit(), Exit::NotPermitted);
        assert_eq!(
            refused(StatusCode::SERVICE_UNAVAILABLE).exit(),
            Exit::TryAgain
        );
        assert_eq!(refused(StatusCode::NOT_FOUND).exit(), Exit::Failed);
        assert!(!refused(StatusCode::FORBIDDEN).may_pass());
    }
}
