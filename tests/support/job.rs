//! The job that scenarios act as, unless they say otherwise.

use adit_identity::{JobId, JobIdentity};

/// A job of project 150 `group/sub/app` on its protected branch `main`, for no environment.
#[must_use]
pub fn job(id: u64) -> JobIdentity {
    JobIdentity {
        job: JobId(id),
        ..JobIdentity::example(crate::issuer::URL, "group/sub/app")
    }
}
