//! Jobs and their lives: a job's token works while the job runs.

use std::time::{Duration, SystemTime};

use adit_identity::Tier;

use super::{TokenForm, World, job_token::JobToken};

/// A job of a pipeline.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: u64,
    pub pipeline: u64,
    pub project: u64,
    /// As whom it runs.
    pub user: u64,
    pub name: String,
    /// The branch's or the tag's name.
    pub git_ref: String,
    pub is_tag: bool,
    /// The name of its environment with all variables expanded.
    pub environment: Option<String>,
    /// The stored environment, which comes into being with the pipeline in most cases, and later in some.
    pub persisted_environment: Option<u64>,
    pub timeout: Duration,
    pub status: JobStatus,
    pub began: SystemTime,
    pub(super) token: JobToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    Running,
    Success,
    Failed,
    /// Its `after_script` may run on, without rights.
    Canceled,
    /// Ended, and its log and artifacts deleted.
    Erased,
}

impl JobStatus {
    /// The word that GitLab has for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success | Self::Erased => "success",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// A job about to run. See [`World::job`].
#[derive(Debug)]
pub struct JobBuilder<'a> {
    world: &'a mut World,
    project: u64,
    id: Option<u64>,
    user: Option<u64>,
    git_ref: Option<String>,
    is_tag: bool,
    environment: Option<(String, Option<Tier>)>,
    is_persisted: bool,
    form: Option<TokenForm>,
    timeout: Duration,
}

impl World {
    /// A job of a project that is there: by its first member, on its default branch, for no environment, of an hour.
    ///
    /// # Panics
    ///
    /// When the project is not there.
    pub fn job(&mut self, project: &str) -> JobBuilder<'_> {
        let project = self.find_project(project).expect("the project is there").id;
        JobBuilder {
            world: self,
            project,
            id: None,
            user: None,
            git_ref: None,
            is_tag: false,
            environment: None,
            is_persisted: true,
            form: None,
            timeout: Duration::from_secs(3600),
        }
    }

    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn job_of(&self, id: u64) -> &Job {
        &self.jobs[&id]
    }

    /// Ends a job, or has it end in another way. Hooks are called by [`crate::GitLab::end_job`] only.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn set_status(&mut self, job: u64, status: JobStatus) {
        self.jobs.get_mut(&job).expect("the job is there").status = status;
    }

    /// Stores the environment of a job that has none stored yet.
    ///
    /// # Panics
    ///
    /// When there is no such job, or none of an environment.
    pub fn persist_environment(&mut self, job: u64) {
        let of = self.jobs[&job].project;
        let name = self.jobs[&job].environment.clone();
        let environment = self.environment(of, &name.expect("the job has an environment"));
        if let Some(job) = self.jobs.get_mut(&job) {
            job.persisted_environment = Some(environment);
        }
    }

    /// The stored environment of a job.
    #[must_use]
    pub fn job_environment(&self, job: &Job) -> Option<&super::Environment> {
        self.environments.get(&job.persisted_environment?)
    }
}

impl<'a> JobBuilder<'a> {
    /// With this id.
    #[must_use]
    pub fn numbered(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// As another user, who is made when missing.
    #[must_use]
    pub fn by(mut self, login: &str) -> Self {
        self.user = Some(self.world.user(login));
        self
    }

    #[must_use]
    pub fn on_branch(mut self, name: &str) -> Self {
        self.git_ref = Some(name.to_owned());
        self
    }

    #[must_use]
    pub fn on_tag(mut self, name: &str) -> Self {
        self.is_tag = true;
        self.on_branch(name)
    }

    #[must_use]
    pub fn environment(mut self, name: &str) -> Self {
        self.environment = Some((name.to_owned(), None));
        self
    }

    /// With the tier that the pipeline states.
    #[must_use]
    pub fn environment_of_tier(mut self, name: &str, tier: Tier) -> Self {
        self.environment = Some((name.to_owned(), Some(tier)));
        self
    }

    /// Its environment is not stored yet.
    #[must_use]
    pub fn unpersisted(mut self) -> Self {
        self.is_persisted = false;
        self
    }

    #[must_use]
    pub fn token(mut self, form: TokenForm) -> Self {
        self.form = Some(form);
        self
    }

    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts it: its id.
    pub fn run(self) -> u64 {
        self.start().id
    }

    /// Starts it: its token.
    pub fn run_for_token(self) -> String {
        self.start().token().to_owned()
    }

    fn start(self) -> &'a Job {
        let Self { world, project, .. } = self;
        let user = match self.user.or_else(|| world.first_member(project)) {
            Some(user) => user,
            None => world.user("nobody"),
        };
        let environment = self.environment.as_ref().map(|(name, _)| name.clone());
        let persisted_environment =
            self.environment
                .filter(|_| self.is_persisted)
                .map(|(name, tier)| {
                    let id = world.environment(project, &name);
                    if let Some(tier) = tier {
                        world.environment_mut(id).tier = tier;
                    }
                    id
                });
        let pipeline = world.take_id();
        if let Some(id) = self.id {
            world.number(id);
        }
        let id = world.take_id();
        let form = self.form.unwrap_or(world.settings.job_tokens);
        let began = SystemTime::now();
        let token = JobToken::new(world, form, (id, project, user), began + self.timeout);
        let git_ref = self
            .git_ref
            .unwrap_or_else(|| world.project_of(project).default_branch.clone());
        let job = Job {
            id,
            pipeline,
            project,
            user,
            name: "deploy".to_owned(),
            git_ref,
            is_tag: self.is_tag,
            environment,
            persisted_environment,
            timeout: self.timeout,
            status: JobStatus::Running,
            began,
            token,
        };
        world.jobs.entry(id).or_insert(job)
    }
}
