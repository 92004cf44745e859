//! Decides how a port is bound and how a connection is taken from it.
//!
//! The front door and the admin listener accept here. The invariant: [`Listener::accept`] never
//! fails and never spins, so that an accept loop ends only when its owner ends it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

/// Whether several sockets may be bound to one address, as one listener per shard needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusePort {
    /// `SO_REUSEPORT`: the kernel spreads connections over all sockets bound with it.
    Shared,
    /// One socket owns the port; a second bind fails.
    Exclusive,
}

/// Binds `addr` (port 0: any free port) without needing a runtime.
///
/// # Errors
/// What `socket`, `setsockopt`, `bind` or `listen` said.
pub fn listen(addr: SocketAddr, reuse: ReusePort) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if reuse == ReusePort::Shared {
        socket.set_reuse_port(true)?;
    }
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // `[::]` means every address, whatever the machine's default for IPv4 is.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What to do when an address cannot be listened on, after what the system said.
#[must_use]
pub fn listen_advice(error: &io::Error) -> &'static str {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        "something else listens there: choose another address, or stop it"
    } else if kind == io::ErrorKind::PermissionDenied {
        "a port below 1024 needs root, or the capability CAP_NET_BIND_SERVICE"
    } else {
        "choose an address that this machine has"
    }
}

/// Binds `count` sockets to one address, one per shard; with port 0 all share the port that the
/// first was given. A single one is bound [`ReusePort::Exclusive`], so that a second process on
/// the same port is an error instead of a silent half of the traffic.
///
/// # Errors
/// As [`listen`].
pub fn listen_shards(addr: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    if count <= 1 {
        return Ok(vec![listen(addr, ReusePort::Exclusive)?]);
    }
    let first = listen(addr, ReusePort::Shared)?;
    let addr = first.local_addr()?;
    let mut bound = vec![first];
    for _ in 1..count {
        bound.push(listen(addr, ReusePort::Shared)?);
    }
    Ok(bound)
}

/// A listener on the current runtime whose accept never fails.
#[derive(Debug)]
pub struct Listener {
    inner: tokio::net::TcpListener,
}

impl Listener {
    /// Hands a socket from [`listen`] to the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot register the socket.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(bound: std::net::TcpListener) -> io::Result<Self> {
        bound.set_nonblocking(true)?;
        Ok(Self {
            inner: tokio::net::TcpListener::from_std(bound)?,
        })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// What `getsockname` said.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The next connection, with `TCP_NODELAY` set.
    ///
    /// A connection that died in the queue is skipped. When the process or the machine is out of
    /// descriptors or memory, it waits (5 ms, doubling up to 1 s) and says so once. Cancel-safe.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        let mut pause = Duration::ZERO;
        loop {
            let error = match self.inner.accept().await {
                Ok((socket, from)) if socket.set_nodelay(true).is_ok() => return (socket, from),
                // The far end is gone already.
                Ok(_) => continue,
                Err(error) => error,
            };
            let Some(next) = pause_after(&error, pause) else {
                continue;
            };
            if pause.is_zero() {
                tracing::warn!(%error, "cannot accept connections, trying again");
            }
            pause = next;
            tokio::time::sleep(pause).await;
        }
    }
}

/// How long to wait after `error` when the last wait was `last`; `None` when the error says
/// something about one connection only.
fn pause_after(error: &io::Error, last: Duration) -> Option<Duration> {
    let is_about_one = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    (!is_about_one).then(|| (last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE))
}

/// Connections the kernel holds until we accept them; it lowers this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[tokio::test]
    async fn connection_is_accepted_without_delay_set() {
        let listener = Listener::new(listen(any_port(), ReusePort::Exclusive).unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let both = async { tokio::join!(TcpStream::connect(addr), listener.accept()) };
        let (dialled, (accepted, from)) = timeout(SOON, both).await.unwrap();
        assert_eq!(dialled.unwrap().local_addr().unwrap(), from);
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn shards_share_one_port() {
        let bound = listen_shards(any_port(), 3).unwrap();
        let mut ports: Vec<u16> = bound
            .iter()
            .map(|one| one.local_addr().unwrap().port())
            .collect();
        ports.dedup();
        assert_eq!((bound.len(), ports.len()), (3, 1));
    }

    #[test]
    fn second_owner_of_an_exclusive_port_is_refused() {
        let first = listen_shards(any_port(), 1).unwrap();
        let addr = first.first().unwrap().local_addr().unwrap();
        assert_eq!(
            listen(addr, ReusePort::Exclusive).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(
            listen(addr, ReusePort::Shared).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }

    #[test]
    fn lack_of_descriptors_is_waited_out_ever_longer() {
        let too_many_open_files = io::Error::from_raw_os_error(24);
        let mut pause = Duration::ZERO;
        let pauses: Vec<u128> = std::iter::repeat_with(|| {
            pause = pause_after(&too_many_open_files, pause).unwrap();
            pause.as_millis()
        })
        .take(10)
        .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn connection_that_died_in_the_queue_costs_no_wait() {
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(pause_after(&aborted, Duration::ZERO), None);
    }
}
