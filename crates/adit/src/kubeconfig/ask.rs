//! Asks a relay which agents a token may use.
//!
//! One GET, the way that kubectl goes. The invariant: no error shows the token.

use std::time::Duration;

use adit_agent::dial::DialError;
use adit_process::tls::{CA_AS_OWN, ClientTls, H2, HTTP_1_1, TlsError, TrustRoots, is_ca_as_own};
use adit_process::{Exit, chain};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::sleep;

use super::relay_url::RelayUrl;
use super::way::{self, BadWay};
use crate::exchange::{NoAnswer, exchange};
use crate::kubernetes_status::Status;
use crate::terminal::warn;

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
    #[error("its certificate is not believed: name its CA by --ca, or check the address")]
    Unbelieved(#[source] rustls::Error),
    #[error("its certificate is not believed: {CA_AS_OWN}")]
    OfCa(#[source] rustls::Error),
    #[error("the way to it is not set up")]
    Way(#[from] BadWay),
    #[error("it cannot be reached")]
    Unreachable(#[source] NoAnswer),
    #[error("it did not answer in time")]
    Late(#[source] NoAnswer),
    #[error("it answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("its answer cannot be read")]
    Body(#[source] NoAnswer),
    #[error("its answer is not a list of agents: is this an adit relay?")]
    Answer(#[source] serde_json::Error),
}

impl AskError {
    /// The code to end with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Tls(_) | Self::Way(_) => Exit::BadConfig,
            Self::Unbelieved(_) | Self::OfCa(_) | Self::Unreachable(_) | Self::Late(_) => {
                Exit::Unavailable
            }
            Self::Refused { status, .. } if is_passing(*status) => Exit::TryAgain,
            Self::Refused {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                ..
            } => Exit::NotPermitted,
            Self::Refused { .. } | Self::Body(_) | Self::Answer(_) => Exit::Failed,
        }
    }

    /// What to do about it, where the words do not say it.
    pub(super) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(NoAnswer::Dial(error)) | Self::Late(NoAnswer::Dial(error)) => {
                Some(error.advice())
            }
            Self::Unreachable(_)
            | Self::Late(_)
            | Self::Tls(_)
            | Self::Way(_)
            | Self::Unbelieved(_)
            | Self::OfCa(_)
            | Self::Refused { .. }
            | Self::Body(_)
            | Self::Answer(_) => None,
        }
    }

    /// Without an answer: because of the certificate, which stays as it is, or otherwise.
    fn unanswered(error: NoAnswer) -> Self {
        if let NoAnswer::Dial(DialError::Tls { source, .. }) = &error
            && let Some(tls) = source.get_ref()
            && let Some(rustls::Error::InvalidCertificate(why)) = tls.downcast_ref()
        {
            let what = if is_ca_as_own(why) {
                Self::OfCa
            } else {
                Self::Unbelieved
            };
            return what(why.clone().into());
        }
        match error {
            NoAnswer::Late | NoAnswer::Dial(DialError::TimedOut { .. }) => Self::Late(error),
            NoAnswer::Body(_) => Self::Body(error),
            NoAnswer::Dial(_) | NoAnswer::Http(_) => Self::Unreachable(error),
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => is_passing(*status),
            Self::Tls(_)
            | Self::Way(_)
            | Self::Unbelieved(_)
            | Self::OfCa(_)
            | Self::Late(_)
            | Self::Body(_)
            | Self::Answer(_) => false,
        }
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

/// The agents that the token may use; asks again a few times while the relay is away or busy, or has not answered enough: it may have
/// begun just now, and its agents be on their way back.
pub(super) async fn reachable(
    relay: &RelayUrl,
    token: &SecretString,
    roots: &TrustRoots,
    is_enough: impl Fn(&[Reachable]) -> bool,
) -> Result<Vec<Reachable>, AskError> {
    let tls = ClientTls::new(roots, &[H2, HTTP_1_1])?;
    let parts = relay.parts();
    let dialler = way::dialler(&parts, &tls, way::proxy(&parts)?)?;
    let mut pauses = PAUSES.into_iter();
    let mut is_told = false;
    loop {
        let answer = exchange(&dialler, request(relay, token)).await;
        let agents = answer
            .map_err(AskError::unanswered)
            .and_then(|answer| listed(answer.status, &answer.body));
        let may_pass = match &agents {
            Ok(agents) => !is_enough(agents),
            Err(error) => error.may_pass(),
        };
        let Some(pause) = pauses.next().filter(|_| may_pass) else {
            return agents;
        };
        if let Err(error) = &agents
            && !is_told
        {
            is_told = true;
            let why = chain(error);
            warn(format_args!(
                "{relay} gave no list of agents: {why}; asking again"
            ));
        }
        sleep(pause).await;
    }
}

fn request(relay: &RelayUrl, token: &SecretString) -> Request<Full<Bytes>> {
    let request = Request::get(relay.agents())
        .header(AUTHORIZATION, bearer(token.expose_secret()))
        .header(ACCEPT, "application/json")
        .body(Full::default());
    request.expect("a checked URL and fixed headers")
}

/// An `Authorization` value that no `Debug` shows, with a token, or `ci:<agent id>:<token>`.
pub(crate) fn bearer(token: &str) -> HeaderValue {
    let authorization = HeaderValue::try_from(format!("Bearer {token}"));
    let mut authorization = authorization.expect("a token is taken only if it can stand in one");
    authorization.set_sensitive(true);
    authorization
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

/// What to do about a list with nothing in it.
pub(crate) const NO_AGENT: &str = "ask for an entry in an agent's ci_access, or look whether `environments` or `protected_branches_only` of the entry keep this job out";

/// Between tries: long enough for a relay that is being replaced.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];

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
