//! Counts the bytes of an upgraded connection as they pass, so that they are known however it ends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::forward::Count;

/// A connection whose bytes are counted.
#[derive(Debug)]
pub(super) struct Tallied<IO> {
    io: IO,
    read: Count,
    written: Count,
}

impl<IO> Tallied<IO> {
    pub(super) fn new(io: IO, read: Count, written: Count) -> Self {
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
        let read = Pin::new(&mut this.io).poll_read(cx, into);
        this.read.add(into.filled().len() - before);
        if read.is_pending() {
            // It may be long before there is more: a shell waits for its user.
            this.read.tell();
            this.written.tell();
        }
        read
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
        this.written.add(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Whoever copies flushes when nothing more is there to be written for now.
        this.written.tell();
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_told_before_anything_is_read() {
        let (near, _far) = tokio::io::duplex(64);
        let (read, written) = (Counter::default(), Counter::default());
        let mut tallied = Tallied::new(near, Count::of(&read), Count::of(&written));
        tallied.write_all(b"hello").await.unwrap();
        tallied.flush().await.unwrap();
        assert_eq!((read.get(), written.get()), (0, 5));
    }
}
