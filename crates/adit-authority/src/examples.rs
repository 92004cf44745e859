//! A job for this crate's tests to change and send.

use adit_identity::{Environment, JobIdentity, Tier};

/// The issuer of [`job`].
pub(crate) const ISSUER: &str = "https://gitlab.example.com";

/// A job of `group/sub/app`, on a protected branch, for no environment.
pub(crate) fn job() -> JobIdentity {
    job_of("group/sub/app")
}

/// A job of another project.
pub(crate) fn job_of(path: &str) -> JobIdentity {
    JobIdentity::example(ISSUER, path)
}

/// The environment of that name.
pub(crate) fn environment(name: &str) -> Option<Environment> {
    Some(Environment::named(name, Tier::Production, true).unwrap())
}
