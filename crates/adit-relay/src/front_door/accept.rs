//! Decides who gets a connection: how many there may be, and for how long a TLS handshake may take.
//!
//! Called by `front_door.rs` for each socket, and by `gitlab/api.rs`. Invariant: whoever holds a [`Place`] is counted, from before the
//! handshake until the last byte, upgraded connections included.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use adit_identity::site;
use adit_process::{
    net::{BufferedStream, WebSocket},
    tls::{H2, refuse_plain},
};
use dashmap::DashMap;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, rustls::pki_types::CertificateDer, server::TlsStream};
use tokio_util::either::Either;

use super::proxy_header::BadProxyHeader;
use crate::metrics::{NoHandshake, Spoken};

/// Counts connections, over all shards.
#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicUsize,
    by_site: DashMap<IpAddr, usize>,
}

/// Why a connection is hung up on before the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("the relay has as many connections as it may")]
    Relay,
    #[error("this address has as many connections as it may")]
    Address,
}

impl Places {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            by_site: DashMap::new(),
        })
    }

    /// Takes one of so many places until it is dropped.
    pub(crate) fn take(self: &Arc<Self>, most: usize) -> Result<Place, NoPlace> {
        let place = Place {
            places: Arc::clone(self),
            site: None,
        };
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken >= most {
            return Err(NoPlace::Relay);
        }
        Ok(place)
    }
}

/// One counted connection.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// The site for which it is counted, once that is known.
    site: Option<IpAddr>,
}

impl Place {
    /// Counts it for an address, too, whose site may have so many.
    pub(crate) fn of(mut self, address: IpAddr, most: usize) -> Result<Self, NoPlace> {
        let site = site(address);
        let mut of_site = self.places.by_site.entry(site).or_insert(0);
        let is_full = *of_site >= most;
        if !is_full {
            *of_site += 1;
        }
        drop(of_site);
        if is_full {
            return Err(NoPlace::Address);
        }
        self.site = Some(site);
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(site) = self.site {
            self.places.by_site.remove_if_mut(&site, |_, count| {
                *count = count.saturating_sub(1);
                *count == 0
            });
        }
    }
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("a balancer did not say who is behind it")]
    ProxyHeader(#[source] BadProxyHeader),
    #[error("the TLS handshake took longer than it may")]
    TimedOut,
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
}

impl From<&HandshakeError> for NoHandshake {
    fn from(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::ProxyHeader(_) => Self::ProxyHeader,
            HandshakeError::TimedOut => Self::TimedOut,
            HandshakeError::Tls(_) => Self::Tls,
        }
    }
}

/// What a client speaks, once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl From<Protocol> for Spoken {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1,
            Protocol::Http2 => Self::Http2,
        }
    }
}

/// A client's connection below HTTP: plain, or TLS, which is large.
pub(crate) type Io = Either<BufferedStream, Box<TlsStream<BufferedStream>>>;

/// What HTTP/2 is spoken on: the connection itself, or a WebSocket that an HTTP/1 request has made of it.
pub(crate) type Http2Io = Either<Io, Box<WebSocket<Io>>>;

/// The WebSocket that a connection has become; `ahead` was read already.
pub(super) async fn into_websocket(io: Io, ahead: Vec<u8>) -> Http2Io {
    socket_of(&io).limit_unsent();
    Either::Right(Box::new(WebSocket::accepted(io, ahead).await))
}

/// Does the TLS handshake, or looks at the first bytes of a plain connection; until `deadline` either way.
pub(crate) async fn accept(
    socket: TcpStream,
    tls: Option<&TlsAcceptor>,
    deadline: Instant,
) -> Result<(Io, Protocol), HandshakeError> {
    let accepted = async {
        match tls {
            Some(tls) => accept_tls(socket, tls).await,
            None => accept_plain(socket).await,
        }
    };
    let (io, protocol) = timeout_at(deadline, accepted)
        .await
        .map_err(|_| HandshakeError::TimedOut)?
        .map_err(HandshakeError::Tls)?;
    if protocol == Protocol::Http2 {
        socket_of(&io).limit_unsent();
    }
    Ok((io, protocol))
}

async fn accept_tls(mut socket: TcpStream, tls: &TlsAcceptor) -> io::Result<(Io, Protocol)> {
    refuse_plain(&mut socket).await?;
    let stream = tls.accept(BufferedStream::new(socket)).await?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(H2) => Protocol::Http2,
        Some(_) | None => Protocol::Http1,
    };
    Ok((Io::Right(Box::new(stream)), protocol))
}

/// Plain connections exist on loopback only, and behind a balancer at which TLS ends; there the client preface tells HTTP/2 from HTTP/1 (RFC 9113 section 3.4).
async fn accept_plain(socket: TcpStream) -> io::Result<(Io, Protocol)> {
    let mut start = [0; 3];
    let seen = socket.peek(&mut start).await?;
    // Clients send their 24 bytes of preface at once; one that does not is read as HTTP/1 and refused there.
    let protocol = if &start == b"PRI" {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    if seen == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((Io::Left(BufferedStream::new(socket)), protocol))
}

fn socket_of(io: &Io) -> &BufferedStream {
    match io {
        Io::Left(plain) => plain,
        Io::Right(tls) => tls.get_ref().0,
    }
}

/// What the client showed in the handshake; its own certificate first.
pub(super) fn certificates_of(io: &Io) -> &[CertificateDer<'static>] {
    match io {
        Io::Left(_) => None,
        Io::Right(tls) => tls.get_ref().1.peer_certificates(),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_process::net::UNSENT_LIMIT;
    use socket2::SockRef;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[tokio::test]
    async fn kernel_holds_little_of_a_connection_with_many_streams() {
        let listener = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
        for (start, limited) in [("PRI * HTTP/2.0", true), ("GET / HTTP/1.1", false)] {
            let mut far = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            far.write_all(start.as_bytes()).await.unwrap();
            let (near, _) = listener.accept().await.unwrap();
            let soon = Instant::now() + Duration::from_secs(5);
            let (io, _) = accept(near, None, soon).await.unwrap();
            let limit = SockRef::from(socket_of(&io)).tcp_notsent_lowat().unwrap();
            assert_eq!(limit == UNSENT_LIMIT, limited, "{start}");
        }
    }

    #[test]
    fn connections_are_limited_in_all_and_by_address() {
        let places = Places::new();
        let take = |address| places.take(3).and_then(|place| place.of(address, 2));
        let here = [take(HERE).unwrap(), take(HERE).unwrap()];
        assert_eq!(take(HERE).unwrap_err(), NoPlace::Address);
        let _there = take(THERE).unwrap();
        assert_eq!(take(THERE).unwrap_err(), NoPlace::Relay);
        drop(here);
        assert!(take(HERE).is_ok());
        assert_eq!(places.by_site.len(), 1);
    }

    #[test]
    fn hosts_of_one_network_have_its_places_together() {
        let places = Places::new();
        let take = |address: &str| {
            let place = places.take(10).unwrap();
            place.of(address.parse().unwrap(), 2)
        };
        let held = [
            take("2001:db8:0:1::1").unwrap(),
            take("2001:db8:0:1::2").unwrap(),
        ];
        assert_eq!(take("2001:db8:0:1::3").unwrap_err(), NoPlace::Address);
        assert!(take("2001:db8:0:2::3").is_ok());
        drop(held);
        assert!(places.by_site.is_empty());
        assert!(take("2001:db8:0:1::3").is_ok());
    }
}
