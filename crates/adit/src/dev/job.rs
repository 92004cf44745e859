//! The job that `adit dev` pretends to be: what a GitLab would say about it, in an ID token of an
//! issuer of our own.

use adit_identity::{
    FullPath, GitRef, GroupId, JobId, JobIdentity, Namespace, PipelineId, Project, ProjectId,
    RefKind, User, UserId,
};

/// A job of `project` (such as `group/app`) on its protected default branch, without environment.
///
/// Ids are all 1: there is one job, one project and one group in this world.
pub(super) fn pretend(
    issuer: &str,
    project: &FullPath,
    login: &str,
) -> Result<JobIdentity, NoGroup> {
    let namespace = project.ancestors().next().ok_or(NoGroup)?;
    Ok(JobIdentity {
        issuer: issuer.into(),
        job: JobId(1),
        pipeline: PipelineId(1),
        source: Some("web".into()),
        project: Project {
            id: ProjectId(1),
            path: Some(project.clone()),
        },
        namespace: Some(Namespace {
            id: GroupId(1),
            path: namespace,
        }),
        groups: vec![GroupId(1)],
        user: User {
            id: UserId(1),
            login: login.into(),
        },
        git_ref: Some(GitRef {
            name: "main".into(),
            kind: Some(RefKind::Branch),
            protected: true,
        }),
        environment: None,
    })
}

/// A project that stands in no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a project stands in a group: write it as group/project")]
pub(super) struct NoGroup;
