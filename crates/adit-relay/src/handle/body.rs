//! What any answer is read from, the API server's or ours, and when it ends before its time.
//!
//! Made by `handle.rs`, read by both fronts. Invariant: as long as it lives, its exchange is in flight, holds its places, and has its
//! record open.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use adit_exchange::Upgraded;
use adit_tunnel::StreamError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    audit::{Ended, Entry},
    forward::{Forwarded, Hold},
    in_flight::Flight,
};

/// The body of any answer; as long as it lives, its exchange is in flight.
#[derive(Debug)]
pub(crate) struct Body {
    content: Content,
    /// Set once a client is slow to take it.
    end: Option<Pin<Box<Sleep>>>,
    flight: Flight,
    entry: Entry,
}

#[derive(Debug)]
pub(super) enum Content {
    /// Made here.
    Own(Full<Bytes>),
    /// The API server's.
    Forwarded(Forwarded),
}

impl Content {
    /// The id of the tunnel by which it comes, if it does.
    pub(super) fn tunnel(&self) -> Option<&str> {
        match self {
            Self::Own(_) => None,
            Self::Forwarded(body) => Some(body.tunnel()),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => http_body::Body::is_end_stream(body),
            Self::Forwarded(body) => http_body::Body::is_end_stream(body),
        }
    }
}

impl Body {
    pub(super) fn new(content: Content, flight: Flight, entry: Entry) -> Self {
        Self {
            content,
            end: None,
            flight,
            entry,
        }
    }

    /// Whether it was made here.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.content, Content::Own(_))
    }

    /// Ready once nothing more may be sent, also of what was taken out already: the permit has ended, or a bound was reached. For
    /// the fronts while a client takes nothing, since nobody reads the body then.
    pub(crate) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = ready!(self.poll_over(cx));
        self.entry.ended(ended);
        Poll::Ready(())
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let (ends, ended) = match &self.content {
            Content::Own(_) => (Instant::now() + OWN_ANSWER_TIME, Ended::Cancelled),
            Content::Forwarded(answer) => {
                if let Poll::Ready(cut) = answer.poll_cut(cx) {
                    return Poll::Ready(Ended::of(&cut));
                }
                match answer.ends() {
                    Some(ends) => (ends, Ended::with_its_permit()),
                    None => return Poll::Pending,
                }
            }
        };
        let sleep = || Box::pin(sleep_until(ends));
        let over = self.end.get_or_insert_with(sleep).as_mut().poll(cx);
        over.map(|()| ended)
    }

    /// The upgraded connection, when the API server's answer was 101, and what must be held as long as it is used.
    pub(crate) fn into_upgraded(self) -> Option<(Upgraded, Held)> {
        match self.content {
            Content::Own(_) => None,
            Content::Forwarded(answer) => {
                let (upgraded, hold) = answer.into_upgraded()?;
                let held = Held {
                    hold,
                    entry: self.entry,
                    _flight: self.flight,
                };
                Some((upgraded, held))
            }
        }
    }
}

/// What an upgraded connection holds as long as it is used.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) hold: Hold,
    pub(crate) entry: Entry,
    _flight: Flight,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        let frame = ready!(match &mut this.content {
            Content::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Content::Forwarded(body) => Pin::new(body).poll_frame(cx),
        });
        let content = &this.content;
        this.entry.sent(frame.as_ref(), || content.is_end_stream());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(body) => body.size_hint(),
            Content::Forwarded(body) => body.size_hint(),
        }
    }
}

/// For an answer of the relay's own, once its client is slow. It is a few kilobytes; a client may announce a window of none, and would
/// hold up a drain, without ever having shown a token.
const OWN_ANSWER_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;
    use crate::in_flight::InFlight;

    #[tokio::test(start_paused = true)]
    async fn refusal_that_nobody_reads_is_given_up() {
        let flight = InFlight::default().begin();
        let mut body = Body::new(Content::Own(Full::from("no")), flight, Entry::none());
        let mut within = async |time| {
            let over = poll_fn(|cx| body.poll_over(cx));
            timeout(time, over).await.ok()
        };
        let almost = OWN_ANSWER_TIME - Duration::from_millis(10);
        assert!(within(almost).await.is_none());
        let over = within(Duration::from_millis(20)).await;
        assert!(matches!(over, Some(Ended::Cancelled)), "{over:?}");
    }
}
