//! The jobs that call: the ID token of one goes along with every request, whatever the path.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_authority::issuer::{Issuer, KeyKind};
use anyhow::{Context as _, Result};
use serde_json::json;

/// Who signed its token.
pub const ISSUER: &str = "https://gitlab.bench.test";

/// The one that calls unless said.
pub const FIRST_JOB: u64 = 9001;

/// Jobs' credentials, and the keys to check them with.
#[derive(Debug)]
pub struct Jobs {
    issuer: Issuer,
}

impl Jobs {
    pub fn new() -> Result<Self> {
        Ok(Self {
            issuer: Issuer::new(ISSUER, KeyKind::Rsa)?,
        })
    }

    /// The issuer's public keys.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.issuer.jwks()
    }

    /// The header line of the job with that id, as a kubeconfig for adit has it.
    pub fn authorization(&self, job: u64) -> Result<String> {
        let token = token(&self.issuer, job)?;
        Ok(format!("Authorization: Bearer ci:1:{token}"))
    }
}

/// A job's ID token in GitLab's shape, good for an hour.
fn token(issuer: &Issuer, job: u64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let claims = json!({
        "iss": issuer.url(), "aud": "adit", "sub": "project_path:group/app:ref_type:branch:ref:main",
        "iat": now.as_secs(), "nbf": now.as_secs() - 5, "exp": (now + Duration::from_secs(3600)).as_secs(), "jti": "bench",
        "project_id": "150", "project_path": "group/app", "namespace_id": "25", "namespace_path": "group",
        "user_id": "12", "user_login": "dev1", "user_email": "dev1@example.com", "user_access_level": "developer",
        "pipeline_id": "880", "pipeline_source": "push", "job_id": job.to_string(), "ref": "main", "ref_type": "branch",
        "ref_path": "refs/heads/main", "ref_protected": "true", "runner_id": 1, "runner_environment": "self-hosted",
        "sha": "0123456789abcdef0123456789abcdef01234567", "project_visibility": "private",
    });
    issuer
        .sign(claims.as_object().context("claims are an object")?)
        .context("signing the job's token")
}
