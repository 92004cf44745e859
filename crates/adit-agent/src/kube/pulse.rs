//! Tells whether the API server is still there, for connections that cannot ask by themselves: HTTP/1.1 has no ping, and the bytes of
//! an upgraded connection are not ours. A TCP connection alone proves little: what stands in between may answer for a peer that is gone.
//!
//! Asked by [`super::Kube`] while such a connection waits. Asks in turn by opening a connection up to the end of the TLS handshake,
//! one for all who wait. Invariant: only silence counts, of two connections: an API server that refuses has answered, and behind one
//! address there may be several, of which one is gone.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::config::PoolLimits;
use crate::dial::{DialError, Dialler};

/// The question, and what was last answered.
#[derive(Debug)]
pub(crate) struct Pulse {
    dialler: Dialler,
    every: Duration,
    felt: Mutex<Option<Beat>>,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    at: Instant,
    was_felt: bool,
}

impl Pulse {
    /// Asks as often as an HTTP/2 connection is pinged, and waits as long for an answer.
    pub(crate) fn new(dialler: &Dialler, limits: PoolLimits) -> Arc<Self> {
        let patience = limits.dead_after.saturating_sub(limits.ping_interval);
        let mut dialler = dialler.clone();
        dialler.timeout = dialler.timeout.min(patience);
        Arc::new(Self {
            dialler,
            every: limits.ping_interval,
            felt: Mutex::new(None),
        })
    }

    /// Resolves once the API server has fallen silent. Cancel-safe.
    pub(crate) async fn stops(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.every).await;
            // One asks, and the others take its word.
            let mut felt = self.felt.lock().await;
            let beat = match *felt {
                Some(beat) if beat.at.elapsed() < self.every => beat,
                Some(_) | None => *felt.insert(self.feel().await),
            };
            if !beat.was_felt {
                return;
            }
        }
    }

    /// A second try when the first takes long.
    async fn feel(&self) -> Beat {
        let mut first = pin!(self.answers());
        let was_felt = match timeout(self.dialler.timeout / 2, &mut first).await {
            Ok(answered) => answered,
            Err(_) => {
                let (first, second) = tokio::join!(first, self.answers());
                first || second
            }
        };
        Beat {
            at: Instant::now(),
            was_felt,
        }
    }

    async fn answers(&self) -> bool {
        let dialled = self.dialler.dial().await;
        !matches!(dialled, Err(DialError::TimedOut { .. }))
    }
}
