//! A job for this crate's tests to change and send.

use adit_identity::{
    Environment, FullPath, GitRef, GroupId, JobId, JobIdentity, Namespace, PipelineId, Project,
    ProjectId, RefKind, Tier, User, UserId,
};

/// The issuer of [`job`].
pub(crate) const ISSUER: &str = "https://gitlab.example.com";

/// A job of `group/sub/app`, on a protected branch, for no environment.
pub(crate) fn job() -> JobIdentity {
    JobIdentity {
        issuer: ISSUER.into(),
        job: JobId(9001),
        pipeline: PipelineId(880),
        source: Some("push".into()),
        project: Project {
            id: ProjectId(150),
            path: Some("group/sub/app".parse().unwrap()),
        },
        namespace: Some(Namespace {
            id: GroupId(25),
            path: "group/sub".parse().unwrap(),
        }),
        groups: vec![GroupId(25)],
        user: User {
            id: UserId(12),
            login: "dev1".into(),
        },
        git_ref: Some(GitRef {
            name: "main".into(),
            kind: Some(RefKind::Branch),
            protected: true,
        }),
        environment: None,
    }
}

/// A job of another project.
pub(crate) fn job_of(path: &str) -> JobIdentity {
    let mut job = job();
    let path: FullPath = path.parse().unwrap();
    job.namespace.as_mut().unwrap().path = path.ancestors().next().unwrap();
    job.project.path = Some(path);
    job
}

/// The environment of that name.
pub(crate) fn environment(name: &str) -> Option<Environment> {
    Some(Environment::named(name, Tier::Production, true).unwrap())
}
