//! GitLab's names for the user behind a job in front of Kubernetes (`access_as: ci_user`), by the user's roles in the job's
//! project. Called once for each permit.
//! Invariant: as for `ci_job`, names hold ids, and the user's own name, never paths.

use crate::{AgentId, BadImpersonation, Impersonation, JobIdentity, ProjectId};

impl JobIdentity {
    /// The user that stands for whoever runs this job at the API server of `agent`. `roles` are all that the user has in the job's
    /// project, such as `guest` and `developer`.
    ///
    /// # Errors
    ///
    /// The authority's facts cannot be sent as headers.
    pub fn user_impersonation(
        &self,
        agent: AgentId,
        config_project: Option<ProjectId>,
        roles: &[Box<str>],
    ) -> Result<Impersonation, BadImpersonation> {
        let project = self.project.id;
        let roles = roles
            .iter()
            .map(|role| format!("gitlab:project_role:{project}:{role}"));
        let groups = std::iter::once("gitlab:user".to_owned()).chain(roles);
        Impersonation::new(
            format!("gitlab:user:{}", self.user.login),
            None,
            groups.collect(),
            self.extra(agent, config_project),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ci_job::tests::job;

    #[test]
    fn a_user_is_named_with_the_roles_in_the_project() {
        let roles = ["guest".into(), "developer".into()];
        let user = job(None)
            .user_impersonation(AgentId(41), Some(ProjectId(7)), &roles)
            .unwrap();
        assert_eq!(user.user(), "gitlab:user:dev1");
        let groups = [
            "gitlab:user",
            "gitlab:project_role:150:guest",
            "gitlab:project_role:150:developer",
        ];
        assert_eq!(user.groups(), groups);
        let job_id = user
            .extra()
            .iter()
            .find(|extra| extra.key == "agent.gitlab.com/ci_job_id");
        assert_eq!(job_id.unwrap().values, ["9001"]);
    }
}
