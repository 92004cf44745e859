//! Decides how a connection to a peer comes about: name, address, proxy, TLS. Called for the relay, the API server and Flux's webhooks, which
//! each have a [`Dialler`] made once from the configuration, and step by step by `adit doctor`, which tells how far it comes.
//! Invariant: a dialler has one target; nothing that a request says can change whom it dials.

pub mod proxy;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_process::net::{BufferedStream, keep_alive};
use adit_process::tls::{ClientTls, H2};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use self::proxy::{Proxy, ProxyError};

/// A connection: plain or TLS.
pub type Wire = Either<BufferedStream, TlsStream<BufferedStream>>;

/// Knows how to reach one peer.
#[derive(Clone, Debug)]
pub struct Dialler {
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Absent: no TLS, for this machine, and for Flux's webhooks in the cluster.
    pub tls: Option<Tls>,
    /// Who is asked for the way, if anybody.
    pub proxy: Option<Proxy>,
    /// For everything up to the end of the TLS handshake.
    pub timeout: Duration,
}

/// What a peer must prove, and what we offer it.
#[derive(Clone)]
pub struct Tls {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

/// A connection and what ALPN (RFC 7301) chose for it.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub wire: Wire,
    /// The protocol's name, if both ends named one.
    pub alpn: Option<Vec<u8>>,
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// The name service knows no address.
    #[error("the name {host} cannot be resolved")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Of its addresses none takes connections.
    #[error("cannot connect to {to}")]
    Connect {
        /// The address that was tried last.
        to: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The timeout.
    #[error("no connection to {to} came about in {after:?}")]
    TimedOut {
        /// The peer.
        to: String,
        /// How long.
        after: Duration,
    },
    /// The proxy is there and does not do what it is asked for.
    #[error("the proxy {proxy} does not let us through to {to}")]
    Proxy {
        /// Its host and port.
        proxy: String,
        /// The peer.
        to: String,
        /// What it did.
        source: ProxyError,
    },
    /// There was no handshake, or the peer did not prove who it is.
    #[error("TLS with {to} failed")]
    Tls {
        /// The peer.
        to: String,
        /// What rustls said is in it.
        source: Arc<io::Error>,
    },
}

impl Dialler {
    /// Connects. Cancel-safe: a connection that has not come about is dropped.
    ///
    /// # Errors
    /// Whatever is in the way, or the timeout.
    pub async fn dial(&self) -> Result<Dialled, DialError> {
        self.in_time(self.connect()).await
    }

    /// `host:port`, for messages and for a proxy.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Holds a step to the timeout.
    ///
    /// # Errors
    /// The step's own, or that it took too long.
    pub async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let taken = tokio::time::timeout(self.timeout, step).await;
        taken.unwrap_or_else(|_| {
            Err(DialError::TimedOut {
                to: self.target(),
                after: self.timeout,
            })
        })
    }

    /// The first step: the addresses of the peer, or of the proxy before it; at least one.
    ///
    /// # Errors
    /// The name has none.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        match &self.proxy {
            None => resolve(&self.host, self.port).await,
            Some(proxy) => resolve(&proxy.host, proxy.port).await,
        }
    }

    /// The second: a connection to the first of the addresses that answers.
    ///
    /// # Errors
    /// None does.
    pub async fn reach(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, DialError> {
        connect_tcp(addresses).await
    }

    /// The third: past the proxy, if there is one.
    ///
    /// # Errors
    /// It does not let us through.
    pub async fn pass_proxy(&self, tcp: TcpStream) -> Result<TcpStream, DialError> {
        let Some(proxy) = &self.proxy else {
            return Ok(tcp);
        };
        let passed = proxy.connect(tcp, &self.target()).await;
        passed.map_err(|source| DialError::Proxy {
            proxy: proxy.to_string(),
            to: self.target(),
            source,
        })
    }

    /// The last: TLS, if the peer is to prove who it is.
    ///
    /// # Errors
    /// It does not.
    pub async fn secure(&self, tcp: TcpStream) -> Result<Dialled, DialError> {
        let stream = BufferedStream::new(tcp);
        let Some(tls) = &self.tls else {
            return Ok(Dialled {
                wire: Either::Left(stream),
                alpn: None,
            });
        };
        let stream = tls.connector.connect(tls.name.clone(), stream).await;
        let stream = stream.map_err(|error| DialError::Tls {
            to: self.target(),
            source: Arc::new(error),
        })?;
        let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let dialled = Dialled {
            wire: Either::Right(stream),
            alpn,
        };
        if dialled.alpn.as_deref() == Some(H2) {
            dialled.limit_unsent();
        }
        Ok(dialled)
    }

    async fn connect(&self) -> Result<Dialled, DialError> {
        let addresses = self.addresses().await?;
        let tcp = self.reach(addresses).await?;
        self.secure(self.pass_proxy(tcp).await?).await
    }
}

impl Dialled {
    /// For a connection with many streams: see [`BufferedStream::limit_unsent`].
    pub(crate) fn limit_unsent(&self) {
        self.socket().limit_unsent();
    }

    /// For a connection that may be silent for long, and whose ends do not ask each other; those of a tunnel do.
    pub(crate) fn keep_alive(&self) {
        keep_alive(self.socket(), KEEPALIVE);
    }

    fn socket(&self) -> &BufferedStream {
        match &self.wire {
            Either::Left(stream) => stream,
            Either::Right(stream) => stream.get_ref().0,
        }
    }
}

impl Tls {
    /// Offers what `tls` offers to a peer of this name or address. `None`: no certificate can have such a name.
    #[must_use]
    pub fn new(tls: &ClientTls, host: &str) -> Option<Self> {
        Some(Self {
            connector: tls.connector(),
            name: ServerName::try_from(host.to_owned()).ok()?,
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let unresolved = |error: io::Error| DialError::Resolve {
        host: host.to_owned(),
        source: Arc::new(error),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let looked_up = tokio::net::lookup_host((bare, port)).await;
    let addresses: Vec<_> = looked_up.map_err(unresolved)?.collect();
    if addresses.is_empty() {
        let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(unresolved(none));
    }
    Ok(addresses)
}

/// Tries all addresses of a host, each a little after the one before it, and takes the first that answers (after
/// RFC 8305): one dead address family costs a quarter of a second, not the whole timeout.
async fn connect_tcp(addresses: Vec<SocketAddr>) -> Result<TcpStream, DialError> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    loop {
        match waiting.next() {
            Some(address) => attempts.push(connect_one(address)),
            None if attempts.is_empty() => {
                let nowhere = || DialError::Connect {
                    to: "no address".to_owned(),
                    source: Arc::new(io::ErrorKind::NotFound.into()),
                };
                return Err(failure.unwrap_or_else(nowhere));
            }
            None => {}
        }
        tokio::select! {
            biased;
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

/// There is no `TCP_USER_TIMEOUT`: to Linux a peer that is there and takes no more bytes is as good as gone, and a command that pauses
/// before it reads on is just that.
async fn connect_one(address: SocketAddr) -> Result<TcpStream, DialError> {
    let failed = |error| DialError::Connect {
        to: address.to_string(),
        source: Arc::new(error),
    };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// RFC 8305 section 5 recommends it.
const STAGGER: Duration = Duration::from_millis(250);
/// Short enough for firewalls that forget a silent connection after a minute.
const KEEPALIVE: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests;
