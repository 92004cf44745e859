//! Decides how bytes are read below TLS: in large pieces, with no memory held while idle.
//!
//! rustls asks for 4 KiB at a time; a system call for each would cost more than the decryption.
//! Both ends of every TLS connection put a [`BufferedStream`] between it and the socket. It asks for
//! more each time it gets all that it asked for, so that a connection need not be known for what it
//! is: a client's requests are short, a tunnel's frames are not. The invariant: while nothing is to
//! be read, there is no buffer.

use std::io::{self, IoSlice};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Size of the first reads, in bytes: a TLS record.
const SMALLEST: usize = 16 << 10;
/// Size of the largest, in bytes: four records, or one batch of a tunnel's writer.
const LARGEST: usize = 64 << 10;

/// Two batches of a tunnel's writer, in bytes. On a line of 20 Mbit/s that is full, what is written
/// next waits 0.1 s instead of 0.45 s, on one of 100 Mbit/s 25 ms instead of 240 ms, and the line
/// carries as much as before.
pub const UNSENT_LIMIT: u32 = 128 * 1024;

/// A TCP stream that reads large pieces and holds no memory while idle.
///
/// Writes go straight to the socket, vectored ones too.
#[derive(Debug)]
pub struct BufferedStream {
    socket: TcpStream,
    /// Empty, or what one read brought.
    buffer: Vec<u8>,
    /// Where in `buffer` the unread bytes begin.
    start: usize,
    /// How much the next read asks for.
    size: usize,
    sizes: RangeInclusive<usize>,
}

impl BufferedStream {
    /// Wraps `socket`.
    #[must_use]
    pub fn new(socket: TcpStream) -> Self {
        Self::with_sizes(socket, SMALLEST..=LARGEST)
    }

    fn with_sizes(socket: TcpStream, sizes: RangeInclusive<usize>) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            start: 0,
            size: *sizes.start(),
            sizes,
        }
    }

    /// Lets at most [`UNSENT_LIMIT`] bytes wait unsent in the kernel before the socket counts as
    /// full (`TCP_NOTSENT_LOWAT`). For connections that carry many streams: what is small and
    /// written last must not queue behind megabytes written before.
    pub fn limit_unsent(&self) {
        if let Err(error) = SockRef::from(&self.socket).set_tcp_notsent_lowat(UNSENT_LIMIT) {
            tracing::debug!(%error, "no limit on what a socket holds unsent");
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        // A read that filled the buffer was cut short by it: more is likely to be waiting, and
        // the next read frees the buffer if not.
        if self.unread().is_empty() && !self.is_full() {
            self.release();
        }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() == self.buffer.capacity()
    }

    fn release(&mut self) {
        self.start = 0;
        self.buffer = Vec::new();
    }

    /// Reads once into the empty buffer. Memory is taken only when the socket has bytes.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.start = 0;
        self.buffer.clear();
        let filled = match self.socket.poll_read_ready(cx) {
            Poll::Ready(Ok(())) => {
                if self.buffer.capacity() != self.size {
                    self.buffer = Vec::with_capacity(self.size);
                }
                poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.buffer)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        match filled {
            Poll::Ready(Ok(count @ 1..)) => self.resize(count),
            Poll::Ready(_) | Poll::Pending => self.release(),
        }
        filled.map_ok(|_| ())
    }

    /// After a read that brought so many bytes.
    fn resize(&mut self, count: usize) {
        if self.is_full() {
            self.size = self.sizes.end().min(&(2 * self.size)).to_owned();
        } else if count < self.size / 4 {
            self.size = self.sizes.start().max(&(self.size / 2)).to_owned();
        }
    }
}

