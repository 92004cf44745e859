//! Decides how much one job may do at once and in a second; when, where it is much, `turns.rs` decides.
//!
//! `authenticate.rs` looks a token's [`JobUse`] up once per connection, `handle.rs` begins each exchange on it as soon as it is known
//! whose it is. Shared by all shards. Invariant: an exchange is counted from then until its last byte, what waits for an agent and
//! what was upgraded included.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use adit_authority::Caller;
use dashmap::DashMap;
use tokio::time::Instant;

use crate::{
    config::LimitsConfig,
    refusal::Refusal,
    seldom::Seldom,
    turns::{Bustle, Turn, Turns, Waiting},
};

/// The use of every job whose token is still good.
#[derive(Debug)]
pub(crate) struct Jobs {
    by_owner: DashMap<u64, Arc<JobUse>>,
    bustle: Arc<Bustle>,
    started: Instant,
    /// Entries after which expired ones are swept out; twice what the last sweep left.
    sweep_at: AtomicUsize,
}

const SMALLEST_SWEEP: usize = 1024;

impl Jobs {
    pub(crate) fn new() -> Self {
        Self {
            by_owner: DashMap::new(),
            bustle: Arc::default(),
            started: Instant::now(),
            sweep_at: AtomicUsize::new(SMALLEST_SWEEP),
        }
    }

    /// The one [`JobUse`] of the caller's token.
    pub(crate) fn of(&self, caller: &Caller) -> Arc<JobUse> {
        self.of_owner(caller.owner(), caller.expires_at())
    }

    /// Whether an exchange runs for this caller.
    pub(crate) fn runs(&self, owner: u64) -> bool {
        self.by_owner
            .get(&owner)
            .is_some_and(|job| job.streams.load(Ordering::Relaxed) > 0)
    }

    fn of_owner(&self, owner: u64, expires_at: Option<SystemTime>) -> Arc<JobUse> {
        if let Some(known) = self.by_owner.get(&owner) {
            return Arc::clone(&known);
        }
        self.sweep();
        let new = || {
            Arc::new(JobUse {
                owner,
                started: self.started,
                expires_at,
                streams: AtomicU32::new(0),
                second: AtomicU64::new(0),
                turns: Arc::default(),
                bustle: Arc::clone(&self.bustle),
                refusals: Seldom::default(),
            })
        };
        Arc::clone(&self.by_owner.entry(owner).or_insert_with(new))
    }

    /// Forgets jobs that run nothing and whose token has expired, or may end at any time: the map holds no more than live tokens.
    fn sweep(&self) {
        if self.by_owner.len() < self.sweep_at.load(Ordering::Relaxed) {
            return;
        }
        let now = SystemTime::now();
        let is_live = |job: &JobUse| job.expires_at.is_some_and(|end| end > now);
        self.by_owner
            .retain(|_, job| is_live(job) || Arc::strong_count(job) > 1);
        self.sweep_at.store(
            SMALLEST_SWEEP.max(self.by_owner.len() * 2),
            Ordering::Relaxed,
        );
    }
}

/// What one job uses now.
#[derive(Debug)]
pub(crate) struct JobUse {
    owner: u64,
    started: Instant,
    expires_at: Option<SystemTime>,
    streams: AtomicU32,
    /// The second (upper half, since `started`) and the exchanges begun in it (lower half).
    second: AtomicU64,
    turns: Arc<Turns>,
    bustle: Arc<Bustle>,
    /// Which of its refusals are logged: where GitLab vouches for everybody's jobs, many of them are strangers.
    pub(crate) refusals: Seldom,
}

