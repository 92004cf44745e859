//! Makes the calls of one kind of question: those that callers wait for, and those about tokens in use whose time it is. Run by
//! the relay beside its shards, so that no caller's going away ends a call that others wait for.
//! Invariant: calls about known tokens have places of their own, which strangers cannot take, and so have those of strangers who are
//! not doubted.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::vouch::{Ask, Asks, Kind, Vouch};

/// Calls at once of each urgency; a call that waits for its turn is one.
const MOST_CALLS: usize = 64;
/// How often it is looked whose time it is.
const TICK: Duration = Duration::from_secs(1);

/// What callers wait for comes from here.
type Queue<K> = mpsc::Receiver<Ask<<K as Kind>::Proof>>;

/// Asks GitLab for as long as it runs. Dropping it stops that: known tokens hold for a while, new ones are refused.
#[derive(Debug)]
#[must_use = "GitLab is asked only while `run` runs"]
pub(super) struct Driver<K: Kind> {
    vouch: Arc<Vouch<K>>,
    asks: Asks<Queue<K>>,
}

impl<K: Kind> Driver<K> {
    pub(super) fn new(vouch: Arc<Vouch<K>>, asks: Asks<Queue<K>>) -> Self {
        Self { vouch, asks }
    }

    /// Runs until dropped.
    pub(super) async fn run(self) {
        let (vouch, asks) = (&self.vouch, self.asks);
        tokio::join!(
            ask_about_known(vouch, asks.known),
            ask_about_strangers(vouch, asks.new, |ask| vouch.unless_doubted(ask)),
            ask_about_strangers(vouch, asks.doubted, Some),
        );
    }
}

async fn ask_about_known<K: Kind>(vouch: &Vouch<K>, mut asks: Queue<K>) {
    let mut calls = FuturesUnordered::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Never None: the senders are in `vouch`.
        tokio::select! {
            biased;
            Some(()) = calls.next(), if !calls.is_empty() => {}
            _ = ticks.tick() => {
                let room = MOST_CALLS.saturating_sub(calls.len());
                calls.extend(vouch.tick(room).into_iter().map(|ask| vouch.call(ask)));
            }
            Some(ask) = asks.recv(), if calls.len() < MOST_CALLS => calls.push(vouch.call(ask)),
        }
    }
}

async fn ask_about_strangers<K: Kind>(
    vouch: &Vouch<K>,
    mut asks: Queue<K>,
    sort: impl Fn(Ask<K::Proof>) -> Option<Ask<K::Proof>>,
) {
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = calls.next(), if !calls.is_empty() => {}
            Some(ask) = asks.recv(), if calls.len() < MOST_CALLS => {
                calls.extend(sort(ask).map(|ask| vouch.call(ask)));
            }
        }
    }
}
