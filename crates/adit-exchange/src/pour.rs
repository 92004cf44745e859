//! Copies a body into a stream's sending half, at the pace that the other end's reader sets. Both ends call it: `ask` with the
//! request's body, `answer` with the API server's. Invariant: the half is ended by the body's own end and by nothing else.

use std::{
    fmt::Display,
    pin::Pin,
    task::{Context, Poll, ready},
};

use adit_tunnel::{StreamError, TunnelStream};
use bytes::Bytes;
use http_body::{Body, Frame};

use crate::head::{self, HeadLimits};

/// Why a body was not sent to its end. The stream is still open if the body is to blame.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The stream ended first.
    Stream(StreamError),
    /// The body failed, and this is what it said.
    Body(String),
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// Copies until the body has ended and the half with it. Holds nothing back between calls: may be dropped, and called again.
pub(crate) fn poll_pour<B>(
    stream: &TunnelStream,
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Broken>>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    loop {
        // Room first: what the body gives then has a place.
        ready!(stream.poll_room(cx))?;
        let frame = match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Err(Broken::Body(error.to_string()))),
            None => return Poll::Ready(Ok(stream.write(Bytes::new(), true)?)),
        };
        match frame.into_data() {
            // An end that is known with the last bytes saves a frame of its own. Empty frames are of no use to anyone.
            Ok(data) => {
                let is_last = body.is_end_stream();
                if is_last || !data.is_empty() {
                    stream.write(data, is_last)?;
                }
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            Err(frame) => {
                if let Ok(trailers) = Frame::into_trailers(frame) {
                    return Poll::Ready(end_with(stream, &trailers));
                }
            }
        }
    }
}

fn end_with(stream: &TunnelStream, trailers: &http::HeaderMap) -> Result<(), Broken> {
    match head::encode_trailers(trailers, HeadLimits::default()) {
        Ok(Some(trailers)) => stream.send_trailers(trailers)?,
        Ok(None) => stream.write(Bytes::new(), true)?,
        Err(error) => return Err(Broken::Body(error.to_string())),
    }
    Ok(())
}
