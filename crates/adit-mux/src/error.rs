//! How a session, a stream, or an open can fail. The type says the scope: a [`StreamError`] ends one stream, a [`SessionError`] all.

use std::sync::Arc;

use adit_proto::tunnel::{CloseReason, ResetReason};

/// Why a session is over.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer broke a rule of the protocol.
    #[error("the peer broke the protocol")]
    PeerMisbehaved(#[from] Misbehaviour),
    /// Nothing arrived from the peer for this many seconds.
    #[error("the peer was silent for {0} s")]
    Silent(u64),
    /// The peer sent no Hello or Welcome in time.
    #[error("the peer did not finish the handshake in time")]
    HandshakeTimedOut,
    /// No protocol version in common.
    #[error("no protocol version in common: the peer speaks {min} to {max}")]
    Version {
        /// The lowest version the peer speaks.
        min: u32,
        /// The highest.
        max: u32,
    },
    /// The peer ended the session and said why.
    #[error("the peer closed the session ({reason:?}): {message}")]
    ClosedByPeer {
        /// The peer's reason.
        reason: CloseReason,
        /// The peer's words.
        message: String,
    },
    /// This side ended the session.
    #[error("the session was closed ({reason:?}): {message}")]
    Closed {
        /// Our reason.
        reason: CloseReason,
        /// Our words.
        message: String,
    },
    /// The wire under the session broke.
    #[error("the connection was lost: {0}")]
    Transport(String),
}

/// How a session ended, whichever side ended it: what is counted of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// In good order.
    Closed,
    /// One side heard nothing of the other for too long.
    Silent,
    /// One side broke the protocol, or flooded the other, or speaks no version that the other does.
    Misbehaved,
    /// The connection broke.
    Lost,
    /// The relay no longer accepts the agent's token.
    Revoked,
    /// An operator of the relay cut it.
    CutByOperator,
}

impl SessionError {
    /// As what it counts.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::PeerMisbehaved(_) | Self::Version { .. } => Cause::Misbehaved,
            Self::Silent(_) | Self::HandshakeTimedOut => Cause::Silent,
            Self::ClosedByPeer { reason, .. } => match reason {
                CloseReason::Protocol | CloseReason::Version => Cause::Misbehaved,
                CloseReason::Silent => Cause::Silent,
                CloseReason::Revoked => Cause::Revoked,
                CloseReason::CutByOperator => Cause::CutByOperator,
                CloseReason::Unspecified | CloseReason::Done | CloseReason::Stopping => {
                    Cause::Closed
                }
            },
            Self::Closed {
                reason: CloseReason::Revoked,
                ..
            } => Cause::Revoked,
            Self::Closed {
                reason: CloseReason::CutByOperator,
                ..
            } => Cause::CutByOperator,
            Self::Closed { .. } => Cause::Closed,
            Self::Transport(_) => Cause::Lost,
        }
    }

    /// What to tell the peer in a `close` frame; `None` when it cannot hear us or said goodbye itself.
    pub(crate) fn farewell(&self) -> Option<(CloseReason, String)> {
        match self {
            Self::PeerMisbehaved(rule) => Some((CloseReason::Protocol, rule.to_string())),
            Self::Silent(_) | Self::HandshakeTimedOut => {
                Some((CloseReason::Silent, self.to_string()))
            }
            Self::Version { .. } => Some((CloseReason::Version, self.to_string())),
            Self::Closed { reason, message } => Some((*reason, message.clone())),
            Self::ClosedByPeer { .. } | Self::Transport(_) => None,
        }
    }
}

/// Which rule a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// Bytes that are not the protobuf encoding of frames.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
    /// A frame larger than we said we take.
    #[error("frame of {0} bytes")]
    FrameTooLarge(u64),
    /// A head or trailers larger than we said we take.
    #[error("heads of {0} bytes")]
    HeadTooLarge(u64),
    /// A frame kind that only the other side may send, or that came at the wrong time.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    /// An open whose id was not larger than all before.
    #[error("stream {0} opened twice or out of order")]
    StreamReused(u64),
    /// A frame for a stream that was never opened.
    #[error("frame for stream {0}, which was never opened")]
    NeverOpened(u64),
    /// More data than credit was given for.
    #[error("credit overrun on stream {0}")]
    CreditOverrun(u64),
    /// Credit whose sum passes 2^31, or credit of nothing.
    #[error("impossible credit on stream {0}")]
    ImpossibleCredit(u64),
    /// Data after the end, or a second end.
    #[error("frame after the end of stream {0}")]
    AfterEnd(u64),
    /// Too many frames that get nobody anywhere: pings, resets, unknown kinds. In the manner of CVE-2023-44487.
    #[error("flood of {0}")]
    Flood(&'static str),
}

/// Why a stream is over before its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// The peer reset it.
    #[error("the peer reset the stream ({}): {message}", reason.as_str_name())]
    Reset {
        /// The peer's reason.
        reason: ResetReason,
        /// The peer's words, for people.
        message: String,
    },
    /// This side reset it: a deadline, a bound, or its own user.
    #[error("the stream was cut ({}): {message}", reason.as_str_name())]
    Cut {
        /// Our reason.
        reason: ResetReason,
        /// Our words, for people.
        message: String,
    },
    /// The session ended under it.
    #[error("the session ended")]
    SessionEnded(#[source] Arc<SessionError>),
}

/// Why no stream could be opened. Nothing was sent: the request may go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session is over, or has not finished its handshake.
    #[error("the tunnel is closed")]
    Closed,
    /// One side wants the session to end.
    #[error("the tunnel is draining")]
    Draining,
    /// The peer runs as many streams as it takes.
    #[error("the agent runs as many streams as it takes")]
    TooManyStreams,
    /// The head is larger than the peer takes.
    #[error("the head is larger than the agent takes")]
    HeadTooLarge,
    /// So many streams were cancelled before their answer that the agent would take more for a flood.
    #[error("too many requests to this agent were cancelled before their answer")]
    TooManyCancels,
    /// This process holds as many bytes as it may.
    #[error("the process holds as many unread bytes as it may")]
    Overloaded,
}
