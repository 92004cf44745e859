//! Decides how the kernel finds a peer that vanished without a word.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// After `idle` of silence the kernel asks four times, a quarter of that apart, then fails the connection. Covers every connection,
/// upgraded ones and idle watches included, and costs no timer of ours. A connection whose ends ask by themselves needs none: many
/// thousand that the kernel asks at once lose each other's questions, and are failed for it.
pub fn keep_alive(socket: &impl AsFd, idle: Duration) {
    let keepalive = TcpKeepalive::new()
        .with_time(idle)
        .with_interval((idle / 4).max(Duration::from_secs(1)))
        .with_retries(4);
    if let Err(error) = SockRef::from(socket).set_tcp_keepalive(&keepalive) {
        tracing::debug!(%error, "no TCP keepalive on a connection");
    }
}
