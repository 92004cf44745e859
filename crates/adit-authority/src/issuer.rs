//! An issuer of our own: a key, the document that publishes it, and ID tokens in GitLab's shape. `adit dev` and the demo
//! run one instead of a GitLab; tests sign with it what no GitLab would.
//! Invariant: a private key never leaves this value, and is gone with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_identity::{JobIdentity, RefKind};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk};
use serde_json::{Map, Value, json};

/// What an issuer signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2048 bits, RS256, as GitLab has it. Takes a moment to make.
    Rsa,
    /// P-256, ES256.
    EcP256,
    /// Ed25519, EdDSA.
    Ed25519,
}

/// An issuer with one key to sign with, and perhaps older ones that it still publishes.
#[derive(Debug)]
pub struct Issuer {
    url: Box<str>,
    kind: KeyKind,
    current: Keypair,
    retired: Vec<jwk::Jwk>,
    made: u64,
}

/// Why there is no key, or no token.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The library made no key: no randomness.
    #[error("no key could be made")]
    Key,
    /// The library signed nothing.
    #[error("the token could not be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

#[derive(Debug)]
struct Keypair {
    kid: String,
    algorithm: Algorithm,
    private: EncodingKey,
    public: jwk::Jwk,
}

impl Issuer {
    /// An issuer of this URL (the claim `iss`) with a new key.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn new(url: &str, kind: KeyKind) -> Result<Self, IssuerError> {
        let current = Keypair::generate(kind, 1)?;
        Ok(Self {
            url: url.into(),
            kind,
            current,
            retired: Vec::new(),
            made: 1,
        })
    }

    /// The claim `iss`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.current.kid
    }

    /// The JSON web key set to publish. RFC 7517 section 5.
    #[must_use]
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = std::iter::once(&self.current.public)
            .chain(&self.retired)
            .collect();
        json!({ "keys": keys }).to_string()
    }

    /// Signs with a new key from now on, and publishes the old one on.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn rotate(&mut self) -> Result<(), IssuerError> {
        self.made += 1;
        let next = Keypair::generate(self.kind, self.made)?;
        let old = std::mem::replace(&mut self.current, next);
        self.retired.push(old.public);
        Ok(())
    }

    /// Publishes old keys no longer.
    pub fn forget_retired(&mut self) {
        self.retired.clear();
    }

    /// An ID token for a job, made now, as GitLab makes them.
    ///
    /// # Errors
    ///
    /// The library signed nothing.
    pub fn token(
        &self,
        job: &JobIdentity,
        audience: &str,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<String, IssuerError> {
        self.sign(&self.claims(job, audience, now, lifetime))
    }

    /// The claims of such a token, to be changed before they are signed.
    #[must_use]
    pub fn claims(
        &self,
        job: &JobIdentity,
        audience: &str,
        now: SystemTime,
        lifetime: Duration,
    ) -> Map<String, Value> {
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = job_claims(job);
        claims.extend(object(json!({
            "iss": self.url,
            "aud": audience,
            "iat": issued,
            "nbf": issued.saturating_sub(5),
            "exp": issued + lifetime.as_secs(),
            "jti": format!("{}-{issued}", job.job),
        })));
        claims
    }

    /// Any claims at all, signed.
    ///
    /// # Errors
    ///
    /// The library signed nothing.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, IssuerError> {
        let header = Header {
            kid: Some(self.current.kid.clone()),
            ..Header::new(self.current.algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.current.private).map_err(IssuerError::Sign)
    }
}

impl Keypair {
    fn generate(kind: KeyKind, number: u64) -> Result<Self, IssuerError> {
        let (algorithm, private) = match kind {
            KeyKind::Rsa => (Algorithm::RS256, EncodingKey::from_rsa_der(&rsa_key()?)),
            KeyKind::EcP256 => (Algorithm::ES256, EncodingKey::from_ec_der(&ec_key()?)),
            KeyKind::Ed25519 => (Algorithm::EdDSA, EncodingKey::from_ed_der(&ed_key()?)),
        };
        let mut public =
            jwk::Jwk::from_encoding_key(&private, algorithm).map_err(IssuerError::Sign)?;
        // The thumbprint makes ids of two issuers differ, and the number tells people which key is newer.
        let thumbprint = thumbprint(&public)?;
        let kid = format!("{thumbprint}-{number}");
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(jwk::PublicKeyUse::Signature);
        Ok(Self {
            kid,
            algorithm,
            private,
            public,
        })
    }
}

fn thumbprint(public: &jwk::Jwk) -> Result<String, IssuerError> {
    let thumbprint = public
        .thumbprint(jwk::ThumbprintHash::SHA256)
        .map_err(IssuerError::Sign)?;
    Ok(thumbprint.chars().take(16).collect())
}

fn rsa_key() -> Result<Vec<u8>, IssuerError> {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| IssuerError::Key)?;
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| IssuerError::Key)?;
    Ok(der.as_ref().to_vec())
}

fn ec_key() -> Result<Vec<u8>, IssuerError> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    key.map(|der| der.as_ref().to_vec())
        .map_err(|_| IssuerError::Key)
}

fn ed_key() -> Result<Vec<u8>, IssuerError> {
    let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
    key.map(|der| der.as_ref().to_vec())
        .map_err(|_| IssuerError::Key)
}

/// What GitLab says about a job; ids as strings, flags as strings.
fn job_claims(job: &JobIdentity) -> Map<String, Value> {
    let kind = match job.git_ref.kind {
        Some(RefKind::Tag) => "tag",
        Some(RefKind::Branch) | None => "branch",
    };
    let (project, namespace) = (&job.project, &job.namespace);
    let mut claims = object(json!({
        "sub": format!("project_path:{}:ref_type:{kind}:ref:{}", project.path, job.git_ref.name),
        "project_id": project.id.to_string(),
        "project_path": project.path.as_str(),
        "namespace_id": namespace.id.to_string(),
        "namespace_path": namespace.path.as_str(),
        "job_project_id": project.id.to_string(),
        "job_project_path": project.path.as_str(),
        "job_namespace_id": namespace.id.to_string(),
        "job_namespace_path": namespace.path.as_str(),
        "user_id": job.user.id.to_string(),
        "user_login": job.user.login,
        "pipeline_id": job.pipeline.to_string(),
        "pipeline_source": job.source.as_deref().unwrap_or("push"),
        "job_id": job.job.to_string(),
        "ref": job.git_ref.name,
        "ref_type": kind,
        "ref_protected": job.git_ref.protected.to_string(),
    }));
    if let Some(environment) = &job.environment {
        claims.extend(object(json!({
            "environment": environment.name(),
            "environment_protected": environment.is_protected().to_string(),
            "deployment_tier": environment.tier().as_str(),
        })));
    }
    claims
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

#[cfg(test)]
mod tests;
