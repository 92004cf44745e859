//! A caller for whom an authority has vouched. Made by [`crate::Oidc`], asked for a permit by [`crate::Authoriser`].
//! Invariant: only this crate makes one, and only after every check of the token passed.

use std::{sync::Arc, time::SystemTime};

use adit_identity::JobIdentity;
use parking_lot::Mutex;

use crate::Permit;

/// A job whose token was verified. Cheap to clone; clones share the memory of the last permit.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Vouched>);

#[derive(Debug)]
struct Vouched {
    job: Arc<JobIdentity>,
    expires_at: SystemTime,
    owner: u64,
    // A job's requests nearly always go to one agent, so one is enough; building a permit costs a dozen allocations.
    last_permit: Mutex<Option<Arc<Permit>>>,
}

impl Caller {
    pub(crate) fn new(job: JobIdentity, expires_at: SystemTime, owner: u64) -> Self {
        Self(Arc::new(Vouched {
            job: Arc::new(job),
            expires_at,
            owner,
            last_permit: Mutex::new(None),
        }))
    }

    /// What the authority said.
    #[must_use]
    pub fn job(&self) -> &Arc<JobIdentity> {
        &self.0.job
    }

    /// When the token stops being accepted, clock leeway included: everything that runs under it ends then.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at
    }

    /// A number that stands for the token: equal for the same token, as good as never for two. Means nothing outside
    /// this process.
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.0.owner
    }

    pub(crate) fn last_permit(&self) -> Option<Arc<Permit>> {
        self.0.last_permit.lock().clone()
    }

    pub(crate) fn remember_permit(&self, permit: &Arc<Permit>) {
        *self.0.last_permit.lock() = Some(Arc::clone(permit));
    }
}
