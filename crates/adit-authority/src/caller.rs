//! A caller for whom an authority has vouched. Made by [`crate::Oidc`] and [`crate::GitLab`], asked for a permit by
//! [`crate::Authoriser`].
//! Invariant: only this crate makes one, and only after every check of the token passed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::SystemTime,
};

use adit_identity::{JobIdentity, UserIdentity};
use parking_lot::Mutex;

use crate::{
    Ended, Permit,
    gitlab::{Granted, UserGrant},
};

/// A job or a user whose token was verified. Cheap to clone; clones share the memory of the last permit, and end together.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Vouched>);

#[derive(Debug)]
struct Vouched {
    who: Who,
    owner: u64,
    until: Until,
    // None until it ends; see `Caller::end`.
    ended: AtomicU8,
    // A caller's requests nearly always go to one agent, so one is enough; building a permit costs a dozen allocations.
    last_permit: Mutex<Option<Arc<Permit>>>,
}

/// Who it is that calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A CI job.
    Job(Arc<JobIdentity>),
    /// A person, outside of any job.
    User(Arc<UserIdentity>),
}

/// How long an authority's word counts.
#[derive(Debug)]
enum Until {
    /// To the token's expiry.
    Expiry(SystemTime),
    /// Until the authority takes it back; what it grants meanwhile. The second is shared by a caller and those that it came after.
    Further(Grants, Arc<()>),
}

/// What an authority grants that decides about access itself.
#[derive(Debug)]
enum Grants {
    /// Agents to a job.
    Agents(Granted),
    /// One agent to a user.
    Agent(UserGrant),
}

impl Caller {
    /// One whose token says when it expires.
    pub(crate) fn new(job: JobIdentity, expires_at: SystemTime, owner: u64) -> Self {
        Self::vouched(Who::Job(job.into()), owner, Until::Expiry(expires_at))
    }

    /// A job whose authority says which agents it may use, and is asked again.
    pub(crate) fn granted_agents(job: JobIdentity, granted: Granted, owner: u64) -> Self {
        let until = Until::Further(Grants::Agents(granted), Arc::default());
        Self::vouched(Who::Job(job.into()), owner, until)
    }

    /// A user whose authority says for which agent, and is asked again.
    pub(crate) fn granted_agent(user: UserIdentity, grant: UserGrant, owner: u64) -> Self {
        let until = Until::Further(Grants::Agent(grant), Arc::default());
        Self::vouched(Who::User(user.into()), owner, until)
    }

    /// The same token's caller after its authority has said something else of a job.
    pub(crate) fn after_change(&self, job: JobIdentity, granted: Granted) -> Self {
        self.successor(Who::Job(job.into()), Grants::Agents(granted))
    }

    /// The same of a user.
    pub(crate) fn after_change_of_user(&self, user: UserIdentity, grant: UserGrant) -> Self {
        self.successor(Who::User(user.into()), Grants::Agent(grant))
    }

    fn successor(&self, who: Who, grants: Grants) -> Self {
        let lineage = match &self.0.until {
            Until::Expiry(_) => Arc::default(),
            Until::Further(_, lineage) => Arc::clone(lineage),
        };
        Self::vouched(who, self.owner(), Until::Further(grants, lineage))
    }

    fn vouched(who: Who, owner: u64, until: Until) -> Self {
        Self(Arc::new(Vouched {
            who,
            owner,
            until,
            ended: AtomicU8::new(GOOD),
            last_permit: Mutex::new(None),
        }))
    }

    /// What the authority said.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.0.who
    }

    /// The same of a job; none of a user.
    #[must_use]
    pub fn job(&self) -> Option<&Arc<JobIdentity>> {
        match &self.0.who {
            Who::Job(job) => Some(job),
            Who::User(_) => None,
        }
    }

    /// When the token stops being accepted, clock leeway included: everything that runs under it ends then. None if its authority
    /// says when it is over.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        match self.0.until {
            Until::Expiry(at) => Some(at),
            Until::Further(..) => None,
        }
    }

    /// A number that stands for the token: equal for the same token, as good as never for two. Means nothing outside
    /// this process.
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.0.owner
    }

    /// Whether the authority has taken its word back, and why.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        let ended = self.0.ended.load(Ordering::Acquire);
        Ended::ALL.get(usize::from(ended)).copied()
    }

    /// The authority has taken its word back. The first reason stays.
    pub(crate) fn end(&self, why: Ended) {
        let why = Ended::ALL.iter().position(|one| *one == why);
        let why = why.and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
        let _ = self
            .0
            .ended
            .compare_exchange(GOOD, why, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether more than one clone is about, of this caller or of those that it came after.
    pub(crate) fn is_shared(&self) -> bool {
        let has_forebears = match &self.0.until {
            Until::Expiry(_) => false,
            Until::Further(_, lineage) => Arc::strong_count(lineage) > 1,
        };
        has_forebears || Arc::strong_count(&self.0) > 1
    }

    pub(crate) fn granted(&self) -> Option<&Granted> {
        match &self.0.until {
            Until::Further(Grants::Agents(granted), _) => Some(granted),
            Until::Further(Grants::Agent(_), _) | Until::Expiry(_) => None,
        }
    }

    pub(crate) fn user_grant(&self) -> Option<&UserGrant> {
        match &self.0.until {
            Until::Further(Grants::Agent(grant), _) => Some(grant),
            Until::Further(Grants::Agents(_), _) | Until::Expiry(_) => None,
        }
    }

    pub(crate) fn last_permit(&self) -> Option<Arc<Permit>> {
        self.0.last_permit.lock().clone()
    }

    pub(crate) fn remember_permit(&self, permit: &Arc<Permit>) {
        *self.0.last_permit.lock() = Some(Arc::clone(permit));
    }
}

/// No index of [`Ended::ALL`].
const GOOD: u8 = u8::MAX;
