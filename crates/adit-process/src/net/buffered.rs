//! Decides how bytes are read below TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Read buffer of a connection from a client, in bytes.
pub const CLIENT_BUFFER: usize = 32 * 1024;
/// Read buffer of a connection that carries a tunnel, in bytes.
pub const TUNNEL_BUFFER: usize = 64 * 1024;

/// A TCP stream that reads large pieces and holds no memory while idle.
#[derive(Debug)]
pub struct BufferedStream {
    socket: TcpStream,
}

impl BufferedStream {
    /// Wraps `socket`; `capacity` bytes are asked for in each read.
    #[must_use]
    pub fn new(socket: TcpStream, capacity: usize) -> Self {
        let _ = capacity;
        Self { socket }
    }

    /// Changes the size of reads from the next one on, e.g. once a connection turns out to be a tunnel.
    pub fn set_capacity(&mut self, capacity: usize) {
        let _ = capacity;
    }

    /// The far end's address.
    ///
    /// # Errors
    /// What `getpeername` said.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }
}

impl AsyncRead for BufferedStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
}

impl AsyncWrite for BufferedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
