//! Decides which replica sees to Flux, and what it does: it follows the `GitRepository` objects of a GitLab, keeps a Receiver for each,
//! and calls that when the relay tells of a push to its project. Run by [`crate::agent`] as one task, if the configuration asks for it.
//!
//! ```text
//!            election: one replica leads
//!                     │
//!  API server ── repositories ──▶ what is found ──▶ pushes ◀── relay: somebody has pushed
//!       ▲                               │              │
//!       └── Secret, Receiver ──────── receivers ◀──────┘ ──▶ webhook: notification-controller
//! ```
//!
//! Invariants:
//! - Only the leader does anything; when it leads no longer, all of it is dropped at once.
//! - Nothing is made in the cluster before the relay has said that it tells of pushes.
//! - What it may do is in roles of its own (`docs/rbac.md`): it never reads, changes or deletes a Secret of others.

mod api;
mod election;
mod objects;
mod pushes;
mod receivers;
mod repositories;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use adit_process::backoff::{Backoff, BackoffTerms};
use adit_process::metrics::Held;
use adit_process::tls::TlsError;
use adit_process::{Stop, chain};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::api::{Api, ApiError, Write};
use self::election::{Election, Times};
use self::objects::Key;
use self::pushes::{Heard, Listener};
use self::receivers::{Keeping, Receivers};
use self::repositories::{Found, Repositories};
use self::webhook::Webhook;
use crate::agent::link::Opened;
use crate::config::FluxConfig;
use crate::kube::Kube;
use crate::metrics::Metrics;

/// The agent's part in Flux.
#[derive(Debug)]
pub(crate) struct Flux {
    config: FluxConfig,
    api: Api,
    webhook: Webhook,
    replica: String,
    newest: watch::Receiver<Option<Opened>>,
    metrics: Metrics,
}

/// The Secret with the agent's key.
#[derive(Deserialize)]
struct KeySecret {
    data: KeyData,
}

#[derive(Deserialize)]
struct KeyData {
    key: String,
}

impl Flux {
    /// # Errors
    /// The system's certificates cannot be used, by which a webhook would have to prove itself.
    pub(crate) fn new(
        config: FluxConfig,
        kube: Arc<Kube>,
        replica: String,
        newest: watch::Receiver<Option<Opened>>,
        metrics: Metrics,
    ) -> Result<Self, TlsError> {
        let api = Api::new(kube);
        Ok(Self {
            webhook: Webhook::new(&config.receivers, api.clone())?,
            config,
            api,
            replica,
            newest,
            metrics,
        })
    }

    /// Until the agent is asked to stop.
    pub(crate) async fn run(self, stop: Stop) {
        let lease = (&*self.config.lease_namespace, &*self.config.lease_name);
        let mut election = Election::new(self.api.clone(), lease, &self.replica, Times::DEFAULT);
        let terms = async {
            loop {
                election.win().await;
                tracing::info!("this replica sees to Flux");
                let _leads = Held::one(&self.metrics.leads);
                tokio::select! {
                    biased;
                    () = election.keep() => {}
                    () = self.lead() => {}
                }
                tracing::warn!("this replica no longer sees to Flux");
            }
        };
        tokio::select! {
            biased;
            () = stop.draining() => {}
            () = terms => {}
        }
        election.release().await;
    }

    /// For as long as this is polled.
    async fn lead(&self) {
        let (found, mut finds) = watch::channel(Found::new());
        let (hear, mut heard) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        for namespace in &self.config.namespaces {
            let repositories = Repositories {
                api: self.api.clone(),
                namespace: namespace.clone(),
                gitlab: self.config.gitlab.clone(),
                found: found.clone(),
            };
            tasks.spawn(repositories.follow());
        }
        let listener = Listener {
            newest: self.newest.clone(),
            found: finds.clone(),
            heard: hear,
            metrics: self.metrics.clone(),
        };
        tasks.spawn(listener.run());
        let mut receivers = None;
        loop {
            tokio::select! {
                biased;
                Some(heard) = heard.recv() => match (heard, &receivers) {
                    (Heard::Following(_), Some(_)) => {}
                    (Heard::Following(agent), None) => {
                        let mut kept = self.receivers(agent).await;
                        kept.follow(&finds.borrow_and_update());
                        receivers = Some(kept);
                    }
                    (Heard::Push(project), Some(receivers)) => receivers.pushed(&project),
                    (Heard::Push(_), None) => {}
                },
                Ok(()) = finds.changed() => {
                    let found = finds.borrow_and_update();
                    self.metrics.repositories.set(i64::try_from(found.len()).unwrap_or(i64::MAX));
                    if let Some(receivers) = &mut receivers {
                        receivers.follow(&found);
                    }
                }
                else => return,
            }
        }
    }

    async fn receivers(&self, agent: u64) -> Receivers {
        Receivers::new(Keeping {
            api: self.api.clone(),
            webhook: self.webhook.clone(),
            key: self.key().await,
            agent,
            at_once: Semaphore::new(AT_ONCE),
            metrics: self.metrics.clone(),
        })
    }

    async fn key(&self) -> Key {
        let mut backoff = Backoff::new(RETRY);
        loop {
            match self.find_key().await {
                Ok(key) => return key,
                Err(error) => {
                    let wait = backoff.failed();
                    tracing::warn!(
                        secret = self.config.lease_name,
                        namespace = self.config.lease_namespace,
                        error = chain(&error),
                        "the Secret with the agent's key for Flux cannot be had"
                    );
                    sleep(wait).await;
                }
            }
        }
    }

    /// Makes one when there is none.
    async fn find_key(&self) -> Result<Key, ApiError> {
        let FluxConfig {
            lease_name: name,
            lease_namespace: namespace,
            ..
        } = &self.config;
        let all = format!("/api/v1/namespaces/{namespace}/secrets");
        let found = match self.api.read(&format!("{all}/{name}")).await {
            Err(error) if error.is(StatusCode::NOT_FOUND) => {
                let secret = json!({
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": { "name": name },
                    "stringData": { "key": format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()) },
                });
                self.api.write(Write::Create, &all, &secret).await
            }
            found => found,
        };
        let found: KeySecret = found?;
        Ok(Key::new(&found.data.key))
    }
}

/// Whatever of it fails is tried again within so long.
const RETRY: BackoffTerms = BackoffTerms {
    base: Duration::from_secs(10),
    cap: Duration::from_mins(5),
};
/// Repositories that are seen to at once.
const AT_ONCE: usize = 4;

#[cfg(test)]
mod tests;
