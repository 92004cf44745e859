//! Asks a relay's private port: `adit status` for what is there, `adit cut` to have it cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_agent::dial::{Dialler, Tls};
use adit_process::Exit;
use adit_process::net::is_loopback;
use adit_process::tls::{
    CertificateFiles, ClientTls, HTTP_1_1, OwnCertificate, TlsError, TrustRoots,
};
use adit_relay::status::{CONFIRM, Report};
use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Args;
use http::header::AUTHORIZATION;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::ca_file;
use crate::exchange::{Answer, NoAnswer, exchange};
use crate::failure::{Ends, Failure};
use crate::kubernetes_status::{Status, printable};

/// Where a relay's private port is, and what opens it.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// The relay's private port, with `https://` before it where that has a certificate
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
    /// Believe this CA for the private port instead of the system's (PEM)
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_ADMIN_CA", value_parser = ca_file("ADIT_RELAY_ADMIN_CA"))]
    ca: Option<PathBuf>,
    /// Show this client certificate (PEM), of a CA in the relay's `admin.client_ca_file`
    #[arg(
        long,
        value_name = "FILE",
        env = "ADIT_RELAY_ADMIN_CERTIFICATE",
        requires = "key"
    )]
    certificate: Option<PathBuf>,
    /// The client certificate's key (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "ADIT_RELAY_ADMIN_KEY",
        requires = "certificate"
    )]
    key: Option<PathBuf>,
}

/// A relay's private port, as the flags name it.
#[derive(Debug)]
pub(crate) struct AdminPort {
    /// As it was named.
    named: String,
    authority: Authority,
    dialler: Dialler,
    token: Option<SecretString>,
    /// Where that is from.
    token_file: Option<PathBuf>,
}

/// What an operator may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cuttable {
    Streams,
    Tunnels,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(
        "`{0}` is no address: a host and a port are wanted, such as 127.0.0.1:8151 or https://relay.example.com:8151"
    )]
    Address(String),
    #[error(
        "the token would cross the network in clear: say https:// before the address, or come by the relay's loopback"
    )]
    InClear,
    #[error(
        "a certificate is shown, and a CA believed, over TLS alone: say https:// before the address"
    )]
    NoTls,
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
    #[error("the token holds a character that no token has")]
    Token,
    #[error(
        "it cannot be reached: is it running, and is this its `admin.address`, which speaks {speaks}?"
    )]
    Unreachable {
        speaks: &'static str,
        source: NoAnswer,
    },
    #[error("it does not take the token in {}: that is not in its admin.token_file", .0.display())]
    OtherToken(PathBuf),
    #[error("it answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error(
        "that is the relay's public port: the address in its admin.address is wanted, by --admin"
    )]
    PublicPort,
    #[error(
        "no such {0} is there, or no longer: `adit status` shows those that are, in its column {1}"
    )]
    NotThere(&'static str, &'static str),
    #[error("it has no status: that is not a relay's private port, and an agent's has none")]
    Another,
    #[error("its answer is no status: is this the private port of an adit relay?")]
    Answer(#[source] serde_json::Error),
}

impl AskError {
    /// The code to end with.
    fn exit(&self) -> Exit {
        match self {
            Self::Address(_) | Self::InClear | Self::NoTls | Self::Tls(_) | Self::Token => {
                Exit::BadConfig
            }
            Self::Unreachable {
                source: NoAnswer::Body(_),
                ..
            } => Exit::Failed,
            Self::Unreachable { .. } => Exit::Unavailable,
            Self::OtherToken(_)
            | Self::Refused {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                ..
            } => Exit::NotPermitted,
            Self::PublicPort | Self::Another => Exit::BadConfig,
            Self::NotThere(..) | Self::Refused { .. } | Self::Answer(_) => Exit::Failed,
        }
    }

    /// Whether the relay knows nothing of what was to be cut.
    fn is_of_nothing(&self) -> bool {
        matches!(self, Self::Refused { status, message }
            if *status == StatusCode::NOT_FOUND && message.contains("no such"))
    }

    /// What to do about it, where the words do not say it.
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED => Some(SHOW),
            Self::OtherToken(_) => Some("name another file by --token-file"),
            Self::Address(_)
            | Self::InClear
            | Self::NoTls
            | Self::Tls(_)
            | Self::Token
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::PublicPort
            | Self::Another
            | Self::NotThere(..)
            | Self::Answer(_) => None,
        }
    }

    /// What its answer means, which is no status.
    fn refused(answer: &Answer, token_file: Option<&Path>) -> Self {
        if Status::read(&answer.body).hop.is_some() {
            return Self::PublicPort;
        }
        match token_file {
            Some(file) if answer.status == StatusCode::UNAUTHORIZED => {
                Self::OtherToken(file.to_owned())
            }
            _ if is_of_another(answer) => Self::Another,
            _ => Self::Refused {
                status: answer.status,
                message: printable(String::from_utf8_lossy(&answer.body).trim_end()),
            },
        }
    }
}

/// Whether there is nothing at that path, where a relay would have known at least the kind of what was asked for.
fn is_of_another(answer: &Answer) -> bool {
    let is_relays = String::from_utf8_lossy(&answer.body).contains("no such");
    answer.status == StatusCode::NOT_FOUND && !is_relays
}

impl AdminPort {
    pub(crate) fn of(args: &AdminArgs) -> Result<Self, Failure> {
        let token = args.token_file.as_deref().map(token).transpose()?;
        Self::new(args, token).map_err(|error| {
            let failed = format!("the relay at {} cannot be asked", args.admin);
            Failure::new(error.exit(), anyhow::Error::from(error).context(failed))
        })
    }

