//! An issuer of our own: a key, the document that publishes it, and ID tokens in GitLab's shape. `adit dev` and the demo
//! run one instead of a GitLab; tests sign with it what no GitLab would.
//! Invariant: a private key never leaves this value, and is gone with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_identity::{FullPath, JobIdentity, RefKind};
use aws_lc_rs::{
    digest,
    error::Unspecified,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
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
    current: Published,
    retired: Vec<Value>,
}

/// There is no randomness, or no memory: the library made no key, or no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed")]
pub struct IssuerError;

/// A private key, and its public half as it is published.
#[derive(Debug)]
struct Published {
    kid: String,
    private: Private,
    jwk: Value,
}

// Their `Debug` shows public halves only.
#[derive(Debug)]
enum Private {
    Rsa(rsa::KeyPair),
    EcP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Issuer {
    /// An issuer of this URL (the claim `iss`) with a new key.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn new(url: &str, kind: KeyKind) -> Result<Self, IssuerError> {
        Ok(Self {
            url: url.into(),
            kind,
            current: Published::new(kind)?,
            retired: Vec::new(),
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
        let keys: Vec<_> = std::iter::once(&self.current.jwk)
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
        let next = Published::new(self.kind)?;
        let old = std::mem::replace(&mut self.current, next);
        self.retired.push(old.jwk);
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
        let private = &self.current.private;
        let header = json!({ "typ": "JWT", "alg": private.algorithm(), "kid": self.current.kid });
        let claims = Value::Object(claims.clone());
        let message = [header, claims]
            .map(|part| encode(part.to_string()))
            .join(".");
        let signature = private.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", encode(signature)))
    }
}

impl Published {
    fn new(kind: KeyKind) -> Result<Self, IssuerError> {
        let private = Private::generate(kind)?;
        let mut jwk = private.public();
        // Named after the key itself, so that ids of two issuers, or of two keys of one, differ.
        let thumb = digest::digest(
            &digest::SHA256,
            Value::Object(jwk.clone()).to_string().as_bytes(),
        );
        let kid: String = encode(thumb).chars().take(16).collect();
        jwk.extend(object(
            json!({ "kid": kid, "use": "sig", "alg": private.algorithm() }),
        ));
        Ok(Self {
            kid,
            private,
            jwk: Value::Object(jwk),
        })
    }
}

impl Private {
    fn generate(kind: KeyKind) -> Result<Self, IssuerError> {
        Ok(match kind {
            KeyKind::Rsa => Self::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?),
            KeyKind::EcP256 => {
                Self::EcP256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?)
            }
            KeyKind::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate()?),
        })
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::EcP256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// The public half. RFC 7518 section 6, RFC 8037 section 2.
    fn public(&self) -> Map<String, Value> {
        object(match self {
            Self::Rsa(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                let [n, e] = [n, e].map(|number| encode(number.big_endian_without_leading_zero()));
                json!({ "kty": "RSA", "n": n, "e": e })
            }
            Self::EcP256(key) => {
                // An uncompressed point: 4, then both coordinates. SEC 1 section 2.3.3.
                let point = key.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key()) })
            }
        })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssuerError> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
            Self::EcP256(key) => Ok(key.sign(&random, message)?.as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

impl From<Unspecified> for IssuerError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What GitLab says about a job; ids as strings, flags as strings.
fn job_claims(job: &JobIdentity) -> Map<String, Value> {
    let (project, git_ref) = (&job.project, job.git_ref.as_ref());
    let kind = match git_ref.and_then(|git_ref| git_ref.kind) {
        Some(RefKind::Tag) => "tag",
        Some(RefKind::Branch) | None => "branch",
    };
    let path = project.path.as_ref().map_or("", FullPath::as_str);
    let ref_name = git_ref.map_or("", |git_ref| &git_ref.name);
    let namespace_id = job.namespace.as_ref().map(|group| group.id.to_string());
    let namespace_path = job.namespace.as_ref().map(|group| group.path.as_str());
    let mut claims = object(json!({
        "sub": format!("project_path:{path}:ref_type:{kind}:ref:{ref_name}"),
        "project_id": project.id.to_string(),
        "project_path": path,
        "namespace_id": namespace_id,
        "namespace_path": namespace_path,
        "job_project_id": project.id.to_string(),
        "job_project_path": path,
        "job_namespace_id": namespace_id,
        "job_namespace_path": namespace_path,
        "user_id": job.user.id.to_string(),
        "user_login": job.user.login,
        "pipeline_id": job.pipeline.to_string(),
        "pipeline_source": job.source.as_deref().unwrap_or("push"),
        "job_id": job.job.to_string(),
        "ref": ref_name,
        "ref_type": kind,
        "ref_protected": git_ref.is_some_and(|git_ref| git_ref.protected).to_string(),
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
