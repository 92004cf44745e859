//! Bodies of requests and answers.

use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{sync::broadcast, time::Instant};

/// Any of them.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

#[must_use]
pub fn empty() -> Body {
    Empty::new().boxed_unsync()
}

#[must_use]
pub fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

/// So many bytes, in the pieces that a socket would give.
#[must_use]
pub fn pieces(bytes: usize) -> Body {
    pieces_while(bytes, || true)
}

/// The same, but no more of them once it is late.
#[must_use]
pub fn pieces_until(bytes: usize, late: Instant) -> Body {
    pieces_while(bytes, move || Instant::now() < late)
}

fn pieces_while(bytes: usize, goes_on: impl Fn() -> bool + Send + 'static) -> Body {
    const PIECE: &[u8] = &[b'x'; 16 << 10];
    let sizes = (0..bytes)
        .step_by(PIECE.len())
        .map(move |at| (bytes - at).min(PIECE.len()));
    let sizes = sizes.take_while(move |_| goes_on());
    let frames = sizes.map(|size| Ok(Frame::data(Bytes::from_static(PIECE).slice(..size))));
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// Each event as it comes, for ever.
#[must_use]
pub fn events(events: broadcast::Receiver<Bytes>) -> Body {
    let frames = stream::unfold(events, async |mut events| {
        let line = events.recv().await.ok()?;
        Some((Ok(Frame::data(line)), events))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Reads one to its end, and says how many bytes it had.
pub async fn length<B>(mut body: B) -> Result<u64>
where
    B: http_body::Body<Data = Bytes, Error: Into<anyhow::Error>> + Unpin,
{
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Into::into)?;
        length += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(length)
}
