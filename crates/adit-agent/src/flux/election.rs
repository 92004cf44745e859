//! Decides which replica leads: the one that holds a Lease, as Kubernetes' own components do it
//! (<https://kubernetes.io/docs/concepts/architecture/leases/>), and beside which they may stand.
//! Invariant: who has not renewed the Lease within [`Times::renew_within`] leads no longer, and nobody else leads before
//! [`Times::lasts`] has gone by on the clock of whoever takes over. Clocks of different machines are never compared.

use std::time::{Duration, SystemTime};

use adit_process::chain;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::api::{Api, ApiError, Write};

/// How long what takes. The defaults are those of Kubernetes' own components.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// How long a leader may be silent.
    pub(super) lasts: Duration,
    /// How long it tries to renew before it gives up; less.
    pub(super) renew_within: Duration,
    /// How often it is tried.
    pub(super) every: Duration,
}

impl Times {
    pub(super) const DEFAULT: Self = Self {
        lasts: Duration::from_secs(15),
        renew_within: Duration::from_secs(10),
        every: Duration::from_secs(2),
    };
}

/// One replica's part in it.
#[derive(Debug)]
pub(super) struct Election {
    api: Api,
    /// All Leases of the namespace.
    leases: String,
    name: String,
    /// Who this is, other than any other.
    me: String,
    times: Times,
    /// The Lease as it was seen last, and since when it has been so.
    seen: Option<(Lease, Instant)>,
}

/// What stands in the cluster, with what is not ours to know.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Lease {
    #[serde(default)]
    spec: Spec,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    /// Empty: nobody.
    holder_identity: String,
    lease_duration_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acquire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    lease_transitions: u64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Where a try leaves us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Leads,
    OtherLeads,
}

impl Election {
    pub(super) fn new(
        api: Api,
        (namespace, name): (&str, &str),
        replica: &str,
        times: Times,
    ) -> Self {
        Self {
            api,
            leases: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            name: name.to_owned(),
            // A pod that is made again under its name is somebody else.
            me: format!("{replica}_{:016x}", rand::random::<u64>()),
            times,
            seen: None,
        }
    }

    /// Waits until this replica leads. Cancel-safe.
    pub(super) async fn win(&mut self) {
        let mut is_told = false;
        loop {
            match self.try_once().await {
                Ok(Tried::Leads) => return,
                Ok(Tried::OtherLeads) => is_told = false,
                Err(error) if is_told => {
                    tracing::debug!(error = chain(&error), "the Lease cannot be taken");
                }
                Err(error) => {
                    tracing::warn!(
                        lease = self.name,
                        error = chain(&error),
                        "the Lease by which one replica sees to Flux cannot be taken"
                    );
                    is_told = true;
                }
            }
            self.pause().await;
        }
    }

    /// Renews until this replica leads no longer. Cancel-safe: what is under way may have been done or not.
    pub(super) async fn keep(&mut self) {
        let mut until = Instant::now() + self.times.renew_within;
        loop {
            self.pause().await;
            match timeout_at(until, self.try_once()).await {
                Ok(Ok(Tried::Leads)) => until = Instant::now() + self.times.renew_within,
                Ok(Ok(Tried::OtherLeads)) => return,
                Ok(Err(error)) => {
                    tracing::debug!(error = chain(&error), "the Lease could not be renewed");
                    if Instant::now() >= until {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Lets another one lead at once.
    pub(super) async fn release(&mut self) {
        let Some((lease, _)) = self.seen.take() else {
            return;
        };
        // Without it the others wait until it has run out.
        let _ = timeout(PARTING, self.let_go(lease)).await;
    }

    async fn let_go(&self, mut lease: Lease) -> Result<(), ApiError> {
        let target = self.target();
        while lease.spec.holder_identity == self.me {
            lease.spec.holder_identity.clear();
            lease.spec.lease_duration_seconds = 1;
            lease.spec.renew_time = Some(now());
            match self.replace(&target, &lease).await {
                // Of a renewal that was cut off, and done all the same.
                Err(error) if error.is(StatusCode::CONFLICT) => {
                    lease = self.api.read(&target).await?;
                }
                released => return released.map(drop),
            }
        }
        Ok(())
    }

    async fn try_once(&mut self) -> Result<Tried, ApiError> {
        // What we wrote last is still so, unless somebody took it.
        let ours = self.seen.as_ref().map(|(lease, _)| lease);
        if let Some(lease) = ours.filter(|lease| lease.spec.holder_identity == self.me) {
            match self.take(lease.clone()).await {
                Err(error) if error.is(StatusCode::CONFLICT) => {}
                tried => return tried,
            }
        }
        let lease: Lease = match self.api.read(&self.target()).await {
            Err(error) if error.is(StatusCode::NOT_FOUND) => return self.make().await,
            lease => lease?,
        };
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if seen.spec == lease.spec => *since,
            Some(_) | None => now,
        };
        self.seen = Some((lease.clone(), since));
        let holder = &lease.spec.holder_identity;
        let is_free = holder.is_empty() || *holder == self.me;
        if !is_free && since + self.times.lasts > now {
            return Ok(Tried::OtherLeads);
        }
        match self.take(lease).await {
            Err(error) if error.is(StatusCode::CONFLICT) => Ok(Tried::OtherLeads),
            tried => tried,
        }
    }

    async fn make(&mut self) -> Result<Tried, ApiError> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.name },
            "spec": self.spec(Spec::default()),
        });
        match self.api.write(Write::Create, &self.leases, &lease).await {
            Err(error) if error.is(StatusCode::CONFLICT) => Ok(Tried::OtherLeads),
            made => Ok(self.leads_by(made?)),
        }
    }

    async fn take(&mut self, mut lease: Lease) -> Result<Tried, ApiError> {
        let is_ours = lease.spec.holder_identity == self.me;
        lease.spec.lease_transitions += u64::from(!is_ours);
        lease.spec = self.spec(lease.spec);
        let taken = self.replace(&self.target(), &lease).await?;
        Ok(self.leads_by(taken))
    }

    async fn replace(&self, target: &str, lease: &Lease) -> Result<Lease, ApiError> {
        let lease = serde_json::to_value(lease)?;
        self.api.write(Write::Replace, target, &lease).await
    }

    fn leads_by(&mut self, lease: Lease) -> Tried {
        self.seen = Some((lease, Instant::now()));
        Tried::Leads
    }

    /// With this replica as the holder, after `before`.
    fn spec(&self, before: Spec) -> Spec {
        let is_ours = before.holder_identity == self.me;
        Spec {
            holder_identity: self.me.clone(),
            lease_duration_seconds: self.times.lasts.as_secs().max(1),
            acquire_time: before
                .acquire_time
                .filter(|_| is_ours)
                .or_else(|| Some(now())),
            renew_time: Some(now()),
            lease_transitions: before.lease_transitions,
            rest: before.rest,
        }
    }

    fn target(&self) -> String {
        format!("{}/{}", self.leases, self.name)
    }

    async fn pause(&self) {
        sleep(self.times.every.mul_f64(1.0 + rand::random::<f64>() / 5.0)).await;
    }
}

/// How long it may take to let another one lead.
const PARTING: Duration = Duration::from_secs(3);

/// RFC 3339 with six digits of the second, which Kubernetes insists on.
fn now() -> String {
    let now = prost_types::Timestamp::from(SystemTime::now());
    let micros = now.nanos / 1000;
    let second = prost_types::Timestamp { nanos: 0, ..now }.to_string();
    format!("{}.{micros:06}Z", second.trim_end_matches('Z'))
}
