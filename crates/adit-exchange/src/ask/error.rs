//! How asking fails. The relay turns each into a refusal of its own; the messages of [`BadRequest`] reach the caller. Invariant:
//! no message holds a field's value.

use adit_tunnel::{OpenError, StreamError};

use crate::head::{BadHead, HeadTooLarge};

/// Why there is no answer from the API server.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The request must not cross.
    #[error("the request is refused")]
    BadRequest(#[from] BadRequest),
    /// The request's head is past [`crate::HeadLimits`].
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// The tunnel took no stream. Nothing was sent.
    #[error("the tunnel took no stream")]
    Open(#[source] OpenError),
    /// The request's body failed: mostly, the caller left. Holds what it said.
    #[error("the request's body broke off: {0}")]
    BodyLost(String),
    /// The stream ended before the answer's head.
    #[error("no answer came")]
    NoAnswer(#[source] StreamError),
    /// The agent sent a head that it must not send.
    #[error("the agent's answer is not valid")]
    BadAnswer(#[source] BadHead),
}

impl From<HeadTooLarge> for AskError {
    fn from(_: HeadTooLarge) -> Self {
        Self::HeadTooLarge
    }
}

/// Why a request must not cross. The messages are for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// `Impersonate-*` where the relay decides as whom the agent acts.
    #[error("Impersonate-* headers are not allowed: the relay has decided as whom the agent acts")]
    Impersonation,
    /// `Connection` would have identity stripped on the way (CVE-2021-31999).
    #[error("Connection lists a header that says who the caller is")]
    ConnectionListsIdentity,
    /// `Connection` lists what is no field name.
    #[error("Connection lists something that is not a header name")]
    Connection,
    /// A bearer token as a WebSocket subprotocol, which the API server would believe.
    #[error("Sec-WebSocket-Protocol carries a token: send it as Authorization")]
    TokenInSubprotocol,
    /// CONNECT.
    #[error("the method CONNECT is not allowed")]
    Method,
    /// Not a path and query that can be passed on unchanged.
    #[error("the request target is not a path")]
    Target,
    /// The protocol to upgrade to is not plain text.
    #[error("Upgrade is not valid")]
    Upgrade,
    /// Bytes of the request would stand where those of the upgraded connection belong.
    #[error("a request that asks for an upgrade must have no body")]
    UpgradeWithBody,
}
