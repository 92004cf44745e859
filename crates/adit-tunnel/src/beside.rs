//! Ordinary gRPC calls on the connection of an agent's tunnel, beside it: the agent opens them by [`Calls`], the relay takes them by
//! [`Call::answer`]. For small messages, whole and seldom; what is much or lasts goes through the tunnel.
//!
//! Invariant: a call ends with its connection, which is its tunnel's. What waits to be sent is one message.

use std::{fmt, future::poll_fn};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream, client::SendRequest, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request};

use crate::{
    connect::{self, ConnectError},
    framing::{Deframer, prefix},
    send_buf::SendBuf,
    serve,
};

/// Opens calls on the connection of a tunnel. Clones use the same.
#[derive(Clone)]
pub struct Calls {
    requests: SendRequest<SendBuf>,
    authority: String,
    token: HeaderValue,
}

/// A call: messages go both ways until either side ends it. Dropping it resets it.
#[derive(Debug)]
pub struct Call {
    /// What we send.
    pub send: Sender,
    /// What the peer sends.
    pub receive: Receiver,
}

/// Our half of a call.
#[derive(Debug)]
pub struct Sender(SendStream<SendBuf>);

/// The peer's half of a call.
#[derive(Debug)]
pub struct Receiver {
    body: RecvStream,
    deframer: Deframer,
    /// What has come of a chunk and was not looked at.
    chunk: Bytes,
    message: BytesMut,
    max_bytes: usize,
}

/// Why no more messages come.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection, or the call, broke.
    #[error("the call broke off")]
    Http2(#[from] h2::Error),
    /// What came is no gRPC message, or too long a one.
    #[error("what came is no message of this call: {0}")]
    NoMessage(String),
    /// The peer ended it with a status other than OK.
    #[error("the call ended with gRPC status {status}: {message}")]
    Ended {
        /// gRPC's status.
        status: u32,
        /// The peer's words.
        message: String,
    },
}

impl Calls {
    pub(crate) fn new(
        requests: SendRequest<SendBuf>,
        authority: &str,
        token: &HeaderValue,
    ) -> Self {
        Self {
            requests,
            authority: authority.to_owned(),
            token: token.clone(),
        }
    }

    /// Opens a call of the method at `path`, by the tunnel's own token, and sends its first message. The relay's messages have at most
    /// `max_bytes`. Needs the tunnel's driver to be polled.
    ///
    /// # Errors
    /// The relay does not take it, or the connection is over.
    pub async fn open(
        &self,
        path: &str,
        first: &[u8],
        max_bytes: usize,
    ) -> Result<Call, ConnectError> {
        let request = connect::call(&self.authority, path, &self.token)?;
        let mut requests = self.requests.clone().ready().await?;
        let (response, send) = requests.send_request(request, false)?;
        let mut send = Sender(send);
        // A relay that does not know the method answers without reading: its words count then.
        let sent = send.send(first).await;
        let response = response.await?;
        connect::check(&response)?;
        sent?;
        let receive = Receiver::new(response.into_body(), max_bytes);
        Ok(Call { send, receive })
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Takes a call that has come in. The agent's messages have at most `max_bytes`.
    ///
    /// # Errors
    /// It is over.
    pub fn answer(
        request: Request<RecvStream>,
        mut respond: SendResponse<SendBuf>,
        max_bytes: usize,
    ) -> Result<Self, h2::Error> {
        let send = respond.send_response(serve::answer(), false)?;
        Ok(Self {
            send: Sender(send),
            receive: Receiver::new(request.into_body(), max_bytes),
        })
    }

    /// Ends a call that has come in.
    pub fn finish(self, status: u32, message: &str) {
        let Sender(mut send) = self.send;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.into());
        if let Ok(message) = HeaderValue::from_str(message) {
            trailers.insert("grpc-message", message);
        }
        // A caller that is gone needs no end.
        let _ = send.send_trailers(trailers);
    }
}

impl Sender {
    /// Sends a message: waits until HTTP/2 has room for all of it. Dropped before, it leaves half of one behind, and the call must be
    /// given up.
    ///
    /// # Errors
    /// The call is over.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), h2::Error> {
        let mut rest = BytesMut::with_capacity(message.len() + 5);
        rest.extend_from_slice(&prefix(message.len()));
        rest.extend_from_slice(message);
        let mut rest = rest.freeze();
        while !rest.is_empty() {
            self.0.reserve_capacity(rest.len());
            let room = poll_fn(|cx| self.0.poll_capacity(cx)).await;
            let room = room.unwrap_or_else(|| Err(Reason::CANCEL.into()))?;
            let part = rest.split_to(room.min(rest.len()));
            self.0.send_data(part.into(), false)?;
        }
        Ok(())
    }
}

impl Receiver {
    fn new(body: RecvStream, max_bytes: usize) -> Self {
        Self {
            body,
            deframer: Deframer::default(),
            chunk: Bytes::new(),
            message: BytesMut::new(),
            max_bytes,
        }
    }

    /// The next message; `None` when the peer has ended its half in good order. Cancel-safe.
    ///
    /// # Errors
    /// There will be none.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    self.body.flow_control().release_capacity(chunk.len())?;
                    self.chunk = chunk;
                }
                None => return self.over().await,
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, CallError> {
        let no_message = |error: adit_mux::SessionError| CallError::NoMessage(error.to_string());
        while let Some(piece) = self.deframer.next(&mut self.chunk).map_err(no_message)? {
            if self.message.len() + piece.bytes.len() > self.max_bytes {
                let most = self.max_bytes;
                return Err(CallError::NoMessage(format!(
                    "it has more than {most} bytes"
                )));
            }
            self.message.extend_from_slice(&piece.bytes);
            if piece.is_last {
                return Ok(Some(self.message.split().freeze()));
            }
        }
        Ok(None)
    }

    async fn over(&mut self) -> Result<Option<Bytes>, CallError> {
        let trailers = self.body.trailers().await?.unwrap_or_default();
        let (status, message) = connect::grpc_status(&trailers);
        match status.unwrap_or_default() {
            0 => Ok(None),
            status => Err(CallError::Ended {
                status,
                message: message.unwrap_or_default(),
            }),
        }
    }
}
