//! Keeps a Receiver for each repository, and calls it when there was a push. A task for each; run as long as the agent leads.
//!
//! ```text
//!  new ──▶ keep: Secret, Receiver ──▶ wait ──push──▶ keep, call ──▶ wait
//!                  └── failed: backoff ──┘                └── failed: backoff, again
//! ```
//!
//! Invariant: however many pushes come while one waits, one call follows the last of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adit_identity::FullPath;
use adit_process::backoff::Backoff;
use adit_process::chain;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::RETRY;
use super::api::{Api, ApiError, Write};
use super::objects::{self, Key, MANAGER};
use super::repositories::{Found, Place, Repository};
use super::webhook::{CallFailure, Webhook};
use crate::metrics::{Metrics, Reconciliation};

/// All of them.
#[derive(Debug)]
pub(super) struct Receivers {
    keeping: Arc<Keeping>,
    kept: BTreeMap<Place, Kept>,
    tasks: JoinSet<()>,
}

/// What every task needs.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) api: Api,
    pub(super) webhook: Webhook,
    pub(super) key: Key,
    /// As which agent the relay knows us.
    pub(super) agent: u64,
    pub(super) at_once: Semaphore,
    pub(super) metrics: Metrics,
}

#[derive(Debug)]
struct Kept {
    repository: Repository,
    pushed: Arc<Notify>,
    task: AbortHandle,
}

/// What is to be done for a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    /// See to it that its Secret and its Receiver are there.
    Keep,
    /// Call its Receiver.
    Call,
    /// Both: for a call that failed, and for one that comes before anything was kept.
    KeepAndCall,
}

impl Errand {
    /// With a push that came meanwhile.
    const fn pushed(self) -> Self {
        match self {
            Self::Keep => Self::KeepAndCall,
            Self::Call | Self::KeepAndCall => self,
        }
    }

    /// After it has failed: nothing of what is there is taken for granted.
    const fn again(self) -> Self {
        match self {
            Self::Keep => self,
            Self::Call | Self::KeepAndCall => Self::KeepAndCall,
        }
    }
}

#[derive(Deserialize)]
struct Receiver {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    webhook_path: String,
}

