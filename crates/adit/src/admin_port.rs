//! Asks a relay's private port: `adit status` for what is there, `adit cut` to have it cut.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use adit_process::Exit;
use adit_relay::status::{CONFIRM, Report};
use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::failure::{Ends, Failure};
use crate::kubernetes_status::printable;

/// Where a relay's private port is, and what opens it.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// The relay's private port
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "ADIT_RELAY_ADMIN",
        default_value = "127.0.0.1:8151"
    )]
    admin: String,
    /// Show the token in this file, which the relay demands with `admin.token_file`
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_ADMIN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// A relay's private port, as the flags name it.
#[derive(Debug)]
pub(crate) struct AdminPort {
    address: String,
    token: Option<SecretString>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("`{0}` is no address: a host and a port are wanted, such as 127.0.0.1:8151")]
    Address(String),
    #[error("the token holds a character that no token has")]
    Token,
    #[error(
        "it cannot be reached: is it running, and is this its `admin.address`, which speaks HTTP without TLS?"
    )]
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
    fn exit(&self) -> Exit {
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

impl AdminPort {
    pub(crate) fn of(args: &AdminArgs) -> Result<Self, Failure> {
        Ok(Self {
            address: args.admin.clone(),
            token: args.token_file.as_ref().map(token).transpose()?,
        })
    }

    /// What the relay is doing now.
    pub(crate) async fn report(&self) -> Result<Report, Failure> {
        let asked = async {
            let answer = self.ask(Method::GET, "/status", None).await?;
            serde_json::from_slice(&answer).map_err(AskError::Answer)
        };
        asked
            .await
            .map_err(|error| self.failed(error, "gave no status"))
    }

    /// Has it cut what has this id, of these: `streams` or `tunnels`.
    pub(crate) async fn cut(&self, these: &str, id: &str) -> Result<(), Failure> {
        let path = format!("/status/{these}/{id}/cut");
        let cut = self.ask(Method::POST, &path, Some(id)).await;
        cut.map(drop)
            .map_err(|error| self.failed(error, "cut nothing"))
    }

    fn failed(&self, error: AskError, what: &str) -> Failure {
        let failed = format!("the relay at {} {what}", self.address);
        Failure::new(error.exit(), anyhow::Error::from(error).context(failed))
    }

    /// One question, one answer.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        confirm: Option<&str>,
    ) -> Result<Bytes, AskError> {
        let asked = async {
            let request = self.request(method, path, confirm)?;
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
            Ok(body)
        };
        timeout(DEADLINE, asked)
            .await
            .unwrap_or(Err(AskError::Late))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        confirm: Option<&str>,
    ) -> Result<Request<Empty<Bytes>>, AskError> {
        let no_address = || AskError::Address(self.address.clone());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(id) = confirm {
            request = request.header(CONFIRM, id);
        }
        let mut request = request.body(Empty::new()).map_err(|_| no_address())?;
        if request.uri().port_u16().is_none() {
            return Err(no_address());
        }
        if let Some(token) = &self.token {
            let text = format!("Bearer {}", token.expose_secret());
            let mut value = HeaderValue::try_from(text).map_err(|_| AskError::Token)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

fn token(path: &PathBuf) -> Result<SecretString, Failure> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .ends(Exit::BadConfig)?;
    let text = SecretString::from(text);
    // While a token is replaced there are two in the relay's file, and either will do.
    let first = text.expose_secret().lines().next().unwrap_or_default();
    Ok(SecretString::from(first.trim()))
}

const DEADLINE: Duration = Duration::from_secs(10);
/// A thousand agents and a thousand streams take less than half of it.
const MOST_BYTES: usize = 4 << 20;
