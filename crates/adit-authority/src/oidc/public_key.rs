//! One public key: what it may verify, and until when it is good. Kept in a [`super::keys::KeyRing`], and by each cached
//! token that it signed.
//! Invariant: it verifies only by algorithms that its own type, curve and `alg` allow, whatever a token asks for.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use tokio::time::Instant;

/// A key, ready to verify with.
#[derive(Debug)]
pub(super) struct PublicKey {
    jwk: Jwk,
    kid: Box<str>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
    read_at: Instant,
    // Milliseconds since `read_at`, so that one atomic read tells a cached token whether its key still holds.
    usable_for: AtomicU64,
}

impl PublicKey {
    /// A key that can verify signatures; none for those that cannot, such as a shared secret, an encryption key, or a
    /// curve that is not known here. Not usable until [`PublicKey::keep_until`].
    pub(super) fn from_jwk(jwk: Jwk) -> Option<Self> {
        let algorithms = algorithms(&jwk)?;
        let kid = jwk.common.key_id.as_deref()?.into();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self {
            jwk,
            kid,
            algorithms,
            key,
            read_at: Instant::now(),
            usable_for: AtomicU64::new(0),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.kid
    }

    /// Whether both were published as the same key, letter by letter.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.jwk == other.jwk
    }

    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether this key made the signature (base64url) of that message.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        let message = message.as_bytes();
        self.allows(algorithm)
            && matches!(
                jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm),
                Ok(true)
            )
    }

    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.milliseconds(now) < self.usable_for.load(Ordering::Relaxed)
    }

    /// How much longer it is usable.
    pub(super) fn usable_for(&self, now: Instant) -> Duration {
        let end = self.usable_for.load(Ordering::Relaxed);
        Duration::from_millis(end.saturating_sub(self.milliseconds(now)))
    }

    /// Usable until then, whatever was said before.
    pub(super) fn keep_until(&self, end: Instant) {
        self.usable_for
            .store(self.milliseconds(end), Ordering::Relaxed);
    }

    /// Usable until then, or for less.
    pub(super) fn end_by(&self, end: Instant) {
        self.usable_for
            .fetch_min(self.milliseconds(end), Ordering::Relaxed);
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        let since: Duration = at.saturating_duration_since(self.read_at);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
