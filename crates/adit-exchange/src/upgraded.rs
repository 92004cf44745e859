//! A stream after a 101: two byte streams that end separately. The relay joins one to the caller's connection, the agent to the
//! API server's. Invariant: an end of file is the other end's own; whatever else ends the stream is an error.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use adit_tunnel::{Read, ResetReason, StreamError, TunnelStream};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An upgraded connection's end. `shutdown` ends our half, and the other goes on; dropping it before both have ended resets it.
#[derive(Debug)]
pub struct Upgraded {
    stream: Arc<TunnelStream>,
    /// What came and was not read yet.
    unread: Bytes,
    is_shut: bool,
}

impl Upgraded {
    /// The stream as bytes. Only after a 101, and only by whoever reads and writes it alone from here.
    #[must_use]
    pub fn new(stream: Arc<TunnelStream>) -> Self {
        Self {
            stream,
            unread: Bytes::new(),
            is_shut: false,
        }
    }

    /// Resolves once the stream has ended by accident: for whoever waits meanwhile for the other connection, which may take nothing.
    /// There may be one such future at a time.
    pub fn failure(&self) -> impl Future<Output = StreamError> + use<> {
        let stream = Arc::clone(&self.stream);
        poll_fn(move |cx| stream.poll_failure(cx))
    }

    /// Waits for bytes; none at the end.
    fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.stream.poll_read(cx)).map_err(broken)? {
                Read::Data(data) => self.unread = data,
                Read::End => break,
                Read::Trailers(_) => {
                    self.stream
                        .reset(ResetReason::Protocol, "trailers on an upgraded connection");
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        let len = self.unread.len().min(buf.remaining());
        if let Some(read) = self.unread.get(..len) {
            buf.put_slice(read);
        }
        self.unread.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.stream.poll_room(cx)).map_err(broken)?;
        let chunk = buf.get(..MAX_CHUNK_BYTES).unwrap_or(buf);
        // The one copy: `AsyncWrite` lends its bytes for the length of the call.
        self.stream
            .write(Bytes::copy_from_slice(chunk), false)
            .map_err(broken)?;
        Poll::Ready(Ok(chunk.len()))
    }

    /// What is written is on its way: the tunnel's writer takes it as soon as the wire has room.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            self.stream.write(Bytes::new(), true).map_err(broken)?;
            self.is_shut = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        let is_complete = self.is_shut && self.unread.is_empty() && self.stream.is_read_end();
        if !is_complete {
            self.stream
                .reset(ResetReason::Cancelled, "the connection was closed");
        }
    }
}

fn broken(error: StreamError) -> io::Error {
    let kind = match &error {
        StreamError::Reset { .. } => io::ErrorKind::ConnectionReset,
        StreamError::Cut { .. } | StreamError::SessionEnded(_) => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

/// Most that one write takes, so that the queue's bound, which lets the last write in whole, stays near what it says.
const MAX_CHUNK_BYTES: usize = 32 << 10;
