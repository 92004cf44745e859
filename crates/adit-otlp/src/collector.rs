//! A collector: how it is reached, what it is shown, and what its answers mean. Spans and records of logs go there by the same calls.
//!
//! Invariant: a call ends within [`LONGEST`], and of what was not taken the error says whether it may be yet
//! ([the protocol](https://opentelemetry.io/docs/specs/otlp/#failures)).

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use adit_process::backoff::{Backoff, BackoffTerms};
use adit_process::secret_file::SecretError;
use adit_process::tls::{ClientTls, H2, ServerRoots, TlsError};
use hyper_util::rt::TokioIo;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::Token;
use crate::config::{CollectorConfig, Endpoint, Keys};

/// Why nothing can be sent to a collector.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its roots cannot be used.
    #[error("cannot use {}", keys.ca_file)]
    Roots {
        /// Of the section.
        keys: Keys,
        /// Why.
        source: Box<TlsError>,
    },
    /// No certificate has such a name.
    #[error("{name:?} is no host name that a certificate could have ({})", keys.endpoint)]
    Name {
        /// Of the section.
        keys: Keys,
        /// Which.
        name: String,
    },
    /// The token cannot be read, or is none.
    #[error(transparent)]
    Token(#[from] SecretError),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Roots { .. } => {
                "name a PEM file with the collector's roots that adit's user can read (ca_file), or none for the system's"
            }
            Self::Name { .. } => {
                "use the host name in endpoint that the collector's certificate has"
            }
            Self::Token(_) => {
                "put the token into that file, where adit's user can read it, or leave token_file out"
            }
        }
    }
}

/// Why a collector did not take what it was sent.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It cannot be reached, broke off, or has no room now: the same may be taken later.
    #[error("the collector cannot be reached, or takes nothing now")]
    Away {
        /// It asked for so much time.
        after: Option<Duration>,
        /// What it said, or what the connection did.
        source: Said,
    },
    /// It said nothing in time.
    #[error("the collector did not answer within {0:?}")]
    Late(Duration),
    /// It takes nothing of ours, whatever that is: it does not accept the token, or has nobody for this kind.
    #[error("the collector refuses adit")]
    Denied(#[source] Said),
    /// It does not take just that, and never will.
    #[error("the collector rejects what it is sent")]
    Rejected(#[source] Said),
}

/// What a collector said, or why it could not: each cause once, where tonic's own words have the source as `Debug` has it.
#[derive(Debug)]
pub struct Said(Status);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.0.source() {
            return write!(f, "{source}");
        }
        write!(f, "it says `{}`", self.0.code())?;
        match self.0.message() {
            "" => Ok(()),
            message => write!(f, ": {message}"),
        }
    }
}

impl Error for Said {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()?.source()
    }
}

impl NotTaken {
    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Away { .. } | Self::Late(_) => {
                "check that this machine reaches the collector directly (endpoint), its certificate (ca_file), and the collector's own log"
            }
            Self::Denied(_) => {
                "check the token that the collector is shown (token_file), and that it has a receiver otlp, by gRPC, in a pipeline of this kind"
            }
            Self::Rejected(_) => "look at the collector's own log",
        }
    }
}

