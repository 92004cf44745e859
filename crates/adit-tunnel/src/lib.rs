//! Drives one mux session over one gRPC bidirectional stream.
//!
//! [`serve()`] is the relay's end, for a call that came in on an HTTP/2 server connection; [`connect()`] the agent's, over any
//! transport. Both give a [`Tunnel`], the handle that opens and accepts streams from any thread, and a [`Driver`], the one future
//! that owns the wire: it pulls batches from the session when HTTP/2 has room, feeds it what arrived, and wakes whoever waits.
//! There is no channel, no task and no copy per frame between a stream and the wire.
//!
//! On the wire it is ordinary gRPC: `adit.tunnel.v1.Tunnel/Open` of `proto/`, one message per batch. Any gRPC implementation can
//! be the other end; `tests/tunnel/grpc.rs` is one, with tonic.
//!
//! An agent may make other calls on its tunnel's connection, beside it: [`Calls`].
//!
//! Invariants:
//! - Nothing lies unread in HTTP/2: the driver reads at once, and what may pile up is bounded by the session's credit. So HTTP/2's
//!   own windows ([`WINDOW`]) only have to be large enough never to be the limit.
//! - A driver that is dropped ends its session, and with it every stream, as a reset.
//!
//! Absent on purpose: TLS, TCP and reconnecting (the owner's), and HTTP requests (adit-exchange's).

mod beside;
mod connect;
mod driver;
mod frame_log;
mod framing;
mod handle;
mod options;
mod send_buf;
mod serve;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;

pub use adit_mux::{
    Budget, Cause, Distance, Limits, Misbehaviour, OpenError, Pace, Read, RequestBody,
    SessionError, StreamError, Totals,
};
pub use adit_proto::tunnel::{About, CloseReason, ResetReason};

pub use crate::{
    beside::{Call, CallError, Calls, Receiver, Sender},
    connect::{ConnectError, connect},
    driver::Driver,
    handle::{Peer, Stats, Terms, Tunnel},
    options::Options,
    send_buf::SendBuf,
    serve::{Opening, serve},
    stream::{Cutter, TunnelStream},
};

/// The gRPC method's path.
pub const PATH: &str = "/adit.tunnel.v1.Tunnel/Open";

/// The path of a WebSocket with a tunnel's HTTP/2 inside, which ends so, whatever a balancer puts before it.
pub const WEBSOCKET_PATH: &str = "/adit/v1/tunnel";

/// The WebSocket's subprotocol.
pub const WEBSOCKET_PROTOCOL: &str = "adit-tunnel";

/// HTTP/2 window for a tunnel, stream and connection alike, in bytes: 1 Gbit/s over 250 ms. It bounds no memory, see above.
pub const WINDOW: u32 = 32 << 20;

/// HTTP/2 frame size for a tunnel, in bytes: one batch is one DATA frame. 64 KiB against the default of 16 KiB carries half as
/// much again per CPU second; 256 KiB carries less.
pub const MAX_FRAME_BYTES: u32 = 64 << 10;

/// Bytes that HTTP/2 may hold before they are written. Two batches: one on its way, one ready. What waits there cannot be overtaken
/// any more, so it is kept short.
pub const SEND_BUFFER_BYTES: usize = 2 * MAX_FRAME_BYTES as usize;
