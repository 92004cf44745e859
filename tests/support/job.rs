//! The job that scenarios act as, unless they say otherwise.

use adit_identity::{
    GitRef, GroupId, JobId, JobIdentity, Namespace, PipelineId, Project, ProjectId, RefKind, User,
    UserId,
};

/// A job of project 150 `group/sub/app` on its protected branch `main`, for no environment.
///
/// # Panics
///
/// Never: the paths are valid.
#[must_use]
pub fn job(id: u64) -> JobIdentity {
    JobIdentity {
        issuer: crate::issuer::URL.into(),
        job: JobId(id),
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