impl AsFd for BufferedStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for BufferedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread().is_empty() {
            if out.remaining() >= this.size {
                this.release();
                return Pin::new(&mut this.socket).poll_read(cx, out);
            }
            ready!(this.poll_fill(cx))?;
        }
        let count = this.unread().len().min(out.remaining());
        out.put_slice(this.unread().get(..count).unwrap_or_default());
        this.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BufferedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;
    use crate::net::{Listener, ReusePort, listen};

    const SOON: Duration = Duration::from_secs(5);

    async fn pair(sizes: RangeInclusive<usize>) -> (BufferedStream, TcpStream) {
        let bound = listen(SocketAddr::from(([127, 0, 0, 1], 0)), ReusePort::Exclusive).unwrap();
        let listener = Listener::new(bound).unwrap();
        let dial = TcpStream::connect(listener.local_addr().unwrap());
        let (far, (near, _)) = tokio::join!(dial, listener.accept());
        (BufferedStream::with_sizes(near, sizes), far.unwrap())
    }

    /// Reads once into `out` and says how many bytes came, 0 for "nothing yet".
    async fn read_now(stream: &mut BufferedStream, out: &mut [u8]) -> usize {
        poll_fn(|cx| {
            let mut out = ReadBuf::new(out);
            let polled = Pin::new(&mut *stream).poll_read(cx, &mut out);
            if let Poll::Ready(outcome) = polled {
                outcome.unwrap();
            }
            Poll::Ready(out.filled().len())
        })
        .await
    }

    #[tokio::test]
    async fn bytes_come_whole_and_in_order_whatever_the_sizes() {
        for (sizes, step) in [(1..=1, 1), (7..=50, 3), (64..=500, 4096), (100..=4096, 100)] {
            let (mut near, mut far) = pair(sizes.clone()).await;
            let sent: Vec<u8> = (0..20_000_u32)
                .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
                .collect();
            let write = async {
                far.write_all(&sent).await.unwrap();
                far.shutdown().await.unwrap();
            };
            let read = async {
                let mut got = Vec::new();
                let mut piece = vec![0; step];
                loop {
                    let count = near.read(&mut piece).await.unwrap();
                    if count == 0 {
                        return got;
                    }
                    got.extend_from_slice(&piece[..count]);
                }
            };
            let ((), got) = timeout(SOON, async { tokio::join!(write, read) })
                .await
                .unwrap();
            assert!(got == sent, "sizes {sizes:?}, step {step}");
        }
    }

    #[tokio::test]
    async fn idle_stream_holds_no_buffer() {
        let (mut near, mut far) = pair(4096..=4096).await;
        assert_eq!(read_now(&mut near, &mut [0; 8]).await, 0);
        assert_eq!(near.buffer.capacity(), 0, "nothing has come yet");

        far.write_all(b"0123456789").await.unwrap();
        let mut out = [0; 8];
        timeout(SOON, near.read_exact(&mut out))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (&out, near.buffer.capacity()),
            (b"01234567", 4096),
            "two bytes are unread"
        );

        timeout(SOON, near.read_exact(&mut out[..2]))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(near.buffer.capacity(), 0, "all is read");
    }

    #[tokio::test]
    async fn full_buffer_goes_back_once_the_socket_is_empty() {
        let (mut near, mut far) = pair(16..=16).await;
        far.write_all(&[1; 16]).await.unwrap();
        timeout(SOON, near.socket.readable())
            .await
            .unwrap()
            .unwrap();
        timeout(SOON, near.read_exact(&mut [0; 8]))
            .await
            .unwrap()
            .unwrap();
        timeout(SOON, near.read_exact(&mut [0; 8]))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(near.buffer.capacity(), 16, "more was likely");
        assert_eq!(read_now(&mut near, &mut [0; 8]).await, 0);
        assert_eq!(near.buffer.capacity(), 0);
    }

    #[tokio::test]
    async fn full_buffer_goes_back_once_a_reader_brings_a_larger_one() {
        let (mut near, mut far) = pair(16..=16).await;
        far.write_all(&[1; 16]).await.unwrap();
        timeout(SOON, near.read_exact(&mut [0; 15]))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read_now(&mut near, &mut [0; 1]).await, 1);
        assert_eq!(near.buffer.capacity(), 16, "more was likely");
        assert_eq!(read_now(&mut near, &mut [0; 16]).await, 0);
        assert_eq!(near.buffer.capacity(), 0);
    }

    #[tokio::test]
    async fn reads_grow_while_they_are_filled_and_shrink_when_little_comes() {
        let (mut near, mut far) = pair(16..=64).await;
        far.write_all(&[1; 16 + 32 + 64]).await.unwrap();
        for size in [32, 64, 64] {
            timeout(SOON, near.socket.readable())
                .await
                .unwrap()
                .unwrap();
            assert_ne!(read_now(&mut near, &mut [0; 1]).await, 0);
            assert_eq!(near.size, size);
            let mut rest = vec![0; near.unread().len()];
            timeout(SOON, near.read_exact(&mut rest))
                .await
                .unwrap()
                .unwrap();
        }
        for size in [32, 16, 16] {
            far.write_all(&[1]).await.unwrap();
            timeout(SOON, near.read_exact(&mut [0]))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(near.size, size);
        }
    }

    #[tokio::test]
    async fn unsent_limit_is_accepted_by_the_system() {
        let (near, _far) = pair(16..=16).await;
        near.limit_unsent();
        let limit = SockRef::from(&near).tcp_notsent_lowat().unwrap();
        assert_eq!(limit, UNSENT_LIMIT);
    }
}