impl JobUse {
    /// Begins an exchange; it is counted until the result is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        now: Instant,
        limits: &LimitsConfig,
    ) -> Result<OfJob, Refusal> {
        let taken = self.streams.fetch_add(1, Ordering::Relaxed);
        let exchange = OfJob(Arc::clone(self));
        if taken >= limits.streams_per_job {
            return Err(Refusal::JobStreams {
                limit: limits.streams_per_job,
            });
        }
        if self.begun_in_this_second(now) > limits.opens_per_second {
            return Err(Refusal::JobRate {
                limit: limits.opens_per_second,
            });
        }
        Ok(exchange)
    }

    /// The turn of an exchange that may go on; `None` when the job has the relay to itself, and needs none.
    pub(crate) fn turn(
        &self,
        now: Instant,
        limits: &LimitsConfig,
    ) -> Result<Option<Turn>, Waiting> {
        if self.bustle.is_shared_by(self.owner, now) {
            self.turns.take(limits.turns_per_job).map(Some)
        } else {
            Ok(None)
        }
    }

    fn begun_in_this_second(&self, now: Instant) -> u32 {
        const COUNT: u64 = u32::MAX as u64;
        let second = now.saturating_duration_since(self.started).as_secs() << 32;
        let count = |old: u64| {
            // A shard that is a moment late counts in the second that has begun: it must not empty it.
            if old & !COUNT >= second {
                old.saturating_add(u64::from(old & COUNT < COUNT))
            } else {
                second | 1
            }
        };
        let old = self
            .second
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(count(old)))
            .unwrap_or_else(|old| old);
        u32::try_from(count(old) & COUNT).unwrap_or(u32::MAX)
    }
}

/// One exchange of a job.
#[derive(Debug)]
pub(crate) struct OfJob(Arc<JobUse>);

impl Drop for OfJob {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Option<SystemTime> {
        Some(SystemTime::now() + Duration::from_secs(60))
    }

    fn limits(streams_per_job: u32, opens_per_second: u32) -> LimitsConfig {
        LimitsConfig {
            streams_per_job,
            opens_per_second,
            ..LimitsConfig::default()
        }
    }

    fn reason(result: Result<OfJob, Refusal>) -> &'static str {
        result.map_or_else(|refusal| refusal.facts().reason, |_| "none")
    }

    #[test]
    fn job_has_a_limit_of_exchanges_at_once() {
        let (jobs, limits) = (Jobs::new(), limits(2, 100));
        let begin = |job: &Arc<JobUse>, now| job.begin(now, &limits);
        let job = jobs.of_owner(1, soon());
        let now = Instant::now();
        assert!(!jobs.runs(1));
        let held = [begin(&job, now).unwrap(), begin(&job, now).unwrap()];
        assert!(jobs.runs(1) && !jobs.runs(2));
        assert_eq!(reason(begin(&jobs.of_owner(1, soon()), now)), "job_streams");
        assert!(begin(&jobs.of_owner(2, soon()), now).is_ok());
        drop(held);
        assert!(begin(&job, now).is_ok());
    }

    #[test]
    fn job_has_a_limit_of_exchanges_in_a_second() {
        let (jobs, limits) = (Jobs::new(), limits(100, 3));
        let begin = |job: &Arc<JobUse>, now| job.begin(now, &limits);
        let job = jobs.of_owner(1, soon());
        let now = Instant::now();
        for _ in 0..3 {
            assert!(begin(&job, now).is_ok());
        }
        assert_eq!(reason(begin(&job, now)), "job_rate");
        let next = now + Duration::from_secs(1);
        assert!(begin(&job, next).is_ok());
        // The clock of another shard, read a moment before.
        for _ in 0..2 {
            assert!(begin(&job, now).is_ok());
        }
        assert_eq!(reason(begin(&job, next)), "job_rate");
    }

    #[test]
    fn expired_jobs_are_forgotten() {
        let jobs = Jobs::new();
        let past = SystemTime::now() - Duration::from_secs(1);
        for owner in 0..5000 {
            jobs.of_owner(owner, (owner % 2 == 0).then_some(past));
        }
        assert!(jobs.by_owner.len() <= SMALLEST_SWEEP + 1);
    }
}
