//! The steps that an agent goes when it starts, each by itself, once, and with nothing kept: for `adit doctor`, which tells how far
//! they come.
//!
//! Invariant: they are the agent's own steps, by its own code. A tunnel that is opened here takes no request: it is drained at
//! once, and what comes before the relay has heard of that is refused unread, so that it goes to another replica.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_otlp::{Collector, CollectorConfig, NotTaken, Spans};
use adit_process::chain;
use adit_process::tls::{Certificate, ClientTls, H2, HTTP_1_1, Witness};
use adit_tunnel::{CloseReason, Driver, Peer, ResetReason, Tunnel};
use bytes::Bytes;
use http::StatusCode;
use http::uri::PathAndQuery;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::agent::transport::{Carried, Transports, dialler, own_certificate};
use crate::agent::{StartError, instance, link, options};
use crate::config::{Allowed, Config};
use crate::dial::Dialler;
use crate::explain::ConnectFailure;
use crate::kube::Kube;
use crate::metrics::{Metrics, Transport};

/// An agent that is not to run.
#[derive(Debug)]
pub struct Trial {
    config: Config,
}

/// The way to the relay, and what is seen on it.
#[derive(Debug)]
pub struct RelayWay {
    /// Offers HTTP/2 and, to tell who takes only that, HTTP/1.1.
    pub any: Dialler,
    /// Offers HTTP/1.1 alone, over which a relay tells the time.
    pub http1: Dialler,
    /// Sees the relay's certificate; absent without TLS.
    pub witness: Option<Arc<Witness>>,
}

/// A tunnel that came about.
#[derive(Debug)]
pub struct Tried {
    /// What the relay said of itself, and whose tunnel it was.
    pub peer: Peer,
    /// Whether a WebSocket carried it.
    pub is_in_websocket: bool,
    /// Why HTTP/2 as it is did not, if that was tried.
    pub instead: Option<ConnectFailure>,
}

impl Trial {
    /// Of what would run with this configuration.
    #[must_use]
    pub const fn of(config: Config) -> Self {
        Self { config }
    }

    /// How the relay is dialled.
    ///
    /// # Errors
    /// The agent would not start.
    pub fn relay(&self) -> Result<RelayWay, StartError> {
        let relay = &self.config.relay;
        if !relay.url.is_tls {
            let plain = dialler(relay, None)?;
            return Ok(RelayWay {
                any: plain.clone(),
                http1: plain,
                witness: None,
            });
        }
        let own = own_certificate(relay)?;
        let (any, witness) = ClientTls::witnessed(&relay.roots, &[H2, HTTP_1_1])?;
        let http1 = ClientTls::new(&relay.roots, &[HTTP_1_1])?;
        let dialler = |tls: ClientTls| dialler(relay, Some(tls.showing(own.as_ref())));
        Ok(RelayWay {
            any: dialler(any)?,
            http1: dialler(http1)?,
            witness: Some(witness),
        })
    }

    /// The certificate that the relay is shown; nothing when none is configured.
    ///
    /// # Errors
    /// It cannot be used, or its key is another's.
    pub fn certificate(&self) -> Result<Option<Certificate>, StartError> {
        let own = own_certificate(&self.config.relay)?;
        Ok(own.map(|own| own.certificate()))
    }

    /// The relay's URL, without a path.
    #[must_use]
    pub fn relay_url(&self) -> String {
        let url = &self.config.relay.url;
        let scheme = if url.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", url.authority())
    }

