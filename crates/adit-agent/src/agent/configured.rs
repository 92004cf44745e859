//! Decides what a changed configuration does to an agent that runs: its ceiling holds for what comes from now on, what runs above it is
//! reset, and what waits for the next start is told by key.

use std::sync::Arc;
use std::time::Duration;

use adit_process::reread::Looks;
use parking_lot::Mutex;

use crate::config::{Config, KubernetesConfig};
use crate::impersonate::Ceiling;
use crate::kube::endpoint::takes_service_account;
use crate::serve::Service;

/// By what an agent runs, and how that is changed. Clones are of the same agent.
#[derive(Clone, Debug)]
pub struct Configured(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By what it started: most of that holds until its end.
    started: Config,
    service: Arc<Service>,
    drain_grace: Mutex<Duration>,
}

impl Configured {
    pub(super) fn new(started: Config, service: Arc<Service>) -> Self {
        Self(Arc::new(Inner {
            drain_grace: Mutex::new(started.drain_grace),
            started,
            service,
        }))
    }

    /// Runs by this from now on, as far as that can be without a start anew.
    pub fn change(&self, config: Config) {
        let inner = &*self.0;
        *inner.drain_grace.lock() = config.drain_grace;
        let pending = inner.started.pending(&config);
        // Of the kubeconfig that waits, too: whoever writes this should not hear of it at the next start only.
        tell_doubts(
            &config.ceiling,
            [&inner.started.kubernetes, &config.kubernetes],
        );
        let cut = inner.service.lower(config.ceiling);
        if cut > 0 {
            tracing::info!(
                requests = cut,
                "reset what the ceiling does not cover any more"
            );
        }
        if !pending.is_empty() {
            tracing::warn!(
                keys = pending.join(", "),
                "keys of the configuration count from the next start on"
            );
        }
        let pending = i64::try_from(pending.len()).unwrap_or(i64::MAX);
        inner.service.metrics.config_keys_pending.set(pending);
    }

    /// How it goes with the file that the configuration is in: whoever reads it again notes it here, for metrics.
    #[must_use]
    pub fn looks(&self) -> &Looks {
        &self.0.service.metrics.config_looks
    }

    /// How long streams may run on once the agent was asked to stop.
    #[must_use]
    pub fn drain_grace(&self) -> Duration {
        *self.0.drain_grace.lock()
    }
}

/// Tells of rights that jobs may have under this ceiling, and hardly should, where the agent has its own from any of these.
pub(super) fn tell_doubts<'a>(
    ceiling: &Ceiling,
    kubernetes: impl IntoIterator<Item = &'a KubernetesConfig>,
) {
    if ceiling.agent && !kubernetes.into_iter().all(takes_service_account) {
        tracing::warn!(
            key = "ceiling.agent",
            "jobs may act with all the rights of this kubeconfig, where the relay lets them (access_as: agent): \
             the config file's `ceiling: {{ agent: false }}` keeps those rights to the agent"
        );
    }
}
