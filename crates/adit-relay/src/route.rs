//! Decides on which tunnel an exchange goes, and how long to wait for one.
//!
//! Called by `handle.rs` with a permit, so only callers who may use an agent learn whether it is there. Invariant: an
//! agent that has been away for a while is told at once; only one that left a moment ago is waited for.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use adit_authority::Permit;
use adit_process::Stop;
use tokio::time::{Instant, timeout};

use crate::{
    call::Call,
    metrics::{Metrics, Stage},
    refusal::Refusal,
    registry::{Absent, OnTunnel, Registry},
};

/// How long to wait, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// How long a request waits for its agent's tunnel. Default 2 s: an agent that lost its connection is back in one.
    pub wait: Duration,
    /// How long after its last tunnel ended, or after the relay started, an agent counts as being on its way back.
    /// Default 30 s: a replaced pod starts in that.
    pub reconnecting: Duration,
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(2),
            reconnecting: Duration::from_secs(30),
        }
    }
}

/// The stage between a permit and a tunnel.
#[derive(Debug)]
pub(crate) struct Route {
    registry: Arc<Registry>,
    config: RouteConfig,
    started: SystemTime,
    started_at: Instant,
    stop: Stop,
    metrics: Arc<Metrics>,
}

impl Route {
    pub(crate) fn new(
        registry: Arc<Registry>,
        config: RouteConfig,
        stop: Stop,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            registry,
            config,
            started: SystemTime::now(),
            started_at: Instant::now(),
            stop,
            metrics,
        }
    }

    /// A place on the best tunnel of the permit's agent. Cancel-safe.
    pub(crate) async fn tunnel(
        &self,
        permit: &Permit,
        call: &Call<'_>,
    ) -> Result<OnTunnel, Refusal> {
        match self.registry.presence(permit.agent()).pick(None) {
            Ok(place) => Ok(place),
            Err(absent) => self.wait(permit, absent, call).await,
        }
    }

    /// A place on another tunnel than that of `session`, if there is one now.
    pub(crate) fn other(&self, permit: &Permit, session: &str) -> Option<OnTunnel> {
        self.registry
            .presence(permit.agent())
            .pick(Some(session))
            .ok()
    }

    async fn wait(
        &self,
        permit: &Permit,
        absent: Absent,
        call: &Call<'_>,
    ) -> Result<OnTunnel, Refusal> {
        if !self.is_worth_waiting(absent) {
            return Err(self.refusal(permit, absent));
        }
        let began = Instant::now();
        let presence = self.registry.presence(permit.agent());
        let arrival = timeout(self.config.wait, presence.arrival(None)).await;
        let took = began.elapsed();
        call.took.route.set(took);
        self.metrics.stage(Stage::Route).observe(took);
        arrival.map_err(|_| {
            let absent = presence.pick(None).err().unwrap_or(absent);
            self.refusal(permit, absent)
        })
    }

    fn is_worth_waiting(&self, absent: Absent) -> bool {
        match absent {
            _ if self.stop.is_draining() => false,
            Absent::Full => false,
            // A relay that has just started waits for agents of its predecessor.
            Absent::NeverConnected => self.started_at.elapsed() < self.config.reconnecting,
            Absent::Offline { ago, .. } => ago < self.config.reconnecting,
            Absent::Draining => true,
        }
    }

    fn refusal(&self, permit: &Permit, absent: Absent) -> Refusal {
        let name = permit.context().to_owned();
        match absent {
            _ if self.stop.is_draining() => Refusal::Draining,
            Absent::NeverConnected => Refusal::AgentNeverConnected {
                name,
                started: self.started,
            },
            Absent::Offline { since, ago } => Refusal::AgentOffline {
                name,
                since,
                reconnecting: ago < self.config.reconnecting,
            },
            Absent::Draining => Refusal::AgentOffline {
                name,
                since: SystemTime::now(),
                reconnecting: true,
            },
            Absent::Full => Refusal::TunnelFull { name },
        }
    }
}
