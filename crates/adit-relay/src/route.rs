//! Decides on which tunnel an exchange goes, and how long to wait for one.
//!
//! Called by `handle.rs` with a permit, so only callers who may use an agent learn whether it is there. Invariant: an
//! agent that has been away for a while is told at once; only one that left a moment ago is waited for.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use adit_authority::Permit;
use adit_identity::AgentId;
use adit_process::Stop;
use tokio::time::{Instant, timeout};

use crate::{
    authorise::Errand,
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
    started: SystemTime,
    started_at: Instant,
    stop: Stop,
    metrics: Arc<Metrics>,
}

impl Route {
    pub(crate) fn new(registry: Arc<Registry>, stop: Stop, metrics: Arc<Metrics>) -> Self {
        Self {
            registry,
            started: SystemTime::now(),
            started_at: Instant::now(),
            stop,
            metrics,
        }
    }

    /// Of what versions the replicas are that are connected, each once. For whoever may use the agent.
    pub(crate) fn versions(&self, agent: AgentId) -> Vec<String> {
        let tunnels = self.registry.tunnels(agent).into_iter();
        let versions: BTreeSet<_> = tunnels.map(|(_, tunnel)| tunnel.peer().version).collect();
        versions
            .into_iter()
            .filter(|version| !version.is_empty())
            .collect()
    }

    /// A place on the best tunnel of the permit's agent. Cancel-safe.
    pub(crate) async fn tunnel(
        &self,
        errand: &Errand,
        call: &Call<'_>,
    ) -> Result<OnTunnel, Refusal> {
        let presence = self.registry.presence(errand.permit.agent());
        match presence.pick(None, most(errand)) {
            Ok(place) => Ok(place),
            Err(absent) => self.wait(errand, absent, call).await,
        }
    }

    /// A place on another tunnel than that of `session`, if there is one now.
    pub(crate) fn other(&self, errand: &Errand, session: &str) -> Option<OnTunnel> {
        let presence = self.registry.presence(errand.permit.agent());
        presence.pick(Some(session), most(errand)).ok()
    }

    async fn wait(
        &self,
        errand: &Errand,
        absent: Absent,
        call: &Call<'_>,
    ) -> Result<OnTunnel, Refusal> {
        let (permit, config) = (&errand.permit, errand.bearer.rules.route);
        if !self.is_worth_waiting(absent, config) {
            return Err(self.refusal(permit, absent, config));
        }
        let began = Instant::now();
        let (presence, most) = (self.registry.presence(permit.agent()), most(errand));
        let arrival = timeout(config.wait, presence.arrival(None, most)).await;
        let took = began.elapsed();
        call.took.route.set(took);
        self.metrics.stage(Stage::Route).observe(took);
        arrival.map_err(|_| {
            let absent = presence.pick(None, most).err().unwrap_or(absent);
            self.refusal(permit, absent, config)
        })
    }

    fn is_worth_waiting(&self, absent: Absent, config: RouteConfig) -> bool {
        match absent {
            _ if self.stop.is_draining() => false,
            Absent::Full => false,
            // A relay that has just started waits for agents of its predecessor.
            Absent::NeverConnected => self.started_at.elapsed() < config.reconnecting,
            Absent::Offline { ago, .. } => ago < config.reconnecting,
            Absent::Draining => true,
        }
    }

    fn refusal(&self, permit: &Permit, absent: Absent, config: RouteConfig) -> Refusal {
        let name = permit.context().to_owned();
        match absent {
            _ if self.stop.is_draining() => Refusal::Draining,
            Absent::NeverConnected => Refusal::AgentNeverConnected {
                name,
                started: self.started,
                unlisted: (!permit.is_configured()).then(|| permit.agent()),
            },
            Absent::Offline { since, ago } => Refusal::AgentOffline {
                name,
                since,
                reconnecting: ago < config.reconnecting,
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

/// Exchanges that one tunnel may carry at once.
fn most(errand: &Errand) -> u32 {
    errand.bearer.rules.limits.streams_per_tunnel
}
