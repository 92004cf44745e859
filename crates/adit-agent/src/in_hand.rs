//! Decides how many bytes of requests may be on their way from the tunnel, for which they are read, to the API server, which
//! has not taken them. [`crate::serve`] counts heads and bodies here.
//! Invariant: what is in hand is counted until it was given on or dropped; past the bound a request is refused or reset, as
//! overloaded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adit_process::metrics::Held;
use adit_tunnel::{ResetReason, StreamError, TunnelStream};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus_client::metrics::gauge::Gauge;

/// The bound, for all requests of a process.
#[derive(Clone, Debug)]
pub(crate) struct InHand {
    pub(crate) bytes: Gauge,
    pub(crate) max: usize,
}

/// A request's body whose last frame is counted until the next is asked for, thus when it has been given on.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    body: B,
    stream: Arc<TunnelStream>,
    in_hand: InHand,
    last: Option<Held>,
}

impl InHand {
    /// Counts so many more, if there is room for them.
    pub(crate) fn take(&self, bytes: usize) -> Option<Held> {
        Held::within(&self.bytes, bytes, self.max)
    }

    /// Counts a body. Past the bound its stream is reset.
    pub(crate) fn count<B>(&self, body: B, stream: &Arc<TunnelStream>) -> Counted<B> {
        Counted {
            body,
            stream: Arc::clone(stream),
            in_hand: self.clone(),
            last: None,
        }
    }
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes, Error = StreamError> + Unpin,
{
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.last = None;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)?);
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            self.last = self.in_hand.take(data.len());
            if self.last.is_none() {
                self.stream.reset(ResetReason::Overloaded, FULL);
                return Poll::Ready(Some(Err(StreamError::Cut {
                    reason: ResetReason::Overloaded,
                    message: FULL.to_owned(),
                })));
            }
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(crate) const FULL: &str =
    "the agent holds as many bytes of requests as it may: the API server does not take them";
