//! How a Receiver's webhook is called: at notification-controller itself, or by the API server, which passes it on.
//! Invariant: what is called is beneath what the configuration names, and is a Receiver's.

use std::time::Duration;

use adit_process::tls::{ClientTls, HTTP_1_1, TlsError, TrustRoots};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::api::{Api, ApiError};
use crate::config::ReceiverUrl;
use crate::dial::{DialError, Dialled, Dialler, Tls};

/// Where Receivers are called.
#[derive(Clone, Debug)]
pub(super) enum Webhook {
    Direct {
        dialler: Dialler,
        /// Before a Receiver's own path.
        path: String,
    },
    Proxied {
        api: Api,
        path: String,
    },
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallFailure {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    #[error("there was no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the Receiver's path is none: {0}")]
    NoPath(String),
    #[error("the answer is {0}, not 200")]
    Answered(StatusCode),
}

impl Webhook {
    pub(super) fn new(url: &ReceiverUrl, api: Api) -> Result<Self, TlsError> {
        Ok(match url {
            ReceiverUrl::Proxied(path) => Self::Proxied {
                api,
                path: path.clone(),
            },
            ReceiverUrl::Direct {
                is_tls,
                host,
                port,
                path,
            } => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let tls = if *is_tls {
                    Tls::new(&ClientTls::new(&TrustRoots::System, &[HTTP_1_1])?, bare)
                } else {
                    None
                };
                Self::Direct {
                    dialler: Dialler {
                        host: host.clone(),
                        port: *port,
                        tls,
                        proxy: None,
                        timeout: PATIENCE,
                    },
                    path: path.clone(),
                }
            }
        })
    }

    /// Calls the Receiver with this path, as its status has it.
    pub(super) async fn call(
        &self,
        receiver: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), CallFailure> {
        if !is_receivers(receiver) {
            return Err(CallFailure::NoPath(receiver.to_owned()));
        }
        let status = match self {
            Self::Proxied { api, path } => {
                api.post(&format!("{path}{receiver}"), headers, body)
                    .await?
            }
            Self::Direct { dialler, path } => {
                let called = call(dialler, format!("{path}{receiver}"), headers, body);
                timeout(PATIENCE, called)
                    .await
                    .map_err(|_| CallFailure::Late)??
            }
        };
        if status == StatusCode::OK {
            return Ok(());
        }
        Err(CallFailure::Answered(status))
    }
}

async fn call(
    dialler: &Dialler,
    target: String,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, CallFailure> {
    let Dialled { wire, .. } = dialler.dial().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    let path = target.parse();
    *request.uri_mut() = path.map_err(|_| CallFailure::NoPath(target))?;
    *request.headers_mut() = headers;
    if let Ok(host) = dialler.target().parse() {
        request.headers_mut().insert(header::HOST, host);
    }
    let mut answered = std::pin::pin!(sender.send_request(request));
    let mut connection = std::pin::pin!(connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answered => answer,
        // It has what is to be known of its end.
        _ = &mut connection => answered.await,
    };
    Ok(answer?.status())
}

/// `/hook/<hash>`, so that nothing else can be called that is served there, whoever may write a status.
fn is_receivers(path: &str) -> bool {
    let hash = path.strip_prefix("/hook/");
    hash.is_some_and(|hash| {
        (1..=128).contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

const PATIENCE: Duration = Duration::from_secs(10);
