//! Decides how a port is bound and how a connection is taken from it; the invariant is that
//! `Listener::accept` never fails.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Whether several sockets may be bound to one address, for one listener per shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusePort {
    /// `SO_REUSEPORT`: the kernel spreads connections over all sockets bound with it.
    Shared,
    /// One socket owns the port, a second bind fails.
    Exclusive,
}

/// Binds `addr` (port 0: any free port) without needing a runtime.
///
/// # Errors
/// What `socket`, `bind` or `listen` said.
pub fn listen(addr: SocketAddr, reuse: ReusePort) -> io::Result<std::net::TcpListener> {
    let _ = (addr, reuse);
    todo!()
}

/// Binds `count` sockets to one address, one per shard; with port 0 all share the port that the
/// first was given.
///
/// # Errors
/// As [`listen`].
pub fn listen_shards(addr: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let _ = (addr, count);
    todo!()
}

/// A listener on the current runtime whose accept never fails.
#[derive(Debug)]
pub struct Listener {
    inner: tokio::net::TcpListener,
}

impl Listener {
    /// Hands a bound socket to the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot register the socket.
    pub fn new(bound: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self { inner: tokio::net::TcpListener::from_std(bound)? })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// What `getsockname` said.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The next connection, with `TCP_NODELAY` set. Cancel-safe.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        todo!()
    }
}