/// Why an errand failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the Receiver's Secret cannot be made")]
    Secret(#[source] ApiError),
    #[error("the Receiver cannot be kept")]
    Receiver(#[source] ApiError),
    #[error("notification-controller has not made the Receiver ready")]
    NotReady,
    #[error("the Receiver cannot be called")]
    Call(#[from] CallFailure),
}

impl Receivers {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self {
            keeping: Arc::new(keeping),
            kept: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Keeps those of these repositories, and no others. What was kept for others goes with them.
    pub(super) fn follow(&mut self, found: &Found) {
        self.kept.retain(|place, kept| {
            let stays = found.get(place) == Some(&kept.repository);
            if !stays {
                kept.task.abort();
            }
            stays
        });
        for (place, repository) in found {
            if !self.kept.contains_key(place) {
                let kept = self.keep(place, repository);
                self.kept.insert(place.clone(), kept);
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Somebody has pushed to this project.
    pub(super) fn pushed(&self, project: &FullPath) {
        let of_project = |kept: &&Kept| kept.repository.project == *project;
        for kept in self.kept.values().filter(of_project) {
            kept.pushed.notify_one();
        }
    }

    fn keep(&mut self, place: &Place, repository: &Repository) -> Kept {
        let pushed = Arc::new(Notify::new());
        let keeper = Keeper {
            keeping: Arc::clone(&self.keeping),
            place: place.clone(),
            repository: repository.clone(),
            pushed: Arc::clone(&pushed),
        };
        Kept {
            repository: repository.clone(),
            pushed,
            task: self.tasks.spawn(keeper.run()),
        }
    }
}

/// One repository's task.
struct Keeper {
    keeping: Arc<Keeping>,
    place: Place,
    repository: Repository,
    pushed: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut backoff = Backoff::new(RETRY);
        let mut errand = Errand::Keep;
        loop {
            if self.pushed.notified().now_or_never().is_some() {
                errand = errand.pushed();
            }
            match self.attempt(errand).await {
                Ok(()) => {
                    backoff.reset();
                    errand = self.next().await;
                }
                Err(failure) => {
                    let wait = backoff.failed();
                    self.report(errand, &failure, wait);
                    errand = errand.again();
                    sleep(wait).await;
                }
            }
        }
    }

    /// Waits for the next errand.
    async fn next(&self) -> Errand {
        tokio::select! {
            biased;
            () = self.pushed.notified() => Errand::Call,
            () = sleep(AGAIN.mul_f64(1.0 + rand::random::<f64>() / 5.0)) => Errand::Keep,
        }
    }

    async fn attempt(&self, errand: Errand) -> Result<(), Failure> {
        let _turn = self.keeping.at_once.acquire().await;
        if errand != Errand::Call {
            self.make_secret().await?;
        }
        let Receiver { status } = self.apply_receiver().await?;
        if errand == Errand::Keep {
            return Ok(());
        }
        if status.webhook_path.is_empty() {
            return Err(Failure::NotReady);
        }
        self.call(&status.webhook_path).await
    }

    /// One that is there is left as it is: the agent may not look at it.
    async fn make_secret(&self) -> Result<(), Failure> {
        let Keeping {
            api, key, agent, ..
        } = &*self.keeping;
        let secret = objects::secret(&self.place, &self.repository, *agent, key);
        let target = format!("/api/v1/namespaces/{}/secrets", self.place.namespace);
        match api.write::<Value>(Write::Create, &target, &secret).await {
            Ok(_) => Ok(()),
            Err(error) if error.is(StatusCode::CONFLICT) => Ok(()),
            Err(error) => Err(Failure::Secret(error)),
        }
    }

    async fn apply_receiver(&self) -> Result<Receiver, Failure> {
        let Keeping { api, agent, .. } = &*self.keeping;
        let receiver = objects::receiver(&self.place, &self.repository, *agent);
        let target = format!(
            "/apis/notification.toolkit.fluxcd.io/v1/namespaces/{}/receivers/{}?fieldManager={MANAGER}&force=true",
            self.place.namespace,
            objects::receiver_name(&self.place),
        );
        let applied = api.write(Write::Apply, &target, &receiver).await;
        applied.map_err(Failure::Receiver)
    }

    async fn call(&self, path: &str) -> Result<(), Failure> {
        let Keeping {
            webhook,
            key,
            metrics,
            ..
        } = &*self.keeping;
        let project = self.repository.project.as_str();
        let body = Bytes::from(json!({ "project": project }).to_string());
        let mut headers = HeaderMap::new();
        headers.insert(SIGNATURE, key.signature(&self.place, &body));
        webhook.call(path, headers, body).await?;
        metrics.reconciliation(Reconciliation::Called);
        tracing::info!(
            namespace = self.place.namespace,
            repository = self.place.name,
            project,
            "a push was passed on to Flux"
        );
        Ok(())
    }

    fn report(&self, errand: Errand, failure: &Failure, wait: Duration) {
        self.keeping.metrics.reconciliation(failure.kind());
        tracing::warn!(
            namespace = self.place.namespace,
            repository = self.place.name,
            is_pushed = errand != Errand::Keep,
            error = chain(failure),
            advice = failure.advice(),
            retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "a repository's Receiver is not served"
        );
    }
}

impl Failure {
    const fn kind(&self) -> Reconciliation {
        match self {
            Self::Secret(_) | Self::Receiver(_) => Reconciliation::NotKept,
            Self::NotReady => Reconciliation::NotReady,
            Self::Call(CallFailure::Answered(_) | CallFailure::NoPath(_)) => {
                Reconciliation::Refused
            }
            Self::Call(
                CallFailure::Dial(_)
                | CallFailure::Api(_)
                | CallFailure::Http(_)
                | CallFailure::Late,
            ) => Reconciliation::Unreachable,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::Secret(error) | Self::Receiver(error) if error.is(StatusCode::FORBIDDEN) => {
                "give the agent the roles of docs/rbac.md, Flux"
            }
            Self::Receiver(error) if error.is(StatusCode::NOT_FOUND) => {
                "Flux's notification-controller is not installed: apply its CRDs"
            }
            Self::Call(CallFailure::Answered(StatusCode::BAD_REQUEST)) => {
                "its Secret may hold another agent's token: delete the Secret, and the agent makes it again"
            }
            Self::Secret(_) | Self::Receiver(_) | Self::NotReady | Self::Call(_) => {
                "it is tried again"
            }
        }
    }
}

const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// How often it is seen to that all is there, and a fifth more at most, by chance.
const AGAIN: Duration = Duration::from_mins(30);
