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
    sync::{Arc, atomic::Ordering},
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
use cache::Cache;
use keys::KeyRing;
use unverified::Unverified;

/// The authority that trusts issuers' signatures. Shared by all who ask; keys are kept fresh by the [`KeyRefresh`]es
/// that come with it.
#[derive(Debug)]
pub struct Oidc {
    issuers: Vec<(OidcIssuer, Arc<KeyRing>)>,
    cache: Cache,
}

impl Oidc {
    /// The authority, and for each issuer the task that fetches its keys: run each until the process stops.
    #[must_use]
    pub fn new(config: OidcConfig, fetch: &Arc<dyn FetchKeys>) -> (Self, Vec<KeyRefresh>) {
        let mut issuers = Vec::with_capacity(config.issuers.len());
        let mut refreshes = Vec::with_capacity(config.issuers.len());
        for issuer in config.issuers {
            let (ring, is_wanted) = KeyRing::new();
            let ring = Arc::new(ring);
            refreshes.push(KeyRefresh {
                issuer: issuer.clone(),
                ring: Arc::clone(&ring),
                is_wanted,
                fetch: Arc::clone(fetch),
            });
            issuers.push((issuer, ring));
        }
        let cache = Cache::new(config.max_cached_tokens);
        (Self { issuers, cache }, refreshes)
    }

    /// The caller that a token stands for. Cancel-safe; waits only when the token's key is not held and may be asked for,
    /// and then at most for one fetch.
    ///
    /// # Errors
    ///
    /// The token is not valid at `now`, or the issuer's keys cannot be had.
    pub async fn verify(&self, token: Token<'_>, now: SystemTime) -> Result<Caller, TokenError> {
        let tag = self.cache.tag(token);
        match self.cache.caller(&tag, now) {
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
        let count = |of: fn(&KeyRing) -> u64| self.issuers.iter().map(|(_, ring)| of(ring)).sum();
        OidcStats {
            keys_usable_for: self.issuers.iter().map(|(_, ring)| ring.usable_for()).min(),
            cached_tokens: self.cache.len(),
            cache_hits: self.cache.hits.load(Ordering::Relaxed),
            cache_misses: self.cache.misses.load(Ordering::Relaxed),
            cache_evictions: self.cache.evictions.load(Ordering::Relaxed),
            key_fetches: count(|ring| ring.fetches.load(Ordering::Relaxed)),
            key_fetch_failures: count(|ring| ring.failures.load(Ordering::Relaxed)),
            key_fetches_withheld: count(|ring| ring.withheld.load(Ordering::Relaxed)),
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
        let caller = Caller::new(job, expires_at, tag.owner());
        Ok(self.cache.insert(tag, caller, key, now))
    }

    fn issuer(&self, url: &str) -> Result<&(OidcIssuer, Arc<KeyRing>), TokenError> {
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
