//! Makes the calls of one kind of question: those that callers wait for, and those about tokens in use whose time it is. Run by
//! the relay beside its shards, so that no caller's going away ends a call that others wait for.
//! Invariant: calls about known tokens have places of their own, which strangers cannot take.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::vouch::{Ask, Kind, Vouch};

/// Calls at once about known tokens, and as many about new ones; a call that waits for its turn is one.
const MOST_CALLS: usize = 64;
/// How often it is looked whose time it is.
const TICK: Duration = Duration::from_secs(1);

/// Asks GitLab for as long as it runs. Dropping it stops that: known tokens hold for a while, new ones are refused.
#[derive(Debug)]
#[must_use = "GitLab is asked only while `run` runs"]
pub(super) struct Driver<K: Kind> {
    vouch: Arc<Vouch<K>>,
    new: mpsc::Receiver<Ask<K::Proof>>,
    known: mpsc::Receiver<Ask<K::Proof>>,
}

impl<K: Kind> Driver<K> {
    pub(super) fn new(
        vouch: Arc<Vouch<K>>,
        new: mpsc::Receiver<Ask<K::Proof>>,
        known: mpsc::Receiver<Ask<K::Proof>>,
    ) -> Self {
        Self { vouch, new, known }
    }

    /// Runs until dropped.
    pub(super) async fn run(mut self) {
        let vouch = self.vouch;
        let mut about_new = FuturesUnordered::new();
        let mut about_known = FuturesUnordered::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Never None: the senders are in `vouch`.
            tokio::select! {
                biased;
                Some(()) = about_known.next(), if !about_known.is_empty() => {}
                Some(()) = about_new.next(), if !about_new.is_empty() => {}
                _ = ticks.tick() => {
                    let room = MOST_CALLS.saturating_sub(about_known.len());
                    about_known.extend(vouch.tick(room).into_iter().map(|ask| vouch.call(ask)));
                }
                Some(ask) = self.known.recv(), if about_known.len() < MOST_CALLS => {
                    about_known.push(vouch.call(ask));
                }
                Some(ask) = self.new.recv(), if about_new.len() < MOST_CALLS => {
                    about_new.push(vouch.call(ask));
                }
            }
        }
    }
}
