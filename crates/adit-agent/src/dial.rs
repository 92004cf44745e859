//! Decides how a connection to a peer comes about: name, address, proxy, TLS. Called by [`crate::agent`] for the relay
//! and by [`crate::kube`] for the API server, which each hold a [`Dialler`] made once from the configuration.
//! Invariant: a dialler has one target; nothing that a request says can change whom it dials.

pub(crate) mod proxy;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_process::net::{BufferedStream, TUNNEL_BUFFER};
use adit_process::tls::{ClientTls, H2, TlsError, TrustRoots};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use self::proxy::{Proxy, ProxyError};

/// A connection: plain, which only loopback is, or TLS.
pub(crate) type Wire = Either<BufferedStream, TlsStream<BufferedStream>>;

/// Knows how to reach one peer.
#[derive(Clone, Debug)]
pub(crate) struct Dialler {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
    pub(crate) proxy: Option<Proxy>,
    /// For everything up to the end of the TLS handshake.
    pub(crate) timeout: Duration,
}

/// What a peer must prove, and what we offer it.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

/// A connection and what ALPN (RFC 7301) chose for it.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) wire: Wire,
    pub(crate) alpn: Option<Vec<u8>>,
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the name {host} cannot be resolved")]
    Resolve {
        host: String,
        source: Arc<io::Error>,
    },
    #[error("cannot connect to {to}")]
    Connect { to: String, source: Arc<io::Error> },
    #[error("no connection to {to} came about in {after:?}")]
    TimedOut { to: String, after: Duration },
    #[error("the proxy {proxy} does not let us through to {to}")]
    Proxy {
        proxy: String,
        to: String,
        source: ProxyError,
    },
    #[error("TLS with {to} failed")]
    Tls { to: String, source: Arc<io::Error> },
}

impl Dialler {
    /// Connects. Cancel-safe: a connection that has not come about is dropped.
    ///
    /// # Errors
    /// Whatever is in the way, or the timeout.
    pub(crate) async fn dial(&self) -> Result<Dialled, DialError> {
        let dialled = tokio::time::timeout(self.timeout, self.connect()).await;
        dialled.unwrap_or_else(|_| {
            Err(DialError::TimedOut {
                to: self.target(),
                after: self.timeout,
            })
        })
    }

    /// `host:port`, for messages and for a proxy.
    pub(crate) fn target(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    async fn connect(&self) -> Result<Dialled, DialError> {
        let tcp = match &self.proxy {
            None => connect_tcp(&self.host, self.port).await?,
            Some(proxy) => {
                let tcp = connect_tcp(&proxy.host, proxy.port).await?;
                proxy
                    .connect(tcp, &self.target())
                    .await
                    .map_err(|source| DialError::Proxy {
                        proxy: proxy.to_string(),
                        to: self.target(),
                        source,
                    })?
            }
        };
        let stream = BufferedStream::new(tcp, TUNNEL_BUFFER);
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
        let (socket, session) = stream.get_ref();
        let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        if alpn.as_deref() == Some(H2) {
            socket.limit_unsent();
        }
        Ok(Dialled {
            wire: Either::Right(stream),
            alpn,
        })
    }
}

impl Tls {
    /// Offers HTTP/2 to a peer that these roots vouch for.
    ///
    /// # Errors
    /// The roots cannot be read.
    pub(crate) fn http2(roots: &TrustRoots, name: ServerName<'static>) -> Result<Self, TlsError> {
        Ok(Self {
            connector: ClientTls::new(roots, &[H2])?.connector(),
            name,
        })
    }

    /// Takes up what the file with the roots holds by now; what it held before stays in use if it cannot be read. The
    /// system's roots stay as they were at start.
    ///
    /// # Errors
    /// The file cannot be read, or holds no root.
    pub(crate) fn reread(&mut self, roots: &TrustRoots) -> Result<(), TlsError> {
        if *roots != TrustRoots::System {
            *self = Self::http2(roots, self.name.clone())?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Tries all addresses of a host, each a little after the one before it, and takes the first that answers (after
/// RFC 8305): one dead address family costs a quarter of a second, not the whole timeout.
async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let unresolved = |error: io::Error| DialError::Resolve {
        host: host.to_owned(),
        source: Arc::new(error),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = tokio::net::lookup_host((bare, port))
        .await
        .map_err(unresolved)?
        .collect();
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    loop {
        match waiting.next() {
            Some(address) => attempts.push(connect_one(address)),
            None if attempts.is_empty() => {
                let none = || {
                    unresolved(io::Error::new(
                        io::ErrorKind::NotFound,
                        "the name has no address",
                    ))
                };
                return Err(failure.unwrap_or_else(none));
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

async fn connect_one(address: SocketAddr) -> Result<TcpStream, DialError> {
    let failed = |error| DialError::Connect {
        to: address.to_string(),
        source: Arc::new(error),
    };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    tune(&stream).map_err(failed)?;
    Ok(stream)
}

/// A peer that vanished is noticed by pings above; this also frees a socket whose sent bytes nobody acknowledges.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// RFC 8305 section 5 recommends it.
const STAGGER: Duration = Duration::from_millis(250);
/// Short enough for firewalls that forget a silent connection after a minute.
const KEEPALIVE: Duration = Duration::from_secs(15);
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
