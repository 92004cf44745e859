//! Decides nothing: works out what an agent may hold at most under its limits. `docs/agent.md` shows the same sum, and the
//! manifest's memory limit is held against it by a test.

use super::Config;
use crate::kube::Window;

impl Config {
    /// Bytes that the process holds at most, whatever its peers do. What the system holds in sockets is not part of it.
    #[must_use]
    pub const fn most_memory(&self) -> usize {
        let (limits, pool) = (&self.limits, &self.kubernetes.pool);
        let requests = limits.max_streams as usize * (Window::Least.bytes() as usize + PER_REQUEST);
        let upgrades = pool.max_upgrades * PER_UPGRADE;
        let connections = pool.max_connections * PER_CONNECTION;
        // Unread in the tunnel, and in hand.
        let uploads = 2 * limits.max_buffered_bytes;
        // While the relay drains there are two tunnels.
        let queued = 2 * limits.max_queued_bytes;
        BASE + pool.max_read_ahead_bytes + queued + uploads + requests + upgrades + connections
    }
}

/// Code, TLS roots, two runtimes, fragmentation.
const BASE: usize = 32 << 20;
/// A handler, its stream at both ends, and the header fields it waits with.
const PER_REQUEST: usize = 16 << 10;
/// Two buffers of 32 KiB, a chunk before and behind each of them, TLS.
const PER_UPGRADE: usize = 256 << 10;
/// Buffers for reading and writing of 64 KiB each, TLS.
const PER_CONNECTION: usize = 192 << 10;
