//! Runs one request on one HTTP/2 connection. Called by [`crate::kube::Kube::call`].
//! Invariant: request and answer are independent. The answer's head may come at any time, and the request's body goes on
//! for as long as the API server takes it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::Lease;
use super::ahead::Ahead;
use super::upload::{Expectation, Upload};
use crate::kube::{CallError, RequestBody};

/// The answer's body. Dropped before its end, it takes the request back: `RST_STREAM` with `CANCEL`.
#[derive(Debug)]
pub(crate) struct Receiving {
    recv: RecvStream,
    /// Bytes handed out last. What `ahead` gives back of them goes to the API server when more is asked for, thus when they have a place.
    unreleased: usize,
    ahead: Ahead,
    lease: Lease,
}

/// Sends the request, and waits for the answer's head while its body goes out.
pub(crate) async fn call(
    lease: Lease,
    request: Request<()>,
    body: Option<RequestBody>,
    expectation: Expectation,
    mut on_informational: impl FnMut(StatusCode, &HeaderMap),
) -> Result<(Response<Receiving>, Upload), CallError> {
    let (mut response, send) = lease.send(request, body.is_none()).await?;
    let mut upload = Upload::new(send, body, expectation);
    let head = poll_fn(|cx| {
        let head = poll_head(&mut response, &mut upload, &mut on_informational, cx);
        if head.is_pending() {
            // Whether it is done shows in itself.
            let _: Poll<()> = upload.poll(cx);
        }
        head
    });
    match head.await {
        Ok(response) => {
            upload.answered();
            Ok((
                response.map(|recv| {
                    let load = lease.load();
                    let ahead = Ahead::new(lease.window(), &load.distance(), load.now());
                    Receiving {
                        recv,
                        unreleased: 0,
                        ahead,
                        lease,
                    }
                }),
                upload,
            ))
        }
        Err(error) if was_not_taken(&error) && !upload.has_begun() => {
            lease.load().retire();
            Err(CallError::NotTaken(Arc::new(error)))
        }
        Err(error) => Err(CallError::Lost {
            loss: lease.load().loss(),
            source: Arc::new(error),
        }),
    }
}

fn poll_head(
    response: &mut ResponseFuture,
    upload: &mut Upload,
    on_informational: &mut impl FnMut(StatusCode, &HeaderMap),
    cx: &mut Context<'_>,
) -> Poll<Result<Response<RecvStream>, h2::Error>> {
    while let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
        let informational = informational?;
        match informational.status() {
            // Reading the body tells the caller.
            StatusCode::CONTINUE => upload.go_on(),
            status => on_informational(status, informational.headers()),
        }
    }
    Pin::new(response).poll(cx)
}

/// Whether the API server says that it did nothing about the request: RFC 9113 sections 6.8 and 8.7.
fn was_not_taken(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || is_refused)
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        self.release();
        loop {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.unreleased = data.len();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.lost(error)))),
                None => break,
            }
        }
        match ready!(self.recv.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(self.lost(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.recv.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            SizeHint::with_exact(0)
        } else {
            SizeHint::default()
        }
    }
}

impl Receiving {
    fn release(&mut self) {
        let read = std::mem::take(&mut self.unreleased);
        if read == 0 {
            return;
        }
        let load = self.lease.load();
        let due = self.ahead.read(read, &load.distance(), load.now());
        // Also when nothing is due: what was given back before may be worth a frame only now. It fails for more than was received,
        // which this is not.
        let _: Result<(), h2::Error> = self.recv.flow_control().release_capacity(due);
    }

    fn lost(&self, error: h2::Error) -> CallError {
        CallError::Lost {
            loss: self.lease.load().loss(),
            source: Arc::new(error),
        }
    }
}
