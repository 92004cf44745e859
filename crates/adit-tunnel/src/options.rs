//! What an owner may choose about a tunnel.

use std::{sync::Arc, time::Duration};

use adit_mux::{Budget, Config, Limits};
use adit_proto::tunnel::About;

/// How one end of a tunnel behaves. [`Options::default`] is what the product uses.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the peer is told about this process.
    pub about: About,
    /// How long the peer may be silent before it is pinged. Default 25 s.
    pub ping_interval: Duration,
    /// The same while streams are open, if it is shorter. Default 10 s.
    pub busy_ping_interval: Duration,
    /// How long it may be silent before it is given up while streams are open. Default 15 s. What is left of it after
    /// `busy_ping_interval` is how long the answer to a ping may take at any time.
    pub dead_after: Duration,
    /// How long opening the tunnel may take. Default 10 s.
    pub handshake_timeout: Duration,
    /// Streams the peer may have open at once. Default 10,000.
    pub max_streams: u32,
    /// Bytes of one request or answer head. Default 64 KiB.
    pub max_head_bytes: u32,
    /// Credit a stream starts with, in bytes. Default 64 KiB.
    pub stream_credit: u32,
    /// How far a stream's window may grow, in bytes. Default 16 MiB.
    pub max_stream_credit: u32,
    /// Bytes that may lie unread in one tunnel. Default 256 MiB.
    pub max_buffered_bytes: usize,
    /// Bytes that may wait in one tunnel for credit or for the wire. Default 64 MiB. Past it only streams with nothing queued
    /// have room.
    pub max_queued_bytes: usize,
    /// Bytes that one stream may have waiting. Default 128 KiB.
    pub stream_queue_bytes: usize,
    /// Bytes that may lie unread in all tunnels of the process that share this budget. Default 1 GiB.
    pub budget: Arc<Budget>,
}

impl Default for Options {
    fn default() -> Self {
        let Config {
            limits,
            max_stream_credit,
            max_buffered_bytes,
            max_queued_bytes,
            stream_queue_bytes,
            ping_interval,
            busy_ping_interval,
            dead_after,
            handshake_timeout,
            about,
            ..
        } = Config::default();
        Self {
            about,
            ping_interval,
            busy_ping_interval,
            dead_after,
            handshake_timeout,
            max_streams: limits.max_streams,
            max_head_bytes: limits.max_head_bytes,
            stream_credit: limits.stream_credit,
            max_stream_credit,
            max_buffered_bytes,
            max_queued_bytes,
            stream_queue_bytes,
            budget: Budget::new(1 << 30),
        }
    }
}

impl Options {
    pub(crate) fn config(&self) -> Config {
        let default = Config::default();
        let limits = Limits {
            stream_credit: self.stream_credit,
            max_streams: self.max_streams,
            max_head_bytes: self.max_head_bytes,
            max_frame_bytes: default
                .limits
                .max_frame_bytes
                .max(self.max_head_bytes.saturating_add(4096)),
        };
        Config {
            limits,
            max_stream_credit: self.max_stream_credit,
            max_buffered_bytes: self.max_buffered_bytes,
            max_queued_bytes: self.max_queued_bytes,
            stream_queue_bytes: self.stream_queue_bytes,
            ping_interval: self.ping_interval,
            busy_ping_interval: self.busy_ping_interval,
            dead_after: self.dead_after,
            handshake_timeout: self.handshake_timeout,
            about: self.about.clone(),
            ..default
        }
    }
}
