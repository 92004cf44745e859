//! Counts the bytes of a body as they pass. They reach the metrics in steps, since an addition there is shared by all cores: every
//! [`STEP`] bytes, when the body has nothing more for now, and at its end. Whoever wants to know of one body alone has it at once.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;

/// Bytes that are counted at once while a body flows.
const STEP: u64 = 64 << 10;

/// A body whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    body: B,
    count: Count,
}

/// A count of bytes.
#[derive(Debug)]
pub(crate) struct Count {
    bytes: u64,
    total: Counter,
    /// For the audit log, and for operators.
    of_body: [Option<Arc<AtomicU64>>; 2],
}

impl<B> Counted<B> {
    pub(crate) fn new(body: B, total: &Counter) -> Self {
        Self {
            body,
            count: Count::of(total),
        }
    }

    /// Counts them there, too.
    pub(crate) fn also(mut self, of_body: Option<Arc<AtomicU64>>) -> Self {
        self.count = self.count.also(of_body);
        self
    }

    pub(crate) fn inner(&self) -> &B {
        &self.body
    }

    pub(crate) fn into_inner(self) -> B {
        self.body
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.count.add(frame.data_ref().map_or(0, Bytes::len));
            }
            // It may be long before the next one: a watch.
            Poll::Pending => this.count.tell(),
            Poll::Ready(Some(Err(_)) | None) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Count {
    /// Adds to this total.
    pub(crate) fn of(total: &Counter) -> Self {
        Self {
            bytes: 0,
            total: total.clone(),
            of_body: [None, None],
        }
    }

    /// Adds there, too, and at once; at most in two places.
    pub(crate) fn also(mut self, of_body: Option<Arc<AtomicU64>>) -> Self {
        if let Some(free) = self.of_body.iter_mut().find(|place| place.is_none()) {
            *free = of_body;
        }
        self
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes += bytes;
        for of_body in self.of_body.iter().flatten() {
            of_body.fetch_add(bytes, Ordering::Relaxed);
        }
        if self.bytes >= STEP {
            self.tell();
        }
    }

    pub(crate) fn tell(&mut self) {
        if self.bytes > 0 {
            self.total.inc_by(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn pieces(size: usize, count: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let piece = move |_| Ok(Frame::data(Bytes::from(vec![0; size])));
        StreamBody::new(stream::iter(0..count).map(piece).chain(stream::pending()))
    }

    #[tokio::test]
    async fn running_body_is_counted_in_steps_and_when_it_pauses() {
        let total = Counter::default();
        let mut body = Counted::new(pieces(40 << 10, 3), &total);
        let mut seen = Vec::new();
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
            seen.push(total.get() >> 10);
        }
        assert_eq!(seen, [0, 80, 80]);
        assert!(futures_util::poll!(body.frame()).is_pending());
        assert_eq!(total.get() >> 10, 120);
    }

    #[tokio::test]
    async fn body_that_is_dropped_is_counted() {
        let total = Counter::default();
        let mut body = Counted::new(pieces(10, 1), &total);
        body.frame().await.unwrap().unwrap();
        assert_eq!(total.get(), 0);
        drop(body);
        assert_eq!(total.get(), 10);
    }
}
