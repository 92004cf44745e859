//! ID tokens: signed by an issuer, checked offline with the issuer's keys. Called once for each request; a token seen
//! before costs one keyed hash and a look-up.
//!
//! ```text
//! token ── known? ──────────────────────────────────────────────▶ Caller
//!            │ no                                                   ▲
//!            ▼                                                      │
//!   read, choose issuer ─▶ find key, perhaps fetch ─▶ signature ─▶ claims
//! ```
//!
//! Invariants:
//!  - Nothing that a token says is used before its signature was checked, but for its issuer and key id, which only
//!    choose among issuers and keys of our own, and its age, which only chooses between two refusals.
//!  - A token is accepted from `nbf` to `exp`, give or take the leeway, and only while the key that signed it is held.
//!  - Verified tokens are known by their HMAC under a key that never leaves this process.

mod cache;
mod claims;
mod config;
mod error;
mod keys;
mod public_key;
mod refresh;
mod unverified;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

pub use cache::DEFAULT_MAX_CACHED_TOKENS;
pub use config::{KeySource, OidcConfig, OidcIssuer, RawIssuer, RawOidc};
pub use error::TokenError;
pub use refresh::{
    FetchError, FetchKeys, FetchedKeys, KeyRefresh, MAX_DOCUMENT_BYTES, usable_keys,
};
pub use unverified::Claimed;

use crate::{Caller, Token, tag::TokenTag};
use cache::{Cache, Verified};
use keys::{Counts, KeyRing};
use unverified::Unverified;

/// The authority that trusts issuers' signatures. Shared by all who ask; keys are kept fresh by the [`KeyRefresh`]es
/// that come with it.
#[derive(Debug)]
pub struct Oidc {
    issuers: Vec<(Arc<OidcIssuer>, Arc<KeyRing>)>,
    cache: Arc<Cache>,
    fetch: Arc<dyn FetchKeys>,
    counts: Arc<Counts>,
}

impl Oidc {
    /// The authority, and for each issuer the task that fetches its keys: run each until the process stops.
    #[must_use]
    pub fn new(config: OidcConfig, fetch: &Arc<dyn FetchKeys>) -> (Self, Vec<KeyRefresh>) {
        let nobody = Self {
            issuers: Vec::new(),
            cache: Arc::new(Cache::new(config.max_cached_tokens)),
            fetch: Arc::clone(fetch),
            counts: Arc::default(),
        };
        nobody.successor(config)
    }

    /// The authority by another configuration. Issuers that stand there as before are trusted as before, with the keys and the verified
    /// tokens that are held. The tasks are those of the others; a task of an issuer that has one here, or is gone, is to stop.
    #[must_use]
    pub fn successor(&self, config: OidcConfig) -> (Self, Vec<KeyRefresh>) {
        let mut issuers = Vec::with_capacity(config.issuers.len());
        let mut refreshes = Vec::new();
        for issuer in config.issuers {
            let known = self
                .issuers
                .iter()
                .find(|(known, _)| known.url == issuer.url);
            let (ring, is_wanted) = match known {
                Some((known, ring)) if **known == issuer => {
                    issuers.push((Arc::clone(known), Arc::clone(ring)));
                    continue;
                }
                Some((known, ring)) if known.keys == issuer.keys => ring.successor(),
                Some(_) | None => KeyRing::new(Arc::clone(&self.counts)),
            };
            let (issuer, ring) = (Arc::new(issuer), Arc::new(ring));
            refreshes.push(KeyRefresh {
                issuer: Arc::clone(&issuer),
                ring: Arc::clone(&ring),
                is_wanted,
                fetch: Arc::clone(&self.fetch),
            });
            issuers.push((issuer, ring));
        }
        self.cache.resize(config.max_cached_tokens);
        let successor = Self {
            issuers,
            cache: Arc::clone(&self.cache),
            fetch: Arc::clone(&self.fetch),
            counts: Arc::clone(&self.counts),
        };
        (successor, refreshes)
    }

