//! Decides what a changed configuration does to a relay that runs, and in which order:
//!
//! 1. the configuration is checked before it comes here, and what can fail was done: from here on nothing does;
//! 2. the [`Rules`] are replaced as a whole: what begins from now on is decided by the new ones alone;
//! 3. what runs under permits that they do not uphold is cut;
//! 4. tunnels are told, and those of agents that may no longer be here end;
//! 5. what waits for the next start is told by key.
//!
//! Invariant: one change is done before the next begins.

use std::{collections::HashMap, sync::Arc, time::Duration};

use adit_authority::{KeyRefresh, Permit, gitlab::AgentFiles};
use adit_process::reread::Looks;
use adit_tunnel::ResetReason;
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use crate::{
    audit::Audit,
    config::{Config, Doubts, Pending},
    jobs::Jobs,
    metrics::{Cut, Metrics},
    registry::Registry,
    rules::{Current, Rules},
};

/// By what a relay runs, and how that is changed. Clones are of the same relay.
#[derive(Clone, Debug)]
pub struct Configured(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By what it started: parts of that hold until its end.
    started: Config,
    rules: Current,
    pending: Pending,
    doubts: Doubts,
    jobs: Arc<Jobs>,
    registry: Arc<Registry>,
    files: Option<Arc<AgentFiles>>,
    audit: Audit,
    metrics: Arc<Metrics>,
    changing: Mutex<Changing>,
}

/// What one change at a time has.
#[derive(Debug)]
struct Changing {
    refreshes: Refreshes,
    drain_grace: Duration,
}

/// What it is made of.
pub(super) struct Parts {
    pub(super) started: Config,
    pub(super) rules: Current,
    pub(super) pending: Pending,
    pub(super) doubts: Doubts,
    /// Of the issuers that `rules` name.
    pub(super) refreshes: Vec<KeyRefresh>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) registry: Arc<Registry>,
    pub(super) files: Option<Arc<AgentFiles>>,
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
}

impl Configured {
    /// On a runtime, where it has keys fetched from now on.
    pub(super) fn new(parts: Parts) -> Self {
        let mut refreshes = Refreshes::default();
        refreshes.begin(parts.refreshes);
        Self(Arc::new(Inner {
            changing: Mutex::new(Changing {
                refreshes,
                drain_grace: parts.started.drain_grace,
            }),
            started: parts.started,
            rules: parts.rules,
            pending: parts.pending,
            doubts: parts.doubts,
            jobs: parts.jobs,
            registry: parts.registry,
            files: parts.files,
            audit: parts.audit,
            metrics: parts.metrics,
        }))
    }

    /// Runs by this from now on, as far as that can be without a start anew. What runs and would not be permitted any more is cut.
    ///
    /// # Panics
    ///
    /// Outside of the runtime that the relay was started on.
    pub fn change(&self, config: Config) {
        let inner = &*self.0;
        let mut changing = inner.changing.lock();
        let former = inner.rules.get();
        let (oidc, refreshes) = former.oidc.successor(config.oidc.clone());
        changing.refreshes.begin(refreshes);
        let authoriser = former.authoriser.successor(config.agents.clone());
        let budget = Arc::clone(&former.options.budget);
        let rules = Arc::new(Rules::new(&config, oidc, authoriser, budget));

        inner.rules.replace(Arc::clone(&rules));
        inner.audit.bound(&config.audit);
        changing.drain_grace = config.drain_grace;
        changing.refreshes.keep(&config.oidc.urls());
        let withdrawn = rules
            .authoriser
            .withdraw(|permit| rules.uphold(permit, &former));
        inner.cut(&withdrawn);
        inner.rules.announce();
        if let Some(files) = &inner.files {
            files.configure(rules.agents());
        }
        inner.doubts.tell(&config);
        inner.tell_pending(&config);
    }

    /// How it goes with the file that the configuration is in: whoever reads it again notes it here, for operators.
    #[must_use]
    pub fn looks(&self) -> &Looks {
        &self.0.metrics.config_looks
    }

    /// How long running requests may go on once the relay is told to stop.
    #[must_use]
    pub fn drain_grace(&self) -> Duration {
        self.0.changing.lock().drain_grace
    }
}

impl Inner {
    /// All that a token runs at an agent goes with its permit there. What has begun under a later permit of the same token, within this
    /// moment, is cut with it, and may come again.
    fn cut(&self, withdrawn: &[Arc<Permit>]) {
        let mut count = 0;
        for permit in withdrawn.iter().filter(|one| self.jobs.runs(one.owner())) {
            for (_, tunnel) in self.registry.tunnels(permit.agent()) {
                count += tunnel.end_streams(permit.owner(), ResetReason::Withdrawn, MESSAGE);
            }
        }
        self.metrics.exchanges_cut(Cut::Withdrawn, count);
        if count > 0 {
            tracing::info!(
                exchanges = count,
                "cut what the configuration no longer permits"
            );
        }
    }

    fn tell_pending(&self, config: &Config) {
        let keys = self.started.pending(config);
        if !keys.is_empty() {
            tracing::warn!(
                keys = keys.join(", "),
                "keys of the configuration count from the next start on"
            );
        }
        self.pending.set(keys);
    }
}

/// The tasks that fetch issuers' keys, by the issuer's URL. They end when this is dropped.
#[derive(Debug, Default)]
struct Refreshes {
    tasks: JoinSet<()>,
    by_issuer: HashMap<Box<str>, AbortHandle>,
}

impl Refreshes {
    /// Each in the place of the one before it.
    fn begin(&mut self, refreshes: Vec<KeyRefresh>) {
        for refresh in refreshes {
            let issuer = refresh.issuer().into();
            let task = self.tasks.spawn(refresh.run());
            if let Some(former) = self.by_issuer.insert(issuer, task) {
                former.abort();
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Ends those of all others.
    fn keep(&mut self, issuers: &[Box<str>]) {
        self.by_issuer.retain(|issuer, task| {
            let is_kept = issuers.contains(issuer);
            if !is_kept {
                task.abort();
            }
            is_kept
        });
    }
}

/// For the agent's log.
const MESSAGE: &str = "the relay's configuration no longer permits it";
