//! Decides when what an HTTP/2 connection writes goes out: once after each turn of its task, not frame by frame.
//!
//! The h2 crate writes each DATA frame of 256 bytes or more by a call of its own and flushes behind it. Below that is TLS, where each
//! call makes a record and a system call, which cost more than all else that is done for a small answer. So [`Corked`] stands between
//! the two: it takes what fits and calls it flushed, and its [`Cork`], which the connection's task holds, lets it out.
//!
//! Invariants: bytes leave in the order they came; there is no buffer while nothing waits; whoever runs the connection runs it by
//! [`Cork::run`], or what it wrote last stays here.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream as its writer sees it.
#[derive(Debug)]
pub struct Corked<IO>(Arc<Mutex<Bottle<IO>>>);

/// Lets out what was written.
#[derive(Debug)]
pub struct Cork<IO>(Arc<Mutex<Bottle<IO>>>);

#[derive(Debug)]
struct Bottle<IO> {
    io: IO,
    /// What was written, and how much of it has gone out.
    waiting: Vec<u8>,
    gone: usize,
}

/// Puts a cork on a stream.
pub fn cork<IO>(io: IO) -> (Corked<IO>, Cork<IO>) {
    let bottle = Arc::new(Mutex::new(Bottle {
        io,
        waiting: Vec::new(),
        gone: 0,
    }));
    (Corked(Arc::clone(&bottle)), Cork(bottle))
}

impl<IO: AsyncWrite + Unpin> Cork<IO> {
    /// Runs what uses the [`Corked`] stream. Cancel-safe if `work` is.
    ///
    /// That the stream has failed is for `work` to notice, by reading.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            let turn = work.as_mut().poll(cx);
            let _: Poll<io::Result<()>> = self.0.lock().poll_out(cx);
            turn
        })
        .await
    }
}

impl<IO: AsyncWrite + Unpin> Bottle<IO> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .waiting
            .get(self.gone..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.gone += count,
            }
        }
        self.waiting = Vec::new();
        self.gone = 0;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Whether `bytes` more fit, after all has gone out if need be.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        let fit = bytes <= CAPACITY / 2;
        if !fit || self.waiting.len() + bytes > CAPACITY {
            ready!(self.poll_out(cx))?;
        }
        Poll::Ready(Ok(fit))
    }

    fn keep(&mut self, data: &[u8]) {
        if self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(RECORD);
        }
        self.waiting.extend_from_slice(data);
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Corked<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().io).poll_read(cx, into)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Corked<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bottle = &mut *self.0.lock();
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if ready!(bottle.poll_room(cx, bytes))? {
            slices.iter().for_each(|slice| bottle.keep(slice));
            return Poll::Ready(Ok(bytes));
        }
        Pin::new(&mut bottle.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Left to the [`Cork`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let bottle = &mut *self.0.lock();
        ready!(bottle.poll_out(cx))?;
        Pin::new(&mut bottle.io).poll_shutdown(cx)
    }
}

/// What one TLS record holds: where the buffer begins, and all that a small answer takes.
const RECORD: usize = 16 << 10;
/// Where it ends: four records, so that the frames of a large answer, of 16 KiB and a head of 9 bytes at most (RFC 9113 section 4.2
/// and 4.1), share records and system calls. What alone takes more than half of it goes past: to copy that would cost more than to
/// write it apart.
const CAPACITY: usize = 4 * RECORD;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    async fn read_now(far: &mut tokio::io::DuplexStream) -> usize {
        let mut out = vec![0; 1 << 20];
        tokio::select! {
            biased;
            count = far.read(&mut out) => count.unwrap(),
            () = std::future::ready(()) => 0,
        }
    }

    #[tokio::test]
    async fn what_a_turn_writes_goes_out_together_at_its_end() {
        let (near, mut far) = duplex(1 << 20);
        let (mut corked, cork) = cork(near);
        let turn = async {
            for _ in 0..8 {
                corked.write_all(&[1; 1000]).await.unwrap();
                corked.flush().await.unwrap();
            }
            assert_eq!(read_now(&mut far).await, 0);
        };
        cork.run(turn).await;
        assert_eq!(read_now(&mut far).await, 8000);
        assert_eq!(cork.0.lock().waiting.capacity(), 0, "nothing waits");
    }

    #[tokio::test]
    async fn bytes_come_whole_and_in_order_whatever_the_sizes() {
        let sizes = [
            1,
            999,
            CAPACITY - 1000,
            1,
            CAPACITY,
            CAPACITY + 1,
            5,
            100_000,
            3,
        ];
        let sent: Vec<u8> = (0..sizes.iter().sum::<usize>())
            .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
            .collect();
        for room in [1, 100, 1 << 20] {
            let (near, mut far) = duplex(room);
            let (mut corked, cork) = cork(near);
            let write = async {
                let mut rest = &sent[..];
                for size in sizes {
                    let (piece, more) = rest.split_at(size);
                    corked.write_all(piece).await.unwrap();
                    rest = more;
                }
                corked.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let (_, read) = tokio::join!(cork.run(write), far.read_to_end(&mut got));
            read.unwrap();
            assert!(got == sent, "through {room} bytes");
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_holds_up_the_writer() {
        let (near, _far) = duplex(10);
        let (mut corked, cork) = cork(near);
        let mut taken = 0;
        let write = async {
            loop {
                taken += corked.write(&[0; 1000]).await.unwrap();
            }
        };
        tokio::select! {
            biased;
            () = cork.run(write) => {}
            () = tokio::task::yield_now() => {}
        }
        assert!(taken <= CAPACITY + 10, "{taken} bytes were taken");
    }
}
