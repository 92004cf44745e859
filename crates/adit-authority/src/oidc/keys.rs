//! An issuer's public keys: which are held, and until when each is good. Filled by [`super::KeyRefresh`], asked by
//! verification, for cached tokens too.
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
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::{OidcIssuer, TokenError};

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyRing {
    keys: ArcSwap<Vec<Arc<PublicKey>>>,
    // What `usable_until` of the keys counts from.
    epoch: Instant,
    /// The last attempt to fetch; changes when one ends.
    pub(super) attempt: watch::Sender<Attempt>,
    // Says that a token came with a key we do not hold. Holds one word, since one fetch serves all who wait; a word that
    // finds no room changes nothing.
    wanted: mpsc::Sender<()>,
    pub(super) fetches: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) withheld: AtomicU64,
}

/// How the last fetch ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempt {
    /// None before the first.
    pub(super) ended: Option<Instant>,
    pub(super) failed: bool,
    /// Whether any ever worked.
    pub(super) filled: bool,
}

/// A key, ready to verify with.
#[derive(Debug)]
pub(super) struct PublicKey {
    jwk: Jwk,
    kid: Box<str>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
    // Milliseconds since the ring's epoch.
    usable_until: AtomicU64,
}

impl KeyRing {
    /// An empty ring, and where it says that a key is wanted.
    pub(super) fn new() -> (Self, mpsc::Receiver<()>) {
        let (wanted, is_wanted) = mpsc::channel(1);
        let ring = Self {
            keys: ArcSwap::default(),
            epoch: Instant::now(),
            attempt: watch::Sender::new(Attempt::default()),
            wanted,
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            withheld: AtomicU64::new(0),
        };
        (ring, is_wanted)
    }

    /// Whether a key of this id is held and usable.
    pub(super) fn holds(&self, kid: &str) -> bool {
        let now = Instant::now();
        self.keys
            .load()
            .iter()
            .any(|key| *key.kid == *kid && self.is_usable(key, now))
    }

    pub(super) fn has_usable_key(&self) -> bool {
        let now = Instant::now();
        self.keys.load().iter().any(|key| self.is_usable(key, now))
    }

    pub(super) fn is_usable(&self, key: &PublicKey, now: Instant) -> bool {
        self.milliseconds(now) < key.usable_until.load(Ordering::Relaxed)
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
            .filter(|key| *key.kid == *kid && self.is_usable(key, now))
        {
            if !key.algorithms.contains(&algorithm) {
                error = TokenError::AlgorithmMismatch;
                continue;
            }
            match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, algorithm) {
                Ok(true) => return Ok(Arc::clone(key)),
                Ok(false) | Err(_) => error = TokenError::BadSignature,
            }
        }
        Err(error)
    }

    /// Asks for a fetch on behalf of a token whose key is not held, and waits for it. Does neither when the last one
    /// ended less than `min_refresh_interval` ago: strangers must not make us a burden on the issuer.
    pub(super) async fn fetch_for_unknown_key(
        &self,
        issuer: &OidcIssuer,
    ) -> Result<(), TokenError> {
        let mut attempt = self.attempt.subscribe();
        let last = *attempt.borrow_and_update();
        if last
            .ended
            .is_some_and(|ended| ended.elapsed() < issuer.min_refresh_interval)
        {
            self.withheld.fetch_add(1, Ordering::Relaxed);
            return last.outcome();
        }
        let _ = self.wanted.try_send(());
        // The fetch has a deadline of its own; this one is for a refresh task that is gone.
        let ended = timeout(issuer.fetch_timeout + GRACE, attempt.changed()).await;
        let last = *attempt.borrow();
        if ended.is_ok() {
            last.outcome()
        } else {
            Err(TokenError::KeysUnavailable)
        }
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
            let known = held.iter().find(|held| held.jwk == key.jwk);
            let key = known.map_or_else(|| Arc::new(key), Arc::clone);
            key.usable_until
                .store(self.milliseconds(now + max_stale), Ordering::Relaxed);
            next.push(key);
        }
        for removed in held.iter() {
            if next.iter().any(|key| Arc::ptr_eq(key, removed)) {
                continue;
            }
            removed
                .usable_until
                .fetch_min(self.milliseconds(now + keep_removed), Ordering::Relaxed);
            if self.is_usable(removed, now) {
                next.push(Arc::clone(removed));
            }
        }
        self.keys.store(Arc::new(next));
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl Attempt {
    fn outcome(self) -> Result<(), TokenError> {
        if self.failed {
            Err(TokenError::KeysUnavailable)
        } else {
            Ok(())
        }
    }
}

impl PublicKey {
    /// A key that can verify signatures; none for those that cannot, such as a shared secret, an encryption key, or a
    /// curve that is not known here.
    pub(super) fn from_jwk(jwk: Jwk) -> Option<Self> {
        let algorithms = algorithms(&jwk)?;
        let kid = jwk.common.key_id.as_deref()?.into();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self {
            jwk,
            kid,
            algorithms,
            key,
            usable_until: AtomicU64::new(0),
        })
    }
}

/// What a key may be used for, by its type, curve, `alg`, `use` and `key_ops`. RFC 7517 section 4, RFC 8725 section 3.1.
fn algorithms(jwk: &Jwk) -> Option<&'static [Algorithm]> {
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let verifies = jwk
        .common
        .key_operations
        .as_ref()
        .is_none_or(|ops| ops.contains(&KeyOperations::Verify));
    if !(signs && verifies) {
        return None;
    }
    let of_type: &'static [Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            &[Algorithm::ES256]
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => {
            &[Algorithm::ES384]
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        // Never a shared secret: whoever can read it can sign with it.
        AlgorithmParameters::OctetKey(_)
        | AlgorithmParameters::EllipticCurve(_)
        | AlgorithmParameters::OctetKeyPair(_)
        | AlgorithmParameters::Other(_)
        | _ => return None,
    };
    let Some(named) = jwk.common.key_algorithm else {
        return Some(of_type);
    };
    let one = of_type
        .iter()
        .position(|algorithm| KeyAlgorithm::from(*algorithm) == named)?;
    of_type.get(one..=one)
}

/// What a fetch may take beyond its deadline, on a busy machine.
const GRACE: Duration = Duration::from_secs(1);

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[cfg(test)]
mod tests;
