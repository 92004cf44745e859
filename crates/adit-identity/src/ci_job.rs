//! GitLab's names for a job in front of Kubernetes (`access_as: ci_job`): the user, groups and extras that RBAC rules are
//! written against. Called once for each permit.
//! Invariant: names and their order are exactly GitLab's, and hold ids, never paths, so a rename changes no rights.

use crate::{
    ActAs, AgentId, BadImpersonation, Environment, Extra, Impersonation, JobIdentity, ProjectId,
};

impl JobIdentity {
    /// The user that stands for this job at the API server of `agent`.
    ///
    /// `config_project` is the project that holds the agent's configuration, where one is known.
    ///
    /// # Errors
    ///
    /// The authority's facts cannot be sent as headers: an empty or odd login. The rest are numbers and checked words.
    pub fn impersonation(
        &self,
        agent: AgentId,
        config_project: Option<ProjectId>,
    ) -> Result<Impersonation, BadImpersonation> {
        let user = format!("gitlab:ci_job:{}", self.job);
        Impersonation::new(
            user,
            None,
            self.kubernetes_groups(),
            self.extra(agent, config_project),
        )
    }

    fn kubernetes_groups(&self) -> Vec<String> {
        let environment = self.environment.as_ref();
        let project = self.project.id;
        let mut names = vec!["gitlab:ci_job".to_owned()];
        for group in &self.groups {
            names.push(format!("gitlab:group:{group}"));
            names.extend(
                environment.map(|env| format!("gitlab:group_env_tier:{group}:{}", env.tier())),
            );
        }
        names.push(format!("gitlab:project:{project}"));
        if let Some(environment) = environment {
            names.push(format!(
                "gitlab:project_env:{project}:{}",
                environment.slug()
            ));
            names.push(format!(
                "gitlab:project_env_tier:{project}:{}",
                environment.tier()
            ));
        }
        names
    }

    pub(crate) fn extra(&self, agent: AgentId, config_project: Option<ProjectId>) -> Vec<Extra> {
        let environment = self.environment.as_ref();
        [
            ("id", Some(agent.to_string())),
            ("config_project_id", config_project.map(|id| id.to_string())),
            ("project_id", Some(self.project.id.to_string())),
            ("ci_pipeline_id", Some(self.pipeline.to_string())),
            ("ci_job_id", Some(self.job.to_string())),
            ("username", Some(self.user.login.to_string())),
            (
                "environment_slug",
                environment.map(|env| env.slug().to_owned()),
            ),
            (
                "environment_tier",
                environment
                    .map(Environment::tier)
                    .map(|tier| tier.to_string()),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| {
            Some(Extra {
                key: format!("agent.gitlab.com/{name}"),
                values: vec![value?],
            })
        })
        .collect()
    }
}

impl From<Impersonation> for ActAs {
    fn from(impersonation: Impersonation) -> Self {
        Self::Impersonate(impersonation)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{GroupId, Tier};

    pub(crate) fn job(environment: Option<Environment>) -> JobIdentity {
        JobIdentity {
            groups: vec![GroupId(23), GroupId(25)],
            environment,
            ..JobIdentity::example("https://gitlab.example.com", "group/sub/app")
        }
    }

    fn extra(impersonation: &Impersonation) -> Vec<(&str, &str)> {
        impersonation
            .extra()
            .iter()
            .map(|extra| (extra.key.as_str(), extra.values[0].as_str()))
            .collect()
    }

    #[test]
    fn a_job_with_environment_has_gitlabs_names_in_gitlabs_order() {
        let environment = Environment::named("prod", Tier::Production, true).unwrap();
        let as_job = job(Some(environment))
            .impersonation(AgentId(41), Some(ProjectId(7)))
            .unwrap();
        assert_eq!(as_job.user(), "gitlab:ci_job:9001");
        assert_eq!(as_job.uid(), None);
        let groups = [
            "gitlab:ci_job",
            "gitlab:group:23",
            "gitlab:group_env_tier:23:production",
            "gitlab:group:25",
            "gitlab:group_env_tier:25:production",
            "gitlab:project:150",
            "gitlab:project_env:150:prod",
            "gitlab:project_env_tier:150:production",
        ];
        assert_eq!(as_job.groups(), groups);
        let expected = [
            ("agent.gitlab.com/id", "41"),
            ("agent.gitlab.com/config_project_id", "7"),
            ("agent.gitlab.com/project_id", "150"),
            ("agent.gitlab.com/ci_pipeline_id", "880"),
            ("agent.gitlab.com/ci_job_id", "9001"),
            ("agent.gitlab.com/username", "dev1"),
            ("agent.gitlab.com/environment_slug", "prod"),
            ("agent.gitlab.com/environment_tier", "production"),
        ];
        assert_eq!(extra(&as_job), expected);
    }

    #[test]
    fn a_job_without_environment_has_no_environment_names() {
        let as_job = job(None).impersonation(AgentId(41), None).unwrap();
        let groups = [
            "gitlab:ci_job",
            "gitlab:group:23",
            "gitlab:group:25",
            "gitlab:project:150",
        ];
        assert_eq!(as_job.groups(), groups);
        let expected = [
            ("agent.gitlab.com/id", "41"),
            ("agent.gitlab.com/project_id", "150"),
            ("agent.gitlab.com/ci_pipeline_id", "880"),
            ("agent.gitlab.com/ci_job_id", "9001"),
            ("agent.gitlab.com/username", "dev1"),
        ];
        assert_eq!(extra(&as_job), expected);
    }

    #[test]
    fn a_login_that_would_break_a_header_is_refused() {
        let mut job = job(None);
        job.user.login = "dev1\r\nimpersonate-group: system:masters".into();
        assert!(matches!(
            job.impersonation(AgentId(41), None),
            Err(BadImpersonation::Control(_))
        ));
    }
}
