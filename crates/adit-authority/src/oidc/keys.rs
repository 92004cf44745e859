//! An issuer's public keys: which are held, and until when. Filled by [`super::KeyRefresh`], asked by verification.
//! Invariant: a key is usable until a moment that only a successful fetch moves: with the key in it, to `max_stale` from
//! then; without it, to at most `keep_removed_keys` from then. So a removed key ends, and so do all when the issuer is
//! gone for long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::{OidcIssuer, TokenError, public_key::PublicKey};

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyRing {
    keys: ArcSwap<Vec<Arc<PublicKey>>>,
    /// The last attempt to fetch; changes when one ends.
    pub(super) attempt: watch::Sender<Attempt>,
    // Says that a token came with a key we do not hold. Holds one word, since one fetch serves all who wait; a word that
    // finds no room changes nothing.
    wanted: mpsc::Sender<()>,
    pub(super) counts: Arc<Counts>,
}

/// What happened to the keys of all issuers, those that are trusted no longer among them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) fetches: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) withheld: AtomicU64,
}

/// How the last fetch ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempt {
    /// When it began and when it ended; none before the first.
    pub(super) span: Option<(Instant, Instant)>,
    pub(super) failed: bool,
    /// Whether any ever worked.
    pub(super) filled: bool,
}

impl KeyRing {
    /// An empty ring, and where it says that a key is wanted.
    pub(super) fn new(counts: Arc<Counts>) -> (Self, mpsc::Receiver<()>) {
        Self::holding(Arc::default(), Attempt::default(), counts)
    }

    /// The same for an issuer that is asked in another way from now on: it begins with what this one holds.
    pub(super) fn successor(&self) -> (Self, mpsc::Receiver<()>) {
        let (keys, attempt) = (self.keys.load_full(), *self.attempt.borrow());
        Self::holding(keys, attempt, Arc::clone(&self.counts))
    }

    fn holding(
        keys: Arc<Vec<Arc<PublicKey>>>,
        attempt: Attempt,
        counts: Arc<Counts>,
    ) -> (Self, mpsc::Receiver<()>) {
        let (wanted, is_wanted) = mpsc::channel(1);
        let ring = Self {
            keys: ArcSwap::new(keys),
            attempt: watch::Sender::new(attempt),
            wanted,
            counts,
        };
        (ring, is_wanted)
    }

    /// Whether a key of this id is held and usable.
    pub(super) fn holds(&self, kid: &str) -> bool {
        let now = Instant::now();
        self.keys
            .load()
            .iter()
            .any(|key| key.id() == kid && key.is_usable(now))
    }

    pub(super) fn has_usable_key(&self) -> bool {
        let now = Instant::now();
        self.keys.load().iter().any(|key| key.is_usable(now))
    }

    /// How much longer tokens of this issuer can be checked if no fetch works any more.
    pub(super) fn usable_for(&self) -> Duration {
        let now = Instant::now();
        let keys = self.keys.load();
        let longest = keys.iter().map(|key| key.usable_for(now)).max();
        longest.unwrap_or_default()
    }

    /// The key that made this signature.
    pub(super) fn verify(
        &self,
        kid: &str,
        algorithm: Algorithm,
        message: &str,
        signature: &str,
    ) -> Result<Arc<PublicKey>, TokenError> {
        let now = Instant::now();
        let keys = self.keys.load();
        let mut error = TokenError::UnknownKey;
        // Ids may repeat, for a moment after a key was replaced under its id: each has its chance.
        for key in keys
            .iter()
            .filter(|key| key.id() == kid && key.is_usable(now))
        {
            if key.verifies(algorithm, message, signature) {
                return Ok(Arc::clone(key));
            }
            error = if key.allows(algorithm) {
                TokenError::BadSignature
            } else {
                TokenError::AlgorithmMismatch
            };
        }
        Err(error)
    }

    /// Sees to it that a key is held, if its issuer publishes it: asks for a fetch on behalf of a token that names it, and
    /// waits for that. Does neither when the last one ended less than `min_refresh_interval` ago: strangers must not make us
    /// a burden on the issuer. The token was issued `age` ago or later.
    ///
    /// # Errors
    /// The key is not held, and nobody asked the issuer since the token was made: the same token may pass in a while.
    pub(super) async fn seek(
        &self,
        kid: &str,
        age: Duration,
        issuer: &OidcIssuer,
    ) -> Result<(), TokenError> {
        if self.holds(kid) {
            return Ok(());
        }
        let arrived = Instant::now();
        let mut attempt = self.attempt.subscribe();
        let last = *attempt.borrow_and_update();
        if last.rest(issuer.min_refresh_interval).is_zero() {
            let _ = self.wanted.try_send(());
            // The fetch has a deadline of its own; this one is for a refresh task that is gone.
            let ended = timeout(issuer.fetch_timeout + GRACE, attempt.changed()).await;
            if ended.is_err() {
                return Err(TokenError::KeysUnavailable);
            }
        } else {
            self.counts.withheld.fetch_add(1, Ordering::Relaxed);
        }
        let last = *attempt.borrow();
        if self.holds(kid) || last.is_younger(age + arrived.elapsed()) {
            return Ok(());
        }
        Err(last.excuse(issuer.min_refresh_interval))
    }

    /// Resolves once keys were fetched. Cancel-safe.
    pub(super) async fn filled(&self) {
        let _ = self
            .attempt
            .subscribe()
            .wait_for(|attempt| attempt.filled)
            .await;
    }

    /// Takes the keys of a fetch that worked.
    pub(super) fn publish(
        &self,
        published: Vec<PublicKey>,
        max_stale: Duration,
        keep_removed: Duration,
    ) {
        let now = Instant::now();
        let held = self.keys.load_full();
        let mut next: Vec<Arc<PublicKey>> = Vec::with_capacity(published.len());
        for key in published {
            let known = held.iter().find(|held| held.is_same(&key));
            let key = known.map_or_else(|| Arc::new(key), Arc::clone);
            key.keep_until(now + max_stale);
            next.push(key);
        }
        for removed in held.iter() {
            if next.iter().any(|key| Arc::ptr_eq(key, removed)) {
                continue;
            }
            removed.end_by(now + keep_removed);
            if removed.is_usable(now) {
                next.push(Arc::clone(removed));
            }
        }
        self.keys.store(Arc::new(next));
    }
}

impl Attempt {
    /// How long no other may begin.
    fn rest(self, min_interval: Duration) -> Duration {
        self.span.map_or(Duration::ZERO, |(_, ended)| {
            min_interval.saturating_sub(ended.elapsed())
        })
    }

    /// Whether it worked and began after that: what was published then is held now, and another key is unknown indeed.
    fn is_younger(self, age: Duration) -> bool {
        !self.failed && self.span.is_some_and(|(began, _)| began.elapsed() <= age)
    }

    /// Why a key that may be there is not held.
    fn excuse(self, min_interval: Duration) -> TokenError {
        if self.failed {
            return TokenError::KeysUnavailable;
        }
        let seconds = self.rest(min_interval).as_millis().div_ceil(1000).max(1);
        TokenError::KeyPending(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// What a fetch may take beyond its deadline, on a busy machine.
const GRACE: Duration = Duration::from_secs(1);