    fn new(args: &AdminArgs, token: Option<SecretString>) -> Result<Self, AskError> {
        let named = args.admin.trim_end_matches('/');
        let secure = named.strip_prefix("https://");
        let bare = secure.unwrap_or_else(|| named.strip_prefix("http://").unwrap_or(named));
        let no_address = || AskError::Address(args.admin.clone());
        let authority: Authority = bare.parse().map_err(|_| no_address())?;
        let (host, port) = (authority.host().to_owned(), authority.port_u16());
        let port = port.ok_or_else(no_address)?;
        let tls = if secure.is_some() {
            let tls = tls(args).map_err(AskError::Tls)?;
            Some(Tls::new(&tls, host.trim_matches(['[', ']'])).ok_or_else(no_address)?)
        } else if args.ca.is_some() || args.certificate.is_some() {
            return Err(AskError::NoTls);
        } else if token.is_some() && !is_loopback(&host) {
            return Err(AskError::InClear);
        } else {
            None
        };
        Ok(Self {
            named: named.to_owned(),
            authority,
            dialler: Dialler {
                host,
                port,
                tls,
                proxy: None,
                timeout: PATIENCE,
            },
            token,
            token_file: args.token_file.clone(),
        })
    }

    /// What the relay is doing now.
    pub(crate) async fn report(&self) -> Result<Report, Failure> {
        self.said().await.map(|(report, _)| report)
    }

    /// The same, and in the relay's own words, which may be more.
    pub(crate) async fn said(&self) -> Result<(Report, Value), Failure> {
        let asked = async {
            let answer = self.ask(Method::GET, "/status", None).await?;
            let said = serde_json::from_slice(&answer).map_err(AskError::Answer)?;
            let report = Report::deserialize(&said).map_err(AskError::Answer)?;
            Ok((report, said))
        };
        asked
            .await
            .map_err(|error| self.failed(error, "gave no status"))
    }

    /// Has it cut what has this id, of these: `streams` or `tunnels`.
    pub(crate) async fn cut(&self, these: Cuttable, id: &str) -> Result<(), Failure> {
        let (path, what, column) = match these {
            Cuttable::Streams => ("streams", "stream", "REQUEST"),
            Cuttable::Tunnels => ("tunnels", "tunnel", "TUNNEL"),
        };
        let path = format!("/status/{path}/{id}/cut");
        let cut = self.ask(Method::POST, &path, Some(id)).await;
        let cut = cut.map_err(|error| {
            if error.is_of_nothing() {
                AskError::NotThere(what, column)
            } else {
                error
            }
        });
        cut.map(drop)
            .map_err(|error| self.failed(error, "cut nothing"))
    }

    fn failed(&self, error: AskError, what: &str) -> Failure {
        let failed = format!("the relay at {} {what}", self.named);
        let (exit, advice) = (error.exit(), error.advice());
        let failure = Failure::new(exit, anyhow::Error::from(error).context(failed));
        match advice {
            Some(advice) => failure.advising(advice),
            None => failure,
        }
    }

    /// One question, one answer.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        confirm: Option<&str>,
    ) -> Result<Bytes, AskError> {
        let request = self.request(method, path, confirm)?;
        let speaks = match self.dialler.tls {
            Some(_) => "TLS where admin.certificate is set",
            None => "HTTP without TLS unless admin.certificate is set",
        };
        let answer = exchange(&self.dialler, request).await;
        let answer = answer.map_err(|source| AskError::Unreachable { speaks, source })?;
        if answer.status != StatusCode::OK {
            return Err(AskError::refused(&answer, self.token_file.as_deref()));
        }
        Ok(answer.body)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        confirm: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, AskError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority));
        if let Some(id) = confirm {
            request = request.header(CONFIRM, id);
        }
        let request = request.body(Full::default());
        let mut request = request.map_err(|_| AskError::Address(self.named.clone()))?;
        if let Some(token) = &self.token {
            let text = format!("Bearer {}", token.expose_secret());
            let mut value = HeaderValue::try_from(text).map_err(|_| AskError::Token)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// What the relay must prove, and what is shown to it.
fn tls(args: &AdminArgs) -> Result<ClientTls, TlsError> {
    let roots = args.ca.clone().map_or(TrustRoots::System, TrustRoots::Only);
    let tls = ClientTls::new(&roots, &[HTTP_1_1])?;
    let files = args.certificate.clone().zip(args.key.clone());
    let files = files.map(|(certificate, key)| CertificateFiles { certificate, key });
    let own = files.map(OwnCertificate::load).transpose()?;
    Ok(tls.showing(own.as_ref()))
}

fn token(path: &Path) -> Result<SecretString, Failure> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .ends(Exit::BadConfig)?;
    let text = SecretString::from(text);
    // While a token is replaced there are two in the relay's file, and either will do.
    let first = text
        .expose_secret()
        .lines()
        .next()
        .unwrap_or_default()
        .trim();
    if first.is_empty() {
        let error = anyhow!("{} (--token-file) holds no token", path.display());
        let advice =
            "name the file with the operators' token: the relay has it in admin.token_file";
        return Err(Failure::new(Exit::BadConfig, error).advising(advice));
    }
    Ok(SecretString::from(first))
}

const SHOW: &str = "name the file with the token by --token-file, or a client certificate by --certificate and --key";
/// For a connection, TLS included.
const PATIENCE: Duration = Duration::from_secs(10);
