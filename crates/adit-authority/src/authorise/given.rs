//! The permits that were given and that somebody holds, so that those can be found that no longer hold.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::Permit;

/// All of them, of an authoriser and of those before it.
#[derive(Debug, Default)]
pub(super) struct Given(Mutex<Permits>);

#[derive(Debug, Default)]
struct Permits {
    all: Vec<Weak<Permit>>,
    /// Entries after which those are swept out that nobody holds; twice what the last sweep left.
    sweep_at: usize,
}

const SMALLEST_SWEEP: usize = 1024;

impl Given {
    pub(super) fn note(&self, permit: &Arc<Permit>) {
        let mut permits = self.0.lock();
        if permits.all.len() >= permits.sweep_at {
            permits.all.retain(|permit| permit.strong_count() > 0);
            permits.sweep_at = SMALLEST_SWEEP.max(permits.all.len() * 2);
        }
        permits.all.push(Arc::downgrade(permit));
    }

    /// Takes those out for which that is so; they are not found again.
    pub(super) fn take(&self, is_so: impl Fn(&Permit) -> bool) -> Vec<Arc<Permit>> {
        // Not while others wait for the lock: it is asked of ten thousands, once in a while.
        let all = std::mem::take(&mut self.0.lock().all);
        let held = all.iter().filter_map(Weak::upgrade);
        let (taken, left): (Vec<_>, Vec<_>) = held.partition(|permit| is_so(permit));
        let left = left.iter().map(Arc::downgrade);
        self.0.lock().all.extend(left);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use adit_identity::{ActAs, AgentId};

    use super::*;
    use crate::{Caller, examples, permit::PermitTerms};

    fn permit(agent: u64) -> Arc<Permit> {
        let caller = Caller::new(examples::job(), SystemTime::now(), 1);
        let terms = PermitTerms {
            agent: AgentId(agent),
            context: "group/app:demo".into(),
            act_as: ActAs::Agent,
            default_namespace: None,
            gitlab_project: None,
            is_configured: true,
            decided_by: 0,
        };
        Arc::new(Permit::new(&caller, terms))
    }

    #[test]
    fn permits_are_found_once_and_only_while_they_are_held() {
        let given = Given::default();
        let held = [permit(1), permit(2), permit(3)];
        held.iter().for_each(|permit| given.note(permit));
        given.note(&permit(2));
        let of_two = |permit: &Permit| permit.agent() == AgentId(2);
        assert_eq!(given.take(of_two).len(), 1);
        assert_eq!(given.take(of_two).len(), 0);
        assert_eq!(given.take(|_| true).len(), 2);
    }

    #[test]
    fn permits_that_nobody_holds_are_forgotten() {
        let given = Given::default();
        for _ in 0..10 * SMALLEST_SWEEP {
            given.note(&permit(1));
        }
        assert!(given.0.lock().all.len() <= SMALLEST_SWEEP);
    }
}