    /// The agent's token. Never to be shown.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn token(&self) -> Result<SecretString, ConnectFailure> {
        let source = &self.config.relay.token;
        link::authorization(source)?;
        link::read(source)
    }

    /// Whether HTTP/2 may carry its tunnel as it is.
    #[must_use]
    pub fn may_take_http2(&self) -> bool {
        self.config.relay.url.allowed != Allowed::WebSocket
    }

    /// Whether a WebSocket may carry it.
    #[must_use]
    pub fn may_take_websocket(&self) -> bool {
        self.config.relay.url.allowed != Allowed::Http2
    }

    /// Opens a tunnel by [`RelayWay::any`], or in a WebSocket by [`RelayWay::http1`], and leaves it.
    ///
    /// # Errors
    /// It does not come about.
    pub async fn tunnel(&self, any: &Dialler, http1: &Dialler) -> Result<Tried, ConnectFailure> {
        let relay = &self.config.relay;
        let token = link::authorization(&relay.token)?;
        let mut options = options(&self.config);
        options.about.replica.push_str(" (doctor)");
        let metrics = Metrics::default();
        let mut transports = Transports::of(relay, any.clone(), http1.clone(), metrics);
        let Carried {
            opened,
            driver,
            transport,
            instead,
        } = transports.open(&token, options).await?;
        let peer = opened.tunnel.peer();
        leave(&opened.tunnel, driver).await;
        Ok(Tried {
            peer,
            is_in_websocket: transport == Transport::WebSocket,
            instead,
        })
    }

    /// Where the agent answers probes and scrapers.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.config.admin
    }

    /// Asks the collector of requests whether it would take spans, and says where it is, if there is one.
    ///
    /// # Errors
    /// It would not.
    pub async fn traces(&self) -> Result<Option<&CollectorConfig>, NoTraces> {
        let Some(traces) = &self.config.traces else {
            return Ok(None);
        };
        let config = &traces.collector;
        let collector = collector(&self.config, config)?;
        match Spans::new(collector).ask().await {
            Ok(_) => Ok(Some(config)),
            Err(source) => Err(NoTraces::Collector {
                to: Box::new(config.clone()),
                source,
            }),
        }
    }

    /// Whether its ceiling lets it act in that namespace.
    #[must_use]
    pub fn may_act_in(&self, namespace: &str) -> bool {
        self.config.ceiling.has_namespace(namespace)
    }

    /// The API server and the credentials for it, neither of them tried.
    ///
    /// # Errors
    /// The agent would not start.
    pub async fn cluster(&self) -> Result<Cluster, StartError> {
        let metrics = Metrics::register(&mut Registry::default());
        let kube = Kube::load(&self.config.kubernetes, metrics).await?;
        // Who looks tells what it sees.
        let kube = kube.untold();
        Ok(Cluster { kube })
    }
}

/// As the agent calls it.
fn collector(config: &Config, of: &CollectorConfig) -> Result<Collector, StartError> {
    let token = of.token().map_err(adit_otlp::StartError::from)?;
    let token = token.map(|loaded| Arc::new(loaded.secret));
    Ok(Collector::new(of, token, instance(config))?)
}

/// Why spans could not be told.
#[derive(Debug, thiserror::Error)]
pub enum NoTraces {
    /// The agent would not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The collector takes nothing.
    #[error("{to} takes nothing")]
    Collector {
        /// Which.
        to: Box<CollectorConfig>,
        /// Why not.
        source: NotTaken,
    },
}

impl NoTraces {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Start(error) => error.advice(),
            Self::Collector { source, .. } => source.advice(),
        }
    }
}

/// Says goodbye as an agent does that stops.
async fn leave(tunnel: &Tunnel, driver: Driver) {
    tunnel.drain("the doctor has seen enough");
    let refusing = async {
        while let Some((stream, _)) = tunnel.accept().await {
            stream.reset(ResetReason::Refused, "this tunnel was opened for a look");
        }
    };
    let leaving = async {
        tunnel.drained().await;
        // The relay ends the session; one that does not is not waited for any longer.
        let _ = timeout(PARTING, tunnel.closed()).await;
        tunnel.close(CloseReason::Done, "the doctor has left");
    };
    let _ = timeout(2 * PARTING, async {
        tokio::join!(driver, refusing, leaving)
    })
    .await;
}

/// The agent's API server, as the agent itself sees it.
#[derive(Debug)]
pub struct Cluster {
    kube: Kube,
}

