//! Decides how a connection to the private port comes about, and what is known of who is at its other end.
//!
//! `admin.rs` serves what comes from here. The invariant: nobody waits for another's handshake, and one that takes too long is given up.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::chain;
use crate::net::Listener;
use crate::tls::{ServerTls, refuse_plain};

/// Who asks, for the caller's own routes: axum's `ConnectInfo` holds it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// From where.
    pub from: SocketAddr,
    /// By which way.
    pub way: Way,
    /// The certificates that it showed, its own first, and has the key of. Whether anybody believes them was not asked.
    pub shown: Arc<[CertificateDer<'static>]>,
}

/// Who could have read along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nobody: it is TLS.
    Secret,
    /// Who may look into this machine's own traffic: it is in clear, and came by loopback.
    Local,
    /// Anybody on the way: it is in clear.
    Open,
}

impl Asker {
    /// Without TLS.
    #[must_use]
    pub fn plain(from: SocketAddr) -> Self {
        let is_local = from.ip().to_canonical().is_loopback();
        let way = if is_local { Way::Local } else { Way::Open };
        Self {
            from,
            way,
            shown: Arc::default(),
        }
    }
}

impl Connected<IncomingStream<'_, Port>> for Asker {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        let from = *stream.remote_addr();
        match stream.io() {
            Either::Left(_) => Self::plain(from),
            Either::Right(tls) => Self {
                from,
                way: Way::Secret,
                shown: tls
                    .get_ref()
                    .1
                    .peer_certificates()
                    .unwrap_or_default()
                    .into(),
            },
        }
    }
}

/// Takes connections, and does TLS with them where it has a certificate.
#[derive(Debug)]
pub(super) struct Port {
    listener: Listener,
    tls: Option<ServerTls>,
    handshakes: JoinSet<Option<(Io, SocketAddr)>>,
    /// The last of them, ended or not, the oldest first.
    begun: VecDeque<AbortHandle>,
}

type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Port {
    pub(super) fn new(listener: Listener, tls: Option<ServerTls>) -> Self {
        Self {
            listener,
            tls,
            handshakes: JoinSet::new(),
            begun: VecDeque::new(),
        }
    }

    /// Whoever says nothing makes room for who comes later: probes get through beside strangers.
    fn begin(&mut self, socket: TcpStream, from: SocketAddr, tls: TlsAcceptor) {
        let handshake = self.handshakes.spawn(secure(socket, from, tls));
        self.begun.push_back(handshake);
        if self.begun.len() > MOST_HANDSHAKES
            && let Some(oldest) = self.begun.pop_front()
        {
            oldest.abort();
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl axum::serve::Listener for Port {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.handshakes.join_next() => {
                    if let Some(secured) = secured(ended) {
                        return secured;
                    }
                }
                (socket, from) = self.listener.accept() => match &self.tls {
                    Some(tls) => {
                        let tls = tls.acceptor();
                        self.begin(socket, from, tls);
                    }
                    None => return (Either::Left(socket), from),
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

/// None: nothing came of it, which was told.
async fn secure(
    mut socket: TcpStream,
    from: SocketAddr,
    tls: TlsAcceptor,
) -> Option<(Io, SocketAddr)> {
    let handshake = async {
        refuse_plain(&mut socket).await?;
        tls.accept(socket).await
    };
    let ended = timeout(PATIENCE, handshake).await;
    match ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Some((Either::Right(Box::new(stream)), from)),
        Err(error) => {
            let error = chain(&error);
            tracing::debug!(client.addr = %from, error, "no TLS with who called the private port");
            None
        }
    }
}

fn secured(ended: Result<Option<(Io, SocketAddr)>, JoinError>) -> Option<(Io, SocketAddr)> {
    ended
        .inspect_err(|error| {
            if error.is_panic() {
                tracing::error!(%error, "a handshake's task panicked");
            }
        })
        .ok()
        .flatten()
}

/// For a handshake: ten round trips of a bad line.
const PATIENCE: Duration = Duration::from_secs(10);
/// The oldest gives way to one more. Operators, probes and scrapers are few, and theirs take moments.
const MOST_HANDSHAKES: usize = 64;
