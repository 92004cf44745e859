//! Counts the bytes of a connection as they pass, so that they are known however it ends.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose bytes are counted, if somebody wants to know.
#[derive(Debug)]
pub(super) struct Tallied<IO> {
    io: IO,
    read: Option<Arc<AtomicU64>>,
    written: Option<Arc<AtomicU64>>,
}

impl<IO> Tallied<IO> {
    pub(super) fn new(
        io: IO,
        read: Option<Arc<AtomicU64>>,
        written: Option<Arc<AtomicU64>>,
    ) -> Self {
        Self { io, read, written }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Tallied<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, into))?;
        add(&this.read, into.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Tallied<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, data))?;
        add(&this.written, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

fn add(tally: &Option<Arc<AtomicU64>>, bytes: usize) {
    if let Some(tally) = tally {
        tally.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
