//! A stream's receiving half as an HTTP body: [`AnswerBody`] at the relay, [`RequestBody`] at the agent. The HTTP libraries on
//! either side poll them. Invariant: a body ends cleanly only when the other end's half did.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use adit_tunnel::{Cutter, Read, ResetReason, StreamError, TunnelStream};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinSet;

use crate::{
    answer,
    head::{self, HeadLimits},
    upgraded::Upgraded,
};

/// The answer's body. Dropping it before its end cancels the exchange at the API server.
#[derive(Debug)]
pub struct AnswerBody {
    stream: Arc<TunnelStream>,
    state: Answering,
    api_server: Option<Duration>,
    /// What is left of the request's body is sent here. It ends with the answer: nobody waits for it any more.
    upload: Option<JoinSet<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answering {
    Reading,
    /// The status was 101: there is no body, and nobody has taken the connection yet.
    Switched,
    /// Read to its end, or handed over.
    Done,
}

impl AnswerBody {
    pub(crate) fn new(
        stream: Arc<TunnelStream>,
        upload: Option<JoinSet<()>>,
        api_server: Option<Duration>,
    ) -> Self {
        Self {
            stream,
            state: Answering::Reading,
            api_server,
            upload,
        }
    }

    pub(crate) fn switched(stream: Arc<TunnelStream>, api_server: Option<Duration>) -> Self {
        Self {
            stream,
            state: Answering::Switched,
            api_server,
            upload: None,
        }
    }

    /// How long the API server took for the answer's head, as the agent says, if it does.
    #[must_use]
    pub const fn api_server(&self) -> Option<Duration> {
        self.api_server
    }

    /// The upgraded connection; `None` unless the status was 101.
    #[must_use]
    pub fn into_upgraded(mut self) -> Option<Upgraded> {
        if self.state != Answering::Switched {
            return None;
        }
        self.state = Answering::Done;
        Some(Upgraded::new(Arc::clone(&self.stream)))
    }

    /// For somebody else who may have to end the exchange.
    #[must_use]
    pub fn cutter(&self) -> Cutter {
        self.stream.cutter()
    }

    /// Ready once the exchange has ended by accident: for whoever holds a piece of this body that its reader does not take, and so
    /// does not poll it. Holds one waiter, beside the body's own. Never ready for a body that was read to its end.
    pub fn poll_failure(&self, cx: &Context<'_>) -> Poll<StreamError> {
        self.stream.poll_failure(cx)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if self.state != Answering::Reading {
            return Poll::Ready(None);
        }
        let frame = ready!(poll_half(&self.stream, cx));
        if frame.is_none() {
            self.state = Answering::Done;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.state != Answering::Reading || self.stream.is_read_end()
    }

    fn size_hint(&self) -> SizeHint {
        size_hint(self.is_end_stream())
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let is_complete = self.state == Answering::Done
            || (self.state == Answering::Reading && self.stream.is_read_end());
        let is_uploading = self
            .upload
            .as_mut()
            .is_some_and(|upload| upload.try_join_next().is_none());
        if !is_complete || is_uploading {
            self.stream
                .reset(ResetReason::Cancelled, "the caller has left");
        }
    }
}

/// The request's body. Dropping it leaves the rest unread: the answer may come all the same.
#[derive(Debug)]
pub struct RequestBody {
    stream: Arc<TunnelStream>,
    state: Requesting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requesting {
    /// The caller sends nothing before it is told to go on. Whoever wants the body first tells it.
    AwaitsContinue,
    Reading,
    Done,
}

impl RequestBody {
    pub(crate) fn new(stream: Arc<TunnelStream>, state: Requesting) -> Self {
        Self { stream, state }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self.state {
            Requesting::Done => return Poll::Ready(None),
            Requesting::Reading => {}
            Requesting::AwaitsContinue => {
                answer::send_informational(&self.stream, StatusCode::CONTINUE, &HeaderMap::new())?;
                self.state = Requesting::Reading;
            }
        }
        let frame = ready!(poll_half(&self.stream, cx));
        if frame.is_none() {
            self.state = Requesting::Done;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.state == Requesting::Done || self.stream.is_read_end()
    }

    fn size_hint(&self) -> SizeHint {
        size_hint(self.is_end_stream())
    }
}

/// The next frame of the other end's half; `None` at its end. Never an empty one: HTTP/2 peers count those, and give the
/// connection up after a hundred.
fn poll_half(
    stream: &TunnelStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
    loop {
        return Poll::Ready(match ready!(stream.poll_read(cx)) {
            Ok(Read::Data(data)) if data.is_empty() => continue,
            Ok(Read::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Read::Trailers(trailers)) => Some(read_trailers(stream, &trailers)),
            Ok(Read::End) => None,
            Err(error) => Some(Err(error)),
        });
    }
}

fn read_trailers(stream: &TunnelStream, trailers: &Bytes) -> Result<Frame<Bytes>, StreamError> {
    head::read_trailers(trailers, HeadLimits::default())
        .map(Frame::trailers)
        .map_err(|error| {
            let message = error.to_string();
            stream.reset(ResetReason::Protocol, &message);
            StreamError::Cut {
                reason: ResetReason::Protocol,
                message,
            }
        })
}

/// Nothing, or nobody knows: `Content-Length` is the fronts' to read.
fn size_hint(is_end: bool) -> SizeHint {
    if is_end {
        SizeHint::with_exact(0)
    } else {
        SizeHint::default()
    }
}
