//! The demo's GitLab: keys, and ID tokens of two jobs. What a GitLab would say about them stands here.

use std::time::{Duration, SystemTime};

use adit_authority::issuer::{Issuer as Keys, KeyKind};
use adit_identity::{
    Environment, GroupId, JobId, JobIdentity, Namespace, Project, ProjectId, Tier,
};
use anyhow::Result;

/// Signs for both jobs.
pub(super) struct Issuer(Keys);

/// Which job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of `group/app`, which may use the agent.
    Ours,
    /// Of `other/app`, which may not.
    Others,
}

impl Issuer {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Keys::new(URL, KeyKind::Rsa)?))
    }

    /// The key set to publish, JSON.
    pub(super) fn keys(&self) -> String {
        self.0.jwks()
    }

    pub(super) fn token(&self, whose: Whose) -> Result<String> {
        let job = job(whose)?;
        Ok(self.0.token(&job, AUDIENCE, SystemTime::now(), LIFETIME)?)
    }
}

fn job(whose: Whose) -> Result<JobIdentity> {
    let (job, project, path, group) = match whose {
        Whose::Ours => (9001, 150, "group/app", 23),
        Whose::Others => (9002, 151, "other/app", 24),
    };
    let example = JobIdentity::example(URL, path);
    Ok(JobIdentity {
        job: JobId(job),
        project: Project {
            id: ProjectId(project),
            ..example.project
        },
        namespace: example.namespace.map(|namespace| Namespace {
            id: GroupId(group),
            ..namespace
        }),
        groups: vec![GroupId(group)],
        environment: Some(Environment::named("production", Tier::Production, true)?),
        ..example
    })
}

/// As `relay.yaml` has them.
const URL: &str = "https://gitlab.demo.invalid";
const AUDIENCE: &str = "adit-demo";
/// Longer than anyone looks at a demo that was kept.
pub(super) const LIFETIME: Duration = Duration::from_hours(12);
