//! Decides when a request of a job that has many at once goes on, so that other jobs' requests are not behind all of them.
//!
//! `handle.rs` takes a [`Turn`] once a request is permitted, and holds it until the answer's head is there. Shared by all shards.
//! Invariant: who asks alone never waits; nobody waits for longer than [`MOST_WAIT`]; and what waits for the API server, and not for
//! us, holds no turn.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// Whose requests there are, over all jobs.
#[derive(Debug, Default)]
pub(crate) struct Bustle(Mutex<Option<Last>>);

/// Who asked last, and when somebody else did.
#[derive(Clone, Copy, Debug)]
struct Last {
    owner: u64,
    at: Instant,
    other_at: Option<Instant>,
}

impl Bustle {
    /// A request of this owner's goes on. Whether somebody else's did lately.
    pub(crate) fn is_shared_by(&self, owner: u64, now: Instant) -> bool {
        let mut last = self.0.lock();
        let other_at = last.and_then(|last| {
            let is_own = last.owner == owner;
            if is_own { last.other_at } else { Some(last.at) }
        });
        *last = Some(Last {
            owner,
            at: now,
            other_at,
        });
        other_at.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
    }
}

/// The turns of one job.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: u32,
    /// In the order in which they came. Bounded by what a job may begin in [`MOST_WAIT`]: who has left is passed over when its turn comes.
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

impl Turns {
    /// A turn, if fewer than so many are taken and nobody waits; otherwise a place behind those who do.
    pub(crate) fn take(self: &Arc<Self>, most: u32) -> Result<Turn, Waiting> {
        let mut state = self.0.lock();
        if state.taken < most && state.waiting.is_empty() {
            state.taken += 1;
            return Ok(Turn(Arc::clone(self)));
        }
        let (give, waiting) = oneshot::channel();
        state.waiting.push_back(give);
        Err(Waiting(waiting))
    }

    /// Who is next, with the turn of one that has ended; nobody, and then the turn is free.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut state = self.0.lock();
        while let Some(next) = state.waiting.pop_front() {
            if !next.is_closed() {
                return Some(next);
            }
        }
        state.taken -= 1;
        None
    }
}

/// A request of a job that goes on. Dropping it lets the next one go on.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(next) = self.0.next() {
            // One that has left since then drops it, which gives it on.
            let _ = next.send(Self(Arc::clone(&self.0)));
        }
    }
}

/// A request that waits for its turn. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Waiting(oneshot::Receiver<Turn>);

impl Waiting {
    /// The turn; `None` when it took so long that it goes on without. Cancel-safe.
    pub(crate) async fn turn(self) -> Option<Turn> {
        timeout(MOST_WAIT, self.0).await.ok()?.ok()
    }
}

/// Waits for the answer, and gives the turn back with it, or before, when it takes its time: then it is the API server's, and who keeps
/// others waiting is not the job.
pub(crate) async fn held<T>(
    turn: Option<Turn>,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> T {
    let Some(turn) = turn else {
        return answer.await;
    };
    // Boxed: most requests have no turn to hold.
    let in_time = Box::pin(timeout(PATIENCE, answer.as_mut())).await;
    drop(turn);
    match in_time {
        Ok(answer) => answer,
        Err(_) => answer.await,
    }
}

/// Another job that asked so long ago may ask again at any time.
const LATELY: Duration = Duration::from_secs(10);

/// Above what an answer takes that waits for nobody but us and the way to the agent.
const PATIENCE: Duration = Duration::from_millis(50);

/// Then a request goes on, whoever holds the turns.
const MOST_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use futures_util::FutureExt as _;

    use super::*;

    fn turns() -> Arc<Turns> {
        Arc::default()
    }

    #[test]
    fn others_are_those_that_asked_in_the_last_ten_seconds() {
        let (bustle, now) = (Bustle::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(!bustle.is_shared_by(1, at(0)));
        assert!(!bustle.is_shared_by(1, at(1)));
        assert!(bustle.is_shared_by(2, at(2)));
        assert!(bustle.is_shared_by(2, at(10)));
        assert!(!bustle.is_shared_by(2, at(11)));
        assert!(bustle.is_shared_by(1, at(12)));
        assert!(bustle.is_shared_by(3, at(13)));
        assert!(bustle.is_shared_by(1, at(22)));
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_taken_in_the_order_of_asking() {
        let turns = turns();
        let mut held = [turns.take(2).unwrap(), turns.take(2).unwrap()].map(Some);
        let mut waiting: Vec<_> = (0..3).map(|_| turns.take(2).unwrap_err()).collect();
        // The first of them has left.
        waiting.remove(0);
        let mut waiting: Vec<_> = waiting
            .into_iter()
            .map(|one| Box::pin(one.turn()))
            .collect();
        assert!(waiting.iter_mut().all(|one| one.now_or_never().is_none()));
        held[0] = None;
        let first = waiting[0].as_mut().now_or_never().unwrap();
        assert!(first.is_some());
        assert!(waiting[1].as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting[1].as_mut().now_or_never().unwrap().is_some());
        drop(held);
        assert_eq!(turns.0.lock().taken, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn turn_that_was_given_to_one_that_left_is_given_on() {
        let turns = turns();
        let held = turns.take(1).unwrap();
        let (left, next) = (turns.take(1).unwrap_err(), turns.take(1).unwrap_err());
        drop(held);
        drop(left);
        assert!(next.turn().now_or_never().unwrap().is_some());
        assert!(turns.take(1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_more_than_a_second() {
        let turns = turns();
        let _held = turns.take(1).unwrap();
        let (waiting, began) = (turns.take(1).unwrap_err(), Instant::now());
        assert!(waiting.turn().await.is_none());
        assert_eq!(began.elapsed().as_millis(), MOST_WAIT.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_api_server_gives_its_turn_to_the_next() {
        let (turns, began) = (turns(), Instant::now());
        let first = turns.take(1).ok();
        let next = turns.take(1).unwrap_err();
        let slow = pin!(pending::<()>());
        tokio::select! {
            () = held(first, slow) => panic!("it has no answer"),
            turn = next.turn() => assert!(turn.is_some()),
        }
        assert!(began.elapsed() < MOST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn turn_ends_with_the_answer() {
        let turns = turns();
        let turn = turns.take(1).ok();
        assert_eq!(held(turn, pin!(async { 7 })).await, 7);
        assert!(turns.take(1).is_ok());
    }
}
