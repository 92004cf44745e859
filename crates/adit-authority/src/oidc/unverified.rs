//! A token taken apart, before anyone vouched for it. It gives away what is needed to look for its key; the rest only for
//! a signature that fits.
//! Invariant: there is no way to a [`Claims`] but through [`Unverified::verify`]. A [`Claimed`] is for people to read, and no
//! way to anything.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, de::DeserializeOwned};

use super::{TokenError, claims::Claims, keys::KeyRing, public_key::PublicKey};

/// A JSON web token in its compact form. RFC 7515 section 3.1.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    algorithm: Algorithm,
    kid: Box<str>,
    claims: Claims,
    message: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decode(header)?;
        let header: Header<'_> =
            serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::CriticalHeader);
        }
        let algorithm = asymmetric(&header.alg)?;
        let kid = header.kid.ok_or(TokenError::NoKeyId)?.into();
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)?;
        Ok(Self {
            algorithm,
            kid,
            claims: Claims::unverified(claims),
            message,
            signature,
        })
    }

    /// Who says that it issued the token.
    pub(super) fn issuer(&self) -> Result<&str, TokenError> {
        self.claims.text("iss")
    }

    /// The key that the token says signed it.
    pub(super) fn key_id(&self) -> &str {
        &self.kid
    }

    /// How long ago it says that it was issued; nothing if it does not say.
    pub(super) fn age(&self, now: SystemTime) -> Result<Duration, TokenError> {
        let issued = self.claims.time("iat")?;
        Ok(issued
            .and_then(|issued| now.duration_since(issued).ok())
            .unwrap_or_default())
    }

    /// What the token says, and the key that proves it.
    pub(super) fn verify(self, ring: &KeyRing) -> Result<(Claims, Arc<PublicKey>), TokenError> {
        let key = ring.verify(&self.kid, self.algorithm, self.message, self.signature)?;
        Ok((self.claims, key))
    }
}

/// Who a token says has issued it, if it is a JSON web token at all. To be believed by nobody; it tells whom to ask.
pub(super) fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    Some(claims::<Issuer>(token)?.iss)
}

/// What a token says of itself. To be believed by nobody: it is for telling people why nobody does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Who says that it issued the token.
    pub issuer: Option<String>,
    /// For whom it is.
    pub audiences: Vec<String>,
    /// From when it holds.
    pub not_before: Option<SystemTime>,
    /// Until when it holds.
    pub expires_at: Option<SystemTime>,
}

impl Claimed {
    /// `None`: it is no JSON web token.
    #[must_use]
    pub fn by(token: &str) -> Option<Self> {
        let claims = Claims::unverified(claims(token)?);
        let time = |name| claims.time(name).ok().flatten();
        Some(Self {
            issuer: claims.text("iss").ok().map(str::to_owned),
            audiences: claims.audiences(),
            not_before: time("nbf").or_else(|| time("iat")),
            expires_at: time("exp"),
        })
    }
}

fn claims<T: DeserializeOwned>(token: &str) -> Option<T> {
    let (message, _) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    serde_json::from_slice::<serde_json::Map<_, _>>(&decode(header).ok()?).ok()?;
    serde_json::from_slice(&decode(claims).ok()?).ok()
}

/// The parts of a header that matter. `jku`, `jwk`, `x5u` and `x5c` are not read: keys come from the issuer.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// The algorithm, if only the issuer can sign with it. Whether it fits the key is asked later, too.
fn asymmetric(name: &str) -> Result<Algorithm, TokenError> {
    let algorithm = name.parse().map_err(|_| TokenError::AlgorithmRefused)?;
    if ACCEPTED.contains(&algorithm) {
        Ok(algorithm)
    } else {
        Err(TokenError::AlgorithmRefused)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

const ACCEPTED: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
