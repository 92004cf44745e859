//! Jobs of which GitLab has said that they are over. Asked by [`super::jobs`] about every answer.
//! Invariant: what is held is bounded, in number and in time: an answer that was given before the job's end arrives within a call's
//! timeout, or never.

use std::{collections::HashMap, time::Duration};

use adit_identity::JobId;
use tokio::time::Instant;

/// Longer than any call may take.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);
/// Jobs remembered; beyond it the oldest goes.
const MOST: usize = 10_000;

/// By id, with when they were over.
#[derive(Debug, Default)]
pub(super) struct OverJobs(HashMap<JobId, Instant>);

impl OverJobs {
    pub(super) fn note(&mut self, job: JobId, now: Instant) {
        if self.0.len() >= MOST {
            self.0
                .retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED_FOR);
        }
        if self.0.len() >= MOST
            && let Some((oldest, _)) = self.0.iter().min_by_key(|(_, at)| **at)
        {
            let oldest = *oldest;
            self.0.remove(&oldest);
        }
        self.0.insert(job, now);
    }

    pub(super) fn contains(&self, job: JobId, now: Instant) -> bool {
        self.0
            .get(&job)
            .is_some_and(|at| now.saturating_duration_since(*at) < REMEMBERED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_forgotten_after_a_while_and_when_there_are_too_many() {
        let now = Instant::now();
        let mut over = OverJobs::default();
        over.note(JobId(1), now);
        assert!(over.contains(JobId(1), now));
        assert!(!over.contains(JobId(2), now));
        assert!(!over.contains(JobId(1), now + REMEMBERED_FOR));
        for job in 0..20_000 {
            over.note(JobId(job), now + Duration::from_millis(job));
        }
        assert!(over.0.len() <= MOST);
        assert!(over.contains(JobId(19_999), now + Duration::from_secs(20)));
    }
}
