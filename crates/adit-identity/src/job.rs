//! What an authority says about a caller: which job, of which project, by whom, on what ref, for what environment.
//! Made by authorities from a token, read when access is decided, logged and turned into an impersonation.
//! Invariant: a fact that the authority does not state is absent or at its weakest here, never guessed.

use crate::{Environment, FullPath, GroupId, JobId, PipelineId, ProjectId, UserId};

/// A running CI job and everything that access may depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobIdentity {
    /// The GitLab instance that vouches for the rest: ids and paths mean something only together with it.
    pub issuer: Box<str>,
    /// The job.
    pub job: JobId,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// What started the pipeline, such as `push` or `merge_request_event`. For logs.
    pub source: Option<Box<str>>,
    /// The project the job runs in.
    pub project: Project,
    /// What the project stands in. GitLab's API names the groups by id alone.
    pub namespace: Option<Namespace>,
    /// The groups that the project is in and whose ids are known, outermost first.
    ///
    /// GitLab's API lists them all. An ID token states the id of the direct namespace only, and ids of the groups above come from
    /// the relay's config; a group missing here is one identity less for RBAC to give rights to, never one more.
    pub groups: Vec<GroupId>,
    /// As whom the job runs.
    pub user: User,
    /// What it runs on. GitLab's API does not say.
    pub git_ref: Option<GitRef>,
    /// What it deploys to, when it says so.
    pub environment: Option<Environment>,
}

impl JobIdentity {
    /// A job that does not exist, for demonstrations and tests: job 9001 of pipeline 880 of project 150 at this path, which
    /// `dev1` started by a push to the protected branch `main`, for no environment. Callers change what they are about.
    ///
    /// # Panics
    /// When `project` is not the path of a project in a group.
    #[must_use]
    pub fn example(issuer: &str, project: &str) -> Self {
        let project: FullPath = project.parse().expect("a path");
        let namespace = project.ancestors().next().expect("a project in a group");
        Self {
            issuer: issuer.into(),
            job: JobId(9001),
            pipeline: PipelineId(880),
            source: Some("push".into()),
            project: Project {
                id: ProjectId(150),
                path: Some(project),
            },
            namespace: Some(Namespace {
                id: GroupId(25),
                path: namespace,
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
}

/// A project at the time the token was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its id, the same for ever.
    pub id: ProjectId,
    /// Its path, which may be renamed, and taken by another. GitLab's API states the id alone.
    pub path: Option<FullPath>,
}

/// What a project stands in: a group, or a user's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its id; groups and users' namespaces share one sequence.
    pub id: GroupId,
    /// The project's path without its last segment.
    pub path: FullPath,
}

/// The user a job runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The user's name, as in `@login`.
    pub login: Box<str>,
}

/// The branch or tag a job runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRef {
    /// Its name, without `refs/heads/` or `refs/tags/`.
    pub name: Box<str>,
    /// Branch or tag; absent when the authority did not say.
    pub kind: Option<RefKind>,
    /// Whether the ref is protected. False when the authority did not say.
    pub protected: bool,
}

/// The kinds of refs that pipelines run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind {
    /// Below `refs/heads/`.
    Branch,
    /// Below `refs/tags/`.
    Tag,
}
