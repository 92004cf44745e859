//! What the tunnels hold, read where it is kept at each scrape, and how much anything may be. [`crate::agent`] lists each tunnel while
//! it lives.

use std::fmt;
use std::sync::Arc;

use adit_process::metrics::Scrape;
use adit_tunnel::{Budget, Tunnel};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use crate::config::Config;

/// The tunnels that are up, and what they share. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels {
    budget: Arc<Budget>,
    limits: Limits,
    up: Arc<Mutex<Vec<Tunnel>>>,
}

/// How much there may be of what is measured.
#[derive(Clone, Copy, Debug)]
struct Limits {
    buffered_bytes: usize,
    /// In one tunnel.
    queued_bytes: usize,
    read_ahead_bytes: usize,
    streams: usize,
    connections: usize,
    upgrades: usize,
}

/// Keeps a tunnel listed; dropping it takes the tunnel out.
#[derive(Debug)]
pub(crate) struct Listed {
    session: String,
    up: Arc<Mutex<Vec<Tunnel>>>,
}

impl Tunnels {
    /// No tunnel yet; `budget` is that of all.
    pub(crate) fn register(budget: Arc<Budget>, config: &Config, registry: &mut Registry) -> Self {
        let tunnels = Self {
            budget,
            limits: Limits::of(config),
            up: Arc::default(),
        };
        registry
            .sub_registry_with_prefix("adit_agent")
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
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut scrape = Scrape::new(encoder);
        let up = self.up.lock().clone();
        let queued = up.iter().map(|tunnel| tunnel.stats().queued_bytes);
        let (queued, most_queued) = queued.fold((0_usize, 0_usize), |(sum, most), one| {
            (sum + one, most.max(one))
        });
        let round_trip = up.iter().rev().find_map(Tunnel::round_trip);
        scrape.duration(
            "round_trip_seconds",
            "The least round trip of the last pings to the relay; 0 before the first",
            round_trip.unwrap_or_default(),
        )?;
        scrape.gauge(
            "tunnel_buffered_bytes",
            "Bytes of requests that lie unread in tunnels",
            self.budget.held(),
        )?;
        scrape.gauge(
            "tunnel_queued_bytes",
            "Bytes of answers that wait in tunnels for the relay's credit or for the wire",
            queued,
        )?;
        scrape.gauge(
            "tunnel_most_queued_bytes",
            "The same in the tunnel that has most",
            most_queued,
        )?;
        let totals = self.budget.totals();
        scrape.counter(
            "tunnel_credit_stalls",
            "Times that an answer waited for the relay's credit, thus for its reader or a long path: see tunnel.stream_credit of the relay",
            totals.credit_stalls,
        )?;
        scrape.counter(
            "tunnel_streams_overloaded",
            "Requests that were reset because limits.max_buffered_bytes was reached",
            totals.overloaded,
        )?;
        self.limits.encode(&mut scrape)
    }
}

impl Limits {
    fn of(config: &Config) -> Self {
        Self {
            buffered_bytes: config.limits.max_buffered_bytes,
            queued_bytes: config.limits.max_queued_bytes,
            read_ahead_bytes: config.kubernetes.pool.max_read_ahead_bytes,
            streams: config.limits.max_streams as usize,
            connections: config.kubernetes.pool.max_connections,
            upgrades: config.kubernetes.pool.max_upgrades,
        }
    }

    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let limits = [
            (
                "tunnel_buffered_limit_bytes",
                "How many bytes of requests may lie unread in tunnels: limits.max_buffered_bytes",
                self.buffered_bytes,
            ),
            (
                "tunnel_queued_limit_bytes",
                "How many bytes of answers may wait in one tunnel: limits.max_queued_bytes",
                self.queued_bytes,
            ),
            (
                "in_hand_limit_bytes",
                "How many bytes of requests the API server may not have taken: limits.max_buffered_bytes",
                self.buffered_bytes,
            ),
            (
                "read_ahead_limit_bytes",
                "How much of it the two wider windows may have together, half of it each: kubernetes.max_read_ahead_bytes",
                self.read_ahead_bytes,
            ),
            (
                "streams_limit",
                "Requests that may be served at once: limits.max_streams",
                self.streams,
            ),
            (
                "connections_limit",
                "Connections to the API server that may be open: kubernetes.max_connections",
                self.connections,
            ),
            (
                "upgrades_limit",
                "Upgraded connections that may be open: kubernetes.max_upgrades",
                self.upgrades,
            ),
        ];
        limits
            .into_iter()
            .try_for_each(|(name, help, limit)| scrape.gauge(name, help, limit))
    }
}