/// Something that RBAC allows or does not: `resourceAttributes` of a `SelfSubjectAccessReview`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Right {
    /// Such as `impersonate`.
    pub verb: String,
    /// The API group; empty for the core's.
    pub group: String,
    /// Such as `users`.
    pub resource: String,
    /// Empty for none.
    pub subresource: String,
    /// Of one object; empty for all.
    pub name: String,
    /// Empty for all.
    pub namespace: String,
}

/// Why the API server says nothing of use.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It cannot be called; the whole chain of why.
    #[error("{0}")]
    Unreached(String),
    /// It answered something else.
    #[error("it answers {0}: {1}")]
    Answered(StatusCode, String),
    /// It did not in time.
    #[error("there was no answer within {} s", PATIENCE.as_secs())]
    Late,
}

impl Cluster {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.kube.address()
    }

    /// Such as `v1.37.0`; `None` if the answer says nothing of the kind.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn version(&self) -> Result<Option<String>, NoAnswer> {
        let version = timeout(PATIENCE, self.kube.version()).await;
        let version = version.map_err(|_| NoAnswer::Late)?;
        version.map_err(|error| NoAnswer::Unreached(chain(&error)))
    }

    /// The name by which RBAC knows the agent.
    ///
    /// # Errors
    /// There is no answer, or it does not let the agent in.
    pub async fn user(&self) -> Result<String, NoAnswer> {
        let (kind, group) = ("SelfSubjectReview", "authentication.k8s.io/v1");
        let review = json!({ "kind": kind, "apiVersion": group });
        let target = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let review = self.review(target, &review).await?;
        let name = review.pointer("/status/userInfo/username");
        Ok(name.and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Whether the agent may.
    ///
    /// # Errors
    /// There is no answer, or it does not let the agent in.
    pub async fn may(&self, right: &Right) -> Result<bool, NoAnswer> {
        let (kind, group) = ("SelfSubjectAccessReview", "authorization.k8s.io/v1");
        let spec = json!({ "resourceAttributes": right });
        let review = json!({ "kind": kind, "apiVersion": group, "spec": spec });
        let target = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let review = self.review(target, &review).await?;
        Ok(review.pointer("/status/allowed") == Some(&Value::Bool(true)))
    }

    /// Whether there is such a namespace; nothing where the agent may not know, which its own roles do not let it.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn has_namespace(&self, name: &str) -> Result<Option<bool>, NoAnswer> {
        let is_label =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let target = format!("/api/v1/namespaces/{name}").parse::<PathAndQuery>();
        let Some(target) = target.ok().filter(|_| name.bytes().all(is_label)) else {
            return Ok(Some(false));
        };
        let (status, body) = self.ask(target, None).await?;
        let told = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        Ok(match (status, told.get("reason").and_then(Value::as_str)) {
            (StatusCode::OK, _) => Some(true),
            (StatusCode::NOT_FOUND, Some("NotFound")) => Some(false),
            _ => None,
        })
    }

    async fn review(&self, target: &'static str, review: &Value) -> Result<Value, NoAnswer> {
        let document = Bytes::from(review.to_string());
        let target = PathAndQuery::from_static(target);
        let (status, body) = self.ask(target, Some(document)).await?;
        let told = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        if status == StatusCode::CREATED {
            return Ok(told);
        }
        let message = told.get("message").and_then(Value::as_str);
        let message = message.unwrap_or("nothing that is a Status");
        Err(NoAnswer::Answered(status, message.to_owned()))
    }

    async fn ask(
        &self,
        target: PathAndQuery,
        document: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let asked = timeout(PATIENCE, self.kube.ask(target, document)).await;
        let asked = asked.map_err(|_| NoAnswer::Late)?;
        asked.map_err(|error| NoAnswer::Unreached(chain(&error)))
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// How long the relay may take to end a session that has nothing left to do.
const PARTING: Duration = Duration::from_secs(5);
