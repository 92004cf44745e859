//! The tokens of jobs: made when a job starts, found again while it runs. A JWT is signed with a key that nobody publishes, so
//! that all a caller can do is to ask.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use adit_authority::issuer::{Issuer, KeyKind};
use serde_json::json;

use super::{Job, JobStatus, World, random};
use crate::gitlab::jwt;

/// GitLab's forms of job tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenForm {
    /// Stored, until 18: `glcbt-<partition>_<random>`.
    Opaque,
    /// Signed, the default from 19 on: `glcbt-<JWT>`, with the instance's prefix before it when it has one.
    #[default]
    Jwt,
}

#[derive(Clone, Debug)]
pub(super) struct JobToken {
    value: String,
    /// The instance's prefix when it was made: it is not believed under another.
    prefix: Option<String>,
    /// Of a JWT.
    expires: Option<SystemTime>,
}

/// A JWT lives a little longer than its job may run.
const LEEWAY: Duration = Duration::from_secs(5 * 60);

static SIGNER: LazyLock<Issuer> =
    LazyLock::new(|| Issuer::new("job tokens", KeyKind::Rsa).expect("there is randomness"));

impl JobToken {
    pub(super) fn new(
        world: &World,
        form: TokenForm,
        (job, project, user): (u64, u64, u64),
        job_ends: SystemTime,
    ) -> Self {
        let expires = job_ends + LEEWAY;
        match form {
            TokenForm::Opaque => Self {
                value: format!("glcbt-64_{}", random::text(20)),
                prefix: None,
                expires: None,
            },
            TokenForm::Jwt => {
                let prefix = world.settings.token_prefix.clone();
                let claims = json!({
                    "sub": format!("gid://gitlab/Ci::Build/{job}"),
                    "jti": random::text(20),
                    "iss": world.settings.external_url,
                    "exp": jwt::seconds(expires),
                    "c": "1",
                    "o": "1",
                    "p": base36(project),
                    "g": base36(world.project_root(project)),
                    "u": base36(user),
                });
                let claims = claims.as_object().expect("claims are an object");
                let jwt = SIGNER.sign(claims).expect("the key signs");
                Self {
                    value: random::prefixed(prefix.as_deref(), &format!("glcbt-{jwt}")),
                    prefix,
                    expires: Some(expires),
                }
            }
        }
    }
}

impl Job {
    /// Its `CI_JOB_TOKEN`, whether it still works or not.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token.value
    }
}

impl World {
    /// The running job whose token this is.
    pub(in crate::gitlab) fn job_by_token(&self, value: &str) -> Option<&Job> {
        self.jobs
            .values()
            .filter(|job| job.status == JobStatus::Running)
            .filter(|job| !self.project_of(job.project).is_being_deleted)
            .find(|job| job.token.value == value && self.is_in_force(&job.token))
    }

    fn is_in_force(&self, token: &JobToken) -> bool {
        let Some(expires) = token.expires else {
            return true;
        };
        token.prefix == self.settings.token_prefix && SystemTime::now() < expires
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.extend(char::from_digit(digit, 36));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}
