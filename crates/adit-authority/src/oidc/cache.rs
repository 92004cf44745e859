//! Verified tokens, so that a job's thousand requests cost one signature check. Asked first for every request.
//! Invariant: an entry is used only before its expiry, while its key is held, and while its issuer is trusted on the terms on which the
//! token was verified; the token itself is not in it, see [`crate::tag`].

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::BuildHasherDefault,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{OidcIssuer, public_key::PublicKey};
use crate::{
    Caller, Token,
    tag::{TagHasher, Tags, TokenTag},
};

/// Verified tokens remembered by default: as many jobs as may run at once, at about 3.5 KiB each.
pub const DEFAULT_MAX_CACHED_TOKENS: usize = 10_000;

#[derive(Debug)]
pub(super) struct Cache {
    tags: Tags,
    shards: [Mutex<Shard>; SHARDS],
    max_per_shard: AtomicUsize,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) evictions: AtomicU64,
}

type Shard = HashMap<TokenTag, Verified, BuildHasherDefault<TagHasher>>;

/// A token that passed every check.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    pub(super) key: Arc<PublicKey>,
    /// On whose terms.
    pub(super) by: Arc<OidcIssuer>,
}

impl Verified {
    fn holds(&self, now: SystemTime) -> bool {
        let is_over = self.caller.expires_at().is_some_and(|end| end <= now);
        !is_over && self.key.is_usable(Instant::now())
    }
}

impl Cache {
    pub(super) fn new(max_tokens: usize) -> Self {
        Self {
            tags: Tags::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            max_per_shard: AtomicUsize::new(max_tokens.div_ceil(SHARDS)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// Holds so many from now on; if those are fewer, as others go.
    pub(super) fn resize(&self, max_tokens: usize) {
        let max_per_shard = max_tokens.div_ceil(SHARDS);
        self.max_per_shard.store(max_per_shard, Ordering::Relaxed);
    }

    pub(super) fn tag(&self, token: Token<'_>) -> TokenTag {
        self.tags.of(token)
    }

    /// The caller of a token verified before, if that still holds.
    pub(super) fn caller(
        &self,
        tag: &TokenTag,
        now: SystemTime,
        trusts: impl Fn(&Arc<OidcIssuer>) -> bool,
    ) -> Option<Caller> {
        let caller = self
            .shard(tag)
            .lock()
            .get(tag)
            .filter(|entry| entry.holds(now) && trusts(&entry.by))
            .map(|entry| entry.caller.clone());
        let counter = if caller.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        caller
    }

    /// Remembers a caller; gives back the one that another request may have put there meanwhile, so that all share it.
    pub(super) fn insert(&self, tag: TokenTag, verified: Verified, now: SystemTime) -> Caller {
        let most = self.max_per_shard.load(Ordering::Relaxed);
        let mut shard = self.shard(&tag).lock();
        if shard.len() >= most && !shard.contains_key(&tag) {
            self.make_room(&mut shard, most, now);
        }
        let is_same = |there: &Verified| there.holds(now) && Arc::ptr_eq(&there.by, &verified.by);
        match shard.entry(tag) {
            Entry::Occupied(entry) if is_same(entry.get()) => entry.get().caller.clone(),
            Entry::Occupied(mut entry) => {
                let caller = verified.caller.clone();
                entry.insert(verified);
                caller
            }
            Entry::Vacant(entry) => entry.insert(verified).caller.clone(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Drops what has expired, and if that is not enough, any: tags are random, so the first is as good as a random one.
    fn make_room(&self, shard: &mut Shard, most: usize, now: SystemTime) {
        shard.retain(|_, entry| entry.holds(now));
        while shard.len() >= most
            && let Some(victim) = shard.keys().next().copied()
        {
            shard.remove(&victim);
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, tag: &TokenTag) -> &Mutex<Shard> {
        self.shards
            .get(tag.place(SHARDS))
            .expect("a remainder of the number of shards")
    }
}

/// More than there are cores, so that two requests rarely meet.
const SHARDS: usize = 16;

#[cfg(test)]
mod tests;
