//! The session protocol of a tunnel, without IO, clock or tasks.
//!
//! A [`Session`] is one end of a tunnel. Its driver feeds it the bytes that arrived ([`Session::receive`]), asks it for bytes to
//! send when the wire has room ([`Session::transmit`]), and calls [`Session::handle_timeout`] when [`Session::next_timeout`] has
//! come. Those who use a stream call `poll_*` and `write`; whoever has to wait leaves a [`std::task::Waker`], and the session
//! hands back the wakers that are due ([`Session::take_wakes`]) so that they are called outside its lock.
//!
//! Time is an argument: a [`Moment`] is a duration since any fixed point.
//!
//! Invariants, each kept by one place and tested by `tests/`:
//!
//! - What a peer may send is bounded by credit it was given (`window.rs`): credit goes back when a reader has *consumed* bytes.
//! - What lies unread is bounded per stream (its window), per session ([`Config::max_buffered_bytes`]) and per process
//!   ([`Budget`]); past a bound the stream that holds most is reset, never the peer ignored. For the process's that is a
//!   stream of the session that holds most, whosever bytes came last.
//! - The writer pulls. No frame is finished before the wire can take it, so nothing small waits behind something large: control
//!   first, then heads, then turns of one quantum between streams that have data and credit.
//! - A stream ends once, with one reason, at each end. What ends by accident is never taken for complete.
//! - What a peer cannot have meant is a [`SessionError`], never a panic.
//!
//! Absent on purpose: HTTP (heads are opaque bytes here), tokio, gRPC's framing, and any way for the acceptor to open a stream.

mod batch;
mod budget;
mod config;
mod decode;
mod encode;
mod error;
mod flood;
mod pace;
mod queue;
mod session;
mod stream;
mod window;

pub use adit_proto::tunnel::{About, CloseReason, ResetReason};

pub use crate::{
    batch::Batch,
    budget::{Budget, Totals},
    config::{Config, Limits},
    decode::{Decoder, Frame, Kind},
    error::{Cause, Misbehaviour, OpenError, SessionError, StreamError},
    pace::{Distance, Pace},
    session::{Accepted, Peer, Read, RequestBody, Session, Stats, Terms, Wakes},
};

/// A point in time: how long after the session's origin, which its driver chose.
pub type Moment = std::time::Duration;

/// Which stream, within one session. Starts at 1, grows with each open, is never used twice.
pub type StreamId = u64;
