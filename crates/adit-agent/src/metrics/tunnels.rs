//! What the tunnels hold, read where it is kept at each scrape. [`crate::agent`] lists each tunnel while it lives.

use std::fmt;
use std::sync::Arc;

use adit_tunnel::{Budget, Tunnel};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The tunnels that are up, and what they share. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels {
    budget: Arc<Budget>,
    up: Arc<Mutex<Vec<Tunnel>>>,
}

/// Keeps a tunnel listed; dropping it takes the tunnel out.
#[derive(Debug)]
pub(crate) struct Listed {
    session: String,
    up: Arc<Mutex<Vec<Tunnel>>>,
}

impl Tunnels {
    /// No tunnel yet; `budget` is that of all.
    pub(crate) fn register(budget: Arc<Budget>, registry: &mut Registry) -> Self {
        let tunnels = Self {
            budget,
            up: Arc::default(),
        };
        registry
            .sub_registry_with_prefix("adit_agent_tunnel")
            .register_collector(Box::new(tunnels.clone()));
        tunnels
    }

    pub(crate) fn list(&self, tunnel: &Tunnel) -> Listed {
        self.up.lock().push(tunnel.clone());
        Listed {
            session: tunnel.peer().session,
            up: Arc::clone(&self.up),
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.up
            .lock()
            .retain(|tunnel| tunnel.peer().session != self.session);
    }
}

impl Collector for Tunnels {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let up = self.up.lock().clone();
        let queued = up.iter().map(|tunnel| tunnel.stats().queued_bytes).sum();
        let gauges: [(_, _, usize); 2] = [
            (
                "buffered_bytes",
                "Bytes of requests that lie unread",
                self.budget.held(),
            ),
            (
                "queued_bytes",
                "Bytes of answers that wait for credit or the wire",
                queued,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let totals = self.budget.totals();
        let counters = [
            (
                "credit_stalls",
                "Times that an answer waited for the relay's credit",
                totals.credit_stalls,
            ),
            (
                "streams_overloaded",
                "Requests reset because a bound on unread bytes was reached",
                totals.overloaded,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}
