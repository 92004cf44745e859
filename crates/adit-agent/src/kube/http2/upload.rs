//! Decides when the next bytes of a request's body go to the API server: when it has room for them, and, if the caller
//! waits for `100 Continue`, not before the API server has asked for them. Polled by [`super::exchange`] and by
//! [`crate::serve`], beside the answer and in the same task.
//! Invariant: the request ends here only as the caller ended it. A body that broke off resets the stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};
use tokio::time::Sleep;

use crate::kube::RequestBody;

/// The sending half of one request.
pub(crate) struct Upload {
    /// Kept to the end of the exchange: to drop it before would reset the stream.
    send: SendStream<Bytes>,
    body: Option<RequestBody>,
    state: State,
    has_begun: bool,
}

enum State {
    /// The API server has not asked for the body; when this is over it gets it all the same (RFC 9110 section 10.1.1).
    Held(Pin<Box<Sleep>>),
    Reading,
    /// Bytes that wait for room, and whether they are the last.
    Sending(Bytes, Last),
    /// Complete, or of no more use to the API server.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Last,
    MoreFollows,
}

/// Whether the caller waits to be told to send its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    None,
    Continue,
}

impl Upload {
    /// Without a body there is nothing to do: the request has ended already.
    pub(crate) fn new(
        send: SendStream<Bytes>,
        body: Option<RequestBody>,
        expectation: Expectation,
    ) -> Self {
        let state = match (&body, expectation) {
            (None, _) => State::Done,
            (Some(_), Expectation::None) => State::Reading,
            (Some(_), Expectation::Continue) => {
                State::Held(Box::pin(tokio::time::sleep(CONTINUE_AFTER)))
            }
        };
        Self {
            send,
            body,
            state,
            has_begun: false,
        }
    }

    /// Whether something of the body was asked for, so that it cannot be sent again.
    pub(crate) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The API server said `100 Continue`.
    pub(crate) fn go_on(&mut self) {
        if matches!(self.state, State::Held(_)) {
            self.state = State::Reading;
        }
    }

    /// The API server has answered. A body that it did not ask for until then is not sent.
    pub(crate) fn answered(&mut self) {
        if matches!(self.state, State::Held(_)) {
            self.state = State::Done;
        }
    }

    /// Sends what can be sent. Ready when nothing is left to do.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.state = match &mut self.state {
                State::Done => {
                    // What it had given last is no longer in hand.
                    self.body = None;
                    return Poll::Ready(());
                }
                State::Held(patience) => {
                    ready!(patience.as_mut().poll(cx));
                    State::Reading
                }
                State::Reading => ready!(self.poll_read(cx)),
                State::Sending(data, last) => {
                    let last = *last;
                    ready!(poll_send(&mut self.send, data, last, cx))
                }
            };
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(State::Done);
        };
        self.has_begun = true;
        Poll::Ready(match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => self.end(),
            Some(Ok(frame)) => {
                let last = if body.is_end_stream() {
                    Last::Last
                } else {
                    Last::MoreFollows
                };
                match frame.into_data() {
                    Ok(data) if data.is_empty() && last == Last::MoreFollows => State::Reading,
                    Ok(data) if data.is_empty() => self.end(),
                    Ok(data) => State::Sending(data, last),
                    Err(frame) => self.end_with(frame),
                }
            }
            Some(Err(_)) => {
                self.send.send_reset(Reason::CANCEL);
                State::Done
            }
        })
    }

    /// An error only says that the API server has ended the stream, and its answer says why.
    fn end(&mut self) -> State {
        let _: Result<(), h2::Error> = self.send.send_data(Bytes::new(), true);
        State::Done
    }

    fn end_with(&mut self, frame: Frame<Bytes>) -> State {
        match frame.into_trailers() {
            Ok(trailers) => {
                let _: Result<(), h2::Error> = self.send.send_trailers(trailers);
                State::Done
            }
            Err(_) => State::Reading,
        }
    }
}

/// Sends as much as there is room for. An API server that has answered may want no more: then the rest is not sent, and the
/// answer goes on.
fn poll_send(
    send: &mut SendStream<Bytes>,
    data: &mut Bytes,
    last: Last,
    cx: &mut Context<'_>,
) -> Poll<State> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let room = match send.capacity() {
            0 => match ready!(send.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return Poll::Ready(State::Done),
            },
            room => room,
        };
        let chunk = data.split_to(room.min(data.len()));
        let is_end = data.is_empty() && last == Last::Last;
        if send.send_data(chunk, is_end).is_err() {
            return Poll::Ready(State::Done);
        }
    }
    Poll::Ready(match last {
        Last::Last => State::Done,
        Last::MoreFollows => State::Reading,
    })
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("has_begun", &self.has_begun)
            .finish_non_exhaustive()
    }
}

/// The time curl and Go wait, too.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);