    /// Whether every token that `former` accepts of this issuer is accepted here, too, and for the same job: asked for what runs under
    /// tokens that nobody can check again.
    #[must_use]
    pub fn covers(&self, former: &Self, issuer: &str) -> bool {
        match (self.issuer(issuer), former.issuer(issuer)) {
            (Ok((own, _)), Ok((before, _))) => own.covers(before),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// The caller that a token stands for. Cancel-safe; waits only when the token's key is not held and may be asked for,
    /// and then at most for one fetch.
    ///
    /// # Errors
    ///
    /// The token is not valid at `now`, or the issuer's keys cannot be had.
    pub async fn verify(&self, token: Token<'_>, now: SystemTime) -> Result<Caller, TokenError> {
        let tag = self.cache.tag(token);
        let trusts = |by: &Arc<OidcIssuer>| {
            let mut issuers = self.issuers.iter();
            issuers.any(|(issuer, _)| Arc::ptr_eq(issuer, by))
        };
        match self.cache.caller(&tag, now, trusts) {
            Some(caller) => Ok(caller),
            None => self.verify_new(token, tag, now).await,
        }
    }

    /// Whether a token says that one of the issuers has issued it, so that it is meant for [`Oidc::verify`] and for nobody else. A
    /// job's `CI_JOB_TOKEN` never does: even as a JSON web token it has a prefix.
    #[must_use]
    pub fn is_meant(&self, token: Token<'_>) -> bool {
        !self.issuers.is_empty()
            && unverified::claimed_issuer(token.expose())
                .is_some_and(|url| self.issuer(&url).is_ok())
    }

    /// Resolves once the keys of all issuers have been fetched. Cancel-safe.
    pub async fn ready(&self) {
        for (_, ring) in &self.issuers {
            ring.filled().await;
        }
    }

    /// Whether the keys of all issuers have been fetched, and not so long ago that they have expired.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|(_, ring)| ring.has_usable_key())
    }

    /// The issuers whose keys could not be fetched the last time.
    #[must_use]
    pub fn unfetched(&self) -> Vec<Unfetched> {
        let failed = |(_, ring): &&(_, Arc<KeyRing>)| ring.attempt.borrow().failed;
        let unfetched = self.issuers.iter().filter(failed);
        unfetched
            .map(|(issuer, ring)| Unfetched {
                issuer: issuer.url.clone(),
                left: ring.usable_for(),
            })
            .collect()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> OidcStats {
        let count = |counted: &AtomicU64| counted.load(Ordering::Relaxed);
        OidcStats {
            keys_usable_for: self.issuers.iter().map(|(_, ring)| ring.usable_for()).min(),
            cached_tokens: self.cache.len(),
            cache_hits: self.cache.hits.load(Ordering::Relaxed),
            cache_misses: self.cache.misses.load(Ordering::Relaxed),
            cache_evictions: self.cache.evictions.load(Ordering::Relaxed),
            key_fetches: count(&self.counts.fetches),
            key_fetch_failures: count(&self.counts.failures),
            key_fetches_withheld: count(&self.counts.withheld),
        }
    }

    async fn verify_new(
        &self,
        token: Token<'_>,
        tag: TokenTag,
        now: SystemTime,
    ) -> Result<Caller, TokenError> {
        let unverified = Unverified::read(token.expose())?;
        let (issuer, ring) = self.issuer(unverified.issuer()?)?;
        let age = unverified.age(now)?.saturating_sub(issuer.leeway);
        ring.seek(unverified.key_id(), age, issuer).await?;
        let (claims, key) = unverified.verify(ring)?;
        let (job, expires_at) = claims.check(issuer, now)?;
        let verified = Verified {
            caller: Caller::new(job, expires_at, tag.owner()),
            key,
            by: Arc::clone(issuer),
        };
        Ok(self.cache.insert(tag, verified, now))
    }

    fn issuer(&self, url: &str) -> Result<&(Arc<OidcIssuer>, Arc<KeyRing>), TokenError> {
        self.issuers
            .iter()
            .find(|(issuer, _)| &*issuer.url == url)
            .ok_or(TokenError::UnknownIssuer)
    }
}

/// An issuer whose keys could not be fetched the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfetched {
    /// Its URL.
    pub issuer: Box<str>,
    /// How much longer its tokens can be checked by the keys that are held.
    pub left: Duration,
}

/// Counters since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OidcStats {
    /// How much longer the tokens of every issuer can be checked if no fetch works any more. None without issuers.
    pub keys_usable_for: Option<Duration>,
    /// Verified tokens held now.
    pub cached_tokens: usize,
    /// Tokens that were known.
    pub cache_hits: u64,
    /// Tokens that were not, valid or not.
    pub cache_misses: u64,
    /// Tokens dropped before their time because the cache was full.
    pub cache_evictions: u64,
    /// Times that keys were asked for.
    pub key_fetches: u64,
    /// Times that they could not be had; the old ones serve on.
    pub key_fetch_failures: u64,
    /// Tokens with an unknown key that caused no fetch, because there had just been one.
    pub key_fetches_withheld: u64,
}

#[cfg(test)]
mod tests;
