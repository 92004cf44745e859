//! Counts exchanges from their request to the last byte of their answer, so that a drain knows when nothing is left.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// How many exchanges run, over all shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: AtomicUsize,
    none_left: Notify,
}

impl InFlight {
    /// Begins one; it runs until the guard is dropped.
    pub(crate) fn begin(&self) -> Flight {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Flight(self.clone())
    }

    /// How many run now.
    pub(crate) fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Resolves when none runs. Cancel-safe.
    pub(crate) async fn none(&self) {
        loop {
            let mut none_left = std::pin::pin!(self.0.none_left.notified());
            none_left.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Flight(InFlight);

impl Drop for Flight {
    fn drop(&mut self) {
        if self.0.0.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn drain_waits_for_the_last_exchange() {
        let in_flight = InFlight::default();
        let flights = [in_flight.begin(), in_flight.begin()];
        let ends = async {
            tokio::task::yield_now().await;
            drop(flights);
        };
        let both = async { tokio::join!(in_flight.none(), ends) };
        timeout(Duration::from_secs(5), both).await.unwrap();
        assert_eq!(in_flight.running(), 0);
    }
}
