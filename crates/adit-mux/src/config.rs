//! What a session is allowed to use, and what it tells its peer about that.

use std::time::Duration;

use adit_proto::tunnel as proto;

/// How one end behaves. The defaults are those of the product.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the peer is told it may send.
    pub limits: Limits,
    /// How far a stream's window may grow, in bytes. Default 16 MiB: 1 Gbit/s over 100 ms.
    pub max_stream_credit: u32,
    /// Bytes that may lie unread in this session. Default 256 MiB. Past it the stream that holds most is reset.
    pub max_buffered_bytes: usize,
    /// Bytes that may wait in this session for credit or for the wire, over all streams. Default 64 MiB. Past it only streams
    /// with nothing queued have room.
    pub max_queued_bytes: usize,
    /// Bytes that one stream may have waiting. Default 128 KiB: two batches, so that the wire never waits for a writer.
    pub stream_queue_bytes: usize,
    /// Bytes a stream may send in one turn. Default 16 KiB.
    pub quantum: usize,
    /// How long the peer may say nothing before it is pinged. Default 25 s: balancers forget what is silent after 30 s, or later.
    pub ping_interval: Duration,
    /// The same while streams are open, if it is shorter. Default 10 s.
    pub busy_ping_interval: Duration,
    /// How long the peer may say nothing before it is given up while streams are open. Default 15 s. What is left of it after
    /// `busy_ping_interval` is how long the answer to a ping may take at any time.
    pub dead_after: Duration,
    /// What a clock that others have, too, showed at the session's moment zero: questions of a session without streams then go out at whole
    /// steps of it, up to a 25th of `ping_interval` sooner than else. So those of thousands of agents reach their relay many at a time, which
    /// is woken once for all of them. `None` by default.
    pub common_clock: Option<Duration>,
    /// How long the handshake may take. Default 10 s.
    pub handshake_timeout: Duration,
    /// What the peer is told about this process.
    pub about: proto::About,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_stream_credit: 16 << 20,
            max_buffered_bytes: 256 << 20,
            max_queued_bytes: 64 << 20,
            stream_queue_bytes: 128 << 10,
            quantum: 16 << 10,
            ping_interval: Duration::from_secs(25),
            busy_ping_interval: Duration::from_secs(10),
            dead_after: Duration::from_secs(15),
            common_clock: None,
            handshake_timeout: Duration::from_secs(10),
            about: proto::About::default(),
        }
    }
}

/// What a side is ready to receive. It keeps to the peer's, and holds the peer to its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Credit each stream starts with, in bytes. Default 64 KiB.
    pub stream_credit: u32,
    /// Streams at once. Default 10,000.
    pub max_streams: u32,
    /// Bytes of one head or trailers. Default 64 KiB.
    pub max_head_bytes: u32,
    /// Bytes of one frame. Default 128 KiB; always at least a head and 4096.
    pub max_frame_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream_credit: 64 << 10,
            max_streams: 10_000,
            max_head_bytes: 64 << 10,
            max_frame_bytes: 128 << 10,
        }
    }
}

impl Limits {
    /// What a peer said; zero means the default, and what makes no sense is brought to the nearest that does.
    pub(crate) fn from_peer(said: Option<proto::Limits>) -> Self {
        let default = Self::default();
        let Some(said) = said else { return default };
        let or = |value: u64, default: u32| match value {
            0 => default,
            some => u32::try_from(some).unwrap_or(MAX_CREDIT).min(MAX_CREDIT),
        };
        let max_head_bytes = or(said.max_head_bytes, default.max_head_bytes);
        Self {
            stream_credit: or(said.stream_credit, default.stream_credit),
            max_streams: or(said.max_streams, default.max_streams),
            max_head_bytes,
            max_frame_bytes: or(said.max_frame_bytes, default.max_frame_bytes)
                .max(max_head_bytes.saturating_add(FRAME_OVERHEAD)),
        }
    }

    pub(crate) fn to_proto(self) -> proto::Limits {
        proto::Limits {
            stream_credit: self.stream_credit.into(),
            max_streams: self.max_streams.into(),
            max_head_bytes: self.max_head_bytes.into(),
            max_frame_bytes: self.max_frame_bytes.into(),
        }
    }
}

/// What a frame may need beside the head it carries.
pub(crate) const FRAME_OVERHEAD: u32 = 4096;

/// The most credit a stream may have at once: 2^31 - 1.
pub(crate) const MAX_CREDIT: u32 = (1 << 31) - 1;
