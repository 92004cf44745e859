//! Counts the bytes of a body as they pass; they reach the metrics when the body is dropped, in one addition.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;

/// A body whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    body: B,
    count: Count,
}

#[derive(Debug)]
struct Count {
    bytes: u64,
    total: Counter,
}

impl<B> Counted<B> {
    pub(crate) fn new(body: B, total: &Counter) -> Self {
        Self {
            body,
            count: Count {
                bytes: 0,
                total: total.clone(),
            },
        }
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
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.count.bytes += data.len() as u64;
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

impl Drop for Count {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.total.inc_by(self.bytes);
        }
    }
}