/// Who tells: a resource, as OpenTelemetry calls it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `service.name`.
    pub service: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`: which of the replicas.
    pub id: String,
}

/// A collector that nobody has called yet.
#[derive(Clone, Debug)]
pub struct Collector {
    endpoint: Endpoint,
    tls: Option<(ClientTls, ServerName<'static>)>,
    roots: Option<ServerRoots>,
    token: Option<Arc<Token>>,
    of: Instance,
}

impl Collector {
    /// The token is that of [`CollectorConfig::token`], which somebody keeps.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(
        config: &CollectorConfig,
        token: Option<Arc<Token>>,
        of: Instance,
    ) -> Result<Self, StartError> {
        let (endpoint, keys) = (config.endpoint.clone(), config.keys);
        let (tls, roots) = if endpoint.is_tls {
            let name = endpoint.host.clone();
            let name =
                ServerName::try_from(name.clone()).map_err(|_| StartError::Name { keys, name })?;
            let unusable = |error| StartError::Roots {
                keys,
                source: Box::new(error),
            };
            let roots = ServerRoots::load(keys.ca_file, config.roots.clone()).map_err(unusable)?;
            let tls = ClientTls::by(&roots, &[H2]).map_err(unusable)?;
            (Some((tls, name)), Some(roots))
        } else {
            (None, None)
        };
        Ok(Self {
            endpoint,
            tls,
            roots,
            token,
            of,
        })
    }

    /// Whom it is believed by, to be kept; none without TLS.
    #[must_use]
    pub const fn roots(&self) -> Option<&ServerRoots> {
        self.roots.as_ref()
    }

    /// As it is told with what is sent; `OTEL_RESOURCE_ATTRIBUTES` adds to it.
    pub(crate) fn resource(&self) -> Resource {
        let attributes = [
            KeyValue::new("service.version", self.of.version),
            KeyValue::new("service.instance.id", self.of.id.clone()),
        ];
        let resource = opentelemetry_sdk::Resource::builder()
            .with_attributes(attributes)
            .with_service_name(self.of.service)
            .build();
        Resource {
            attributes: ResourceAttributesWithSchema::from(&resource).attributes.0,
            ..Resource::default()
        }
    }

    /// What makes spans and records.
    pub(crate) fn scope(&self) -> InstrumentationScope {
        InstrumentationScope {
            name: "adit".to_owned(),
            version: self.of.version.to_owned(),
            ..InstrumentationScope::default()
        }
    }

    /// Connections to it, which are made when they are needed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn channel(&self) -> Channel {
        let Endpoint { host, port, .. } = self.endpoint.clone();
        let tls = self.tls.clone();
        // The connector knows where that is.
        let target = Target::from_shared(self.endpoint.to_string());
        let target = target.expect("a host and a port that were read from a URL make one");
        let agent = format!("{}/{}", self.of.service, self.of.version);
        let target = target
            .user_agent(agent)
            .expect("names and versions are visible ASCII")
            // A connection that nobody answers on any more is given up, and another one is made.
            .http2_keep_alive_interval(LONGEST)
            .keep_alive_timeout(LONGEST);
        target.connect_with_connector_lazy(tower::service_fn(move |_| {
            let (tls, host) = (tls.clone(), host.clone());
            let connected = async move {
                let socket = TcpStream::connect((host.as_str(), port)).await?;
                let io = match tls {
                    Some((tls, name)) => Either::Left(tls.connector().connect(name, socket).await?),
                    None => Either::Right(socket),
                };
                Ok::<_, io::Error>(TokioIo::new(io))
            };
            // One that does not come about in time is begun anew by the next call, though nobody waits for this one.
            async move { timeout(LONGEST, connected).await? }
        }))
    }

    /// A call with the token that is to be shown now.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            token.show(request.metadata_mut());
        }
        request
    }
}

/// How long to wait before a collector is sent again what it did not take.
#[derive(Debug)]
pub struct Retry(Backoff);

impl Default for Retry {
    fn default() -> Self {
        Self(Backoff::new(WAITS))
    }
}

impl Retry {
    /// It was not taken once more; nothing if it never will be.
    pub fn after(&mut self, why: &NotTaken) -> Option<Duration> {
        match why {
            NotTaken::Away {
                after: Some(asked), ..
            } => Some(self.0.failed().max(*asked).min(WAITS.cap)),
            NotTaken::Away { after: None, .. } | NotTaken::Late(_) | NotTaken::Denied(_) => {
                Some(self.0.failed())
            }
            NotTaken::Rejected(_) => None,
        }
    }

    /// Something was taken.
    pub const fn reset(&mut self) {
        self.0.reset();
    }
}

/// The answer to one call, if there is one in time.
pub(crate) async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, NotTaken> {
    match timeout(LONGEST, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(not_taken(status)),
        Err(_) => Err(NotTaken::Late(LONGEST)),
    }
}

fn not_taken(status: Status) -> NotTaken {
    let after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let (code, source) = (status.code(), Said(status));
    if source.0.source().is_some() {
        // Nothing that the collector said: the connection did not come about, or broke.
        return NotTaken::Away {
            after: None,
            source,
        };
    }
    match code {
        // A proxy that has no collector behind it is told of so: HTTP's statuses have no other code.
        Code::Unknown
        | Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Cancelled
        | Code::OutOfRange
        | Code::DataLoss => NotTaken::Away { after, source },
        // Without a time it is too much at once, and will be.
        Code::ResourceExhausted if after.is_some() => NotTaken::Away { after, source },
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => {
            NotTaken::Denied(source)
        }
        Code::ResourceExhausted
        | Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Internal => NotTaken::Rejected(source),
    }
}

/// How many of so many a collector did not take, by what it said.
pub(crate) fn rejected(said: i64, of: usize) -> u64 {
    u64::try_from(said).unwrap_or(0).min(of as u64)
}

const WAITS: BackoffTerms = BackoffTerms {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(30),
};
/// A call.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use adit_process::chain;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn what_may_be_taken_later_is_told_from_what_never_will_be() {
        for code in [
            Code::Unknown,
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::Cancelled,
            Code::OutOfRange,
            Code::DataLoss,
        ] {
            let meant = not_taken(Status::new(code, ""));
            assert!(
                matches!(meant, NotTaken::Away { after: None, .. }),
                "{code:?}"
            );
        }
        for code in [
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Unimplemented,
        ] {
            assert!(
                matches!(not_taken(Status::new(code, "")), NotTaken::Denied(_)),
                "{code:?}"
            );
        }
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::FailedPrecondition,
            Code::Internal,
            Code::ResourceExhausted,
        ] {
            assert!(
                matches!(not_taken(Status::new(code, "")), NotTaken::Rejected(_)),
                "{code:?}"
            );
        }
    }

    #[test]
    fn time_that_a_collector_asks_for_is_given() {
        let second = Duration::from_secs(1);
        for code in [Code::ResourceExhausted, Code::Unavailable] {
            let details = ErrorDetails::with_retry_info(Some(second));
            let meant = not_taken(Status::with_error_details(code, "", details));
            let NotTaken::Away { after, .. } = meant else {
                panic!("{meant}")
            };
            assert_eq!(after, Some(second), "{code:?}");
        }
    }

    #[test]
    fn what_may_be_taken_later_is_sent_again_after_the_time_that_was_asked_for() {
        let away = |after| NotTaken::Away {
            after,
            source: Said(Status::unavailable("")),
        };
        let mut retry = Retry::default();
        assert!(retry.after(&away(None)).unwrap() <= WAITS.base);
        let asked = Duration::from_secs(20);
        assert_eq!(retry.after(&away(Some(asked))), Some(asked));
        assert_eq!(retry.after(&away(Some(10 * asked))), Some(WAITS.cap));
        assert!(
            retry
                .after(&NotTaken::Denied(Said(Status::unauthenticated(""))))
                .is_some()
        );
        assert_eq!(
            retry.after(&NotTaken::Rejected(Said(Status::internal("")))),
            None
        );
    }

    #[test]
    fn broken_connection_says_nothing_of_what_was_sent() {
        let broken = Status::from_error(Box::new(io::Error::other("broken")));
        assert_eq!(broken.code(), Code::Unknown);
        let broken = not_taken(broken);
        assert!(matches!(broken, NotTaken::Away { .. }));
        let told = chain(&broken);
        assert_eq!(
            told,
            "the collector cannot be reached, or takes nothing now: broken"
        );
        let denied = not_taken(Status::unauthenticated("no such token"));
        assert!(chain(&denied).ends_with(": no such token"), "{denied:?}");
    }

    #[test]
    fn no_more_are_rejected_than_were_sent() {
        assert_eq!([-1, 0, 2, 9].map(|said| rejected(said, 3)), [0, 0, 2, 3]);
    }
}
