//! Bodies of requests and answers: none, whole, piece by piece by hand, and patterns of any length.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

use crate::pattern;

/// Any body.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Bytes of one frame of a pattern.
const PIECE: usize = 32 << 10;

#[must_use]
pub fn empty() -> Body {
    Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body and the hand that feeds it. Dropping the hand ends the body well; [`Hand::fail`] breaks it off.
#[must_use]
pub fn by_hand() -> (Hand, Body) {
    let (hand, frames) = mpsc::channel(16);
    (Hand(hand), StreamBody::new(Receiver(frames)).boxed_unsync())
}

/// `total` bytes of the pattern.
#[must_use]
pub fn pattern(total: u64) -> Body {
    let mut sent = 0;
    let frames = std::iter::from_fn(move || {
        let left = usize::try_from(total - sent)
            .unwrap_or(usize::MAX)
            .min(PIECE);
        (left > 0).then(|| {
            let piece = pattern::piece(sent, left);
            sent += piece.len() as u64;
            Ok(Frame::data(piece))
        })
    });
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

/// `total` bytes of the pattern with their length known beforehand.
#[must_use]
pub fn pattern_of_known_length(total: u64) -> Body {
    of_known_length(pattern(total), total)
}

/// `body`, whose length is said to be `total`, whether that is true or not.
#[must_use]
pub fn of_known_length(body: Body, total: u64) -> Body {
    Sized { body, total }.boxed_unsync()
}

struct Sized {
    body: Body,
    total: u64,
}

impl http_body::Body for Sized {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.total)
    }
}

/// Feeds a body.
#[derive(Clone, Debug)]
pub struct Hand(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Hand {
    /// Sends a piece; waits while the reader is behind. Whether anyone still reads.
    pub async fn data(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(bytes.into()))).await.is_ok()
    }

    /// Ends the body with trailers.
    pub async fn trailers(self, trailers: HeaderMap) {
        let _ = self.0.send(Ok(Frame::trailers(trailers))).await;
    }

    /// Breaks the body off.
    pub async fn fail(self) {
        let _ = self
            .0
            .send(Err(io::Error::other("broken off on purpose")))
            .await;
    }

    /// Resolves when nobody reads any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

struct Receiver<T>(mpsc::Receiver<T>);

impl<T> futures_util::Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(cx)
    }
}
