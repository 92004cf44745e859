//! ID tokens of jobs, by the issuer that the tests have for such.

use adit_identity::{
    Environment, GitRef, GroupId, JobId, JobIdentity, Namespace, PipelineId, Project, ProjectId,
    RefKind, User, UserId,
};
use serde_json::json;

use super::{GitLab, Role, jwt, world::World};

impl GitLab {
    /// An ID token of a job, for this audience, in force as long as the job may run.
    ///
    /// # Panics
    ///
    /// When there is no such job.
    #[must_use]
    pub fn id_token(&self, job: u64, audience: &str) -> String {
        let (identity, ends, role) = {
            let world = self.world();
            let job = world.job_of(job);
            let role = world.role_in_project(job.user, job.project);
            (world.identity(job.id), job.began + job.timeout, role)
        };
        self.issuer().signed(&identity, |claims| {
            claims.insert("aud".to_owned(), json!(audience));
            claims.insert("exp".to_owned(), json!(jwt::seconds(ends)));
            let role = role.map(Role::name);
            claims.insert("user_access_level".to_owned(), json!(role));
        })
    }
}

impl World {
    fn identity(&self, job: u64) -> JobIdentity {
        let job = self.job_of(job);
        let namespace = self.project_of(job.project).namespace;
        let stored = job
            .environment
            .as_ref()
            .and_then(|name| self.find_environment(job.project, name));
        JobIdentity {
            issuer: self.settings.external_url.as_str().into(),
            job: JobId(job.id),
            pipeline: PipelineId(job.pipeline),
            source: Some("push".into()),
            project: Project {
                id: ProjectId(job.project),
                path: Some(self.project_path(job.project).parse().unwrap()),
            },
            namespace: Some(Namespace {
                id: GroupId(namespace),
                path: self.namespace_path(namespace).parse().unwrap(),
            }),
            groups: vec![GroupId(namespace)],
            user: User {
                id: UserId(job.user),
                login: self.user_of(job.user).login.as_str().into(),
            },
            git_ref: Some(GitRef {
                name: job.git_ref.as_str().into(),
                kind: Some(if job.is_tag {
                    RefKind::Tag
                } else {
                    RefKind::Branch
                }),
                protected: self.is_protected(job),
            }),
            environment: stored
                .map(|stored| Environment::named(&stored.name, stored.tier, false).unwrap()),
        }
    }
}
