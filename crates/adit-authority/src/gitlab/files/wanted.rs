//! Agents whose files are to be read before their turn: somebody has pushed to their project, or they have come just now.
//! Invariant: it holds agents, not what happened to them, and gives them out once in [`APART`]: a flood of pushes costs GitLab no more
//! than one reading of each file in that time.

use std::{collections::HashSet, time::Duration};

use adit_identity::AgentId;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

const APART: Duration = Duration::from_secs(1);

/// Who is waited for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    agents: Mutex<State>,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    wanted: HashSet<AgentId>,
    /// When some may be given out again.
    ready: Option<Instant>,
}

impl Wanted {
    pub(super) fn add(&self, agents: impl IntoIterator<Item = AgentId>) {
        self.agents.lock().wanted.extend(agents);
        self.added.notify_one();
    }

    /// All of them; none as long as the last were given out a moment ago.
    pub(super) fn take(&self) -> HashSet<AgentId> {
        let mut agents = self.agents.lock();
        let now = Instant::now();
        if agents.wanted.is_empty() || agents.ready.is_some_and(|ready| now < ready) {
            return HashSet::new();
        }
        agents.ready = Some(now + APART);
        std::mem::take(&mut agents.wanted)
    }

    /// Waits until some can be taken. Cancel-safe.
    pub(super) async fn some(&self) {
        while self.agents.lock().wanted.is_empty() {
            self.added.notified().await;
        }
        let ready = self.agents.lock().ready;
        if let Some(ready) = ready {
            sleep_until(ready).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> HashSet<AgentId> {
        ids.iter().copied().map(AgentId).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_given_out_at_once_and_a_flood_after_it_together() {
        let wanted = Wanted::default();
        let began = Instant::now();
        wanted.add([AgentId(1)]);
        wanted.some().await;
        assert_eq!(wanted.take(), ids(&[1]));
        assert_eq!(began.elapsed(), Duration::ZERO);
        for id in [1, 2, 1, 2, 1] {
            wanted.add([AgentId(id)]);
            assert_eq!(wanted.take(), ids(&[]));
        }
        wanted.some().await;
        assert_eq!(began.elapsed(), APART);
        assert_eq!(wanted.take(), ids(&[1, 2]));
        assert_eq!(wanted.take(), ids(&[]));
    }
}
