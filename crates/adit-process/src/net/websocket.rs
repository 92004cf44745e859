//! Decides how a stream of bytes travels inside a WebSocket (RFC 6455), for balancers that let nothing better through.
//!
//! The relay's front door takes one over from hyper, the agent dials one; above it either speaks
//! HTTP/2 as on any other stream. Bytes go in binary messages, whose bounds mean nothing. Invariant:
//! a peer makes this end hold no more than [`MOST`] bytes of a message, and each turn of a writer
//! makes one frame.

mod handshake;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

pub use handshake::{NoUpgrade, NoWebSocket, agree};

/// Bytes in the binary messages of a WebSocket.
#[derive(Debug)]
pub struct WebSocket<IO> {
    messages: Box<WebSocketStream<IO>>,
    /// What is left of the message that is being read.
    unread: Bytes,
    /// The peer has said goodbye.
    is_over: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocket<IO> {
    /// The end that was dialled, once [`agree`]'s answer was sent. `ahead` was read from `io` already.
    pub async fn accepted(io: IO, ahead: Vec<u8>) -> Self {
        let messages =
            WebSocketStream::from_partially_read(io, ahead, Role::Server, Some(limits()));
        Self::of(messages.await)
    }

    fn of(messages: WebSocketStream<IO>) -> Self {
        Self {
            messages: Box::new(messages),
            unread: Bytes::new(),
            is_over: false,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        while !self.is_over {
            let message = ready!(Pin::new(&mut self.messages).poll_next(cx));
            match message.transpose().map_err(to_io)? {
                Some(Message::Binary(data)) if data.is_empty() => {}
                Some(Message::Binary(data)) => return Poll::Ready(Ok(Some(data))),
                Some(Message::Text(_)) => {
                    let text = io::Error::new(io::ErrorKind::InvalidData, "a message is text");
                    return Poll::Ready(Err(text));
                }
                // They are answered below this.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Some(Message::Close(_)) => {
                    self.is_over = true;
                    // The answer, which nobody has to wait for.
                    let _: Poll<_> = Pin::new(&mut self.messages).poll_flush(cx);
                }
                None => self.is_over = true,
            }
        }
        Poll::Ready(Ok(None))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            match ready!(this.poll_message(cx))? {
                Some(data) => this.unread = data,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = this.unread.len().min(into.remaining());
        into.put_slice(this.unread.get(..count).unwrap_or_default());
        this.unread.advance(count);
        if this.unread.is_empty() {
            // A slice, however short, keeps all that was read with it.
            this.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<IO> {
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
        let mut messages = Pin::new(&mut self.get_mut().messages);
        ready!(messages.as_mut().poll_ready(cx)).map_err(to_io)?;
        let data = gather(slices);
        let count = data.len();
        if count > 0 {
            messages.start_send(Message::Binary(data)).map_err(to_io)?;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let messages = Pin::new(&mut self.get_mut().messages);
        messages.poll_flush(cx).map_err(to_io)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let messages = Pin::new(&mut self.get_mut().messages);
        messages.poll_close(cx).map_err(to_io)
    }
}

/// What goes into one message.
fn gather(slices: &[IoSlice<'_>]) -> Bytes {
    let all: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut data = BytesMut::with_capacity(all.min(LARGEST_WRITE));
    for slice in slices {
        let room = LARGEST_WRITE - data.len();
        data.extend_from_slice(slice.get(..room.min(slice.len())).unwrap_or_default());
    }
    data.freeze()
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // HTTP/2 gathers what it writes; a frame of its own would wait for nothing.
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MOST)
        .max_frame_size(Some(MOST))
        .max_message_size(Some(MOST))
}

fn to_io(error: Error) -> io::Error {
    if let Error::Io(error) = error {
        return error;
    }
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Largest message that is taken, in bytes: four times what this end sends, since others may join frames.
pub const MOST: usize = 4 * LARGEST_WRITE;
/// Largest message that is sent, in bytes: one batch of a tunnel's writer, and the head of its frame (RFC 9113 section 4.1).
const LARGEST_WRITE: usize = (64 << 10) + 9;
/// Bytes that are held from the start, for each connection: so no more than one TLS record.
const READ_BUFFER: usize = 16 << 10;

#[cfg(test)]
mod tests;
