//! GitLab as the authority: its own API says what a job's token stands for and which agents the job may use, exactly as it says
//! it to GitLab's agent server. `GET /job/allowed_agents` takes the job's token and nothing else, so this needs no secret of a
//! GitLab administrator and works against GitLab.com. With that secret ([`ApiSecret`]) GitLab says whose an agent's token is, too,
//! and which agents a user may use.
//!
//! A token is asked about once for all who show it at the same time, again while something runs under it, and no more than GitLab
//! takes. See `vouch.rs` for a token's way, `line.rs` for a call's, `book.rs` for what is remembered.
//!
//! Invariants:
//!  - GitLab's 401, 403 and 404 end a token's access; its trouble (5xx, silence, 429, nonsense) never says anything about a token.
//!  - What an answer lacks or malforms is refused: nothing of an identity is guessed.
//!  - Tokens are found by keyed hash. Their text is kept, in memory that is wiped, only while GitLab may have to be asked again.

mod addresses;
mod agents;
mod answer;
mod api_secret;
mod as_listed;
mod book;
mod breaker;
mod config;
mod driver;
mod error;
mod files;
pub mod gitaly;
mod granted;
mod jobs;
mod limits;
mod line;
mod names;
mod over;
mod pace;
mod places;
mod projects;
mod stats;
mod transport;
mod users;
mod vouch;
mod webhook;

use std::{net::IpAddr, sync::Arc};

use adit_identity::{AgentId, FullPath, JobId};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

pub use agents::GitLabAgent;
pub use api_secret::{ApiSecret, BadApiSecret, NotGitLab, Trust};
pub use config::{BrowsersConfig, GitLabConfig, RawBrowsers, RawGitLab};
pub use error::{GitLabError, Trouble};
pub use files::{
    AgentFiles, AgentFilesConfig, AgentFilesStats, AgentFilesWork, BadReadToken, FileState,
    RawAgentFiles, ReadToken, Source, Sources,
};
pub use gitaly::Gitaly;
pub(crate) use granted::Granted;
pub use granted::Unusable;
pub use names::AgentNames;
pub use places::JobPlace;
pub use stats::{BreakerState, GitalyOutcome, Lookup, Outcome, Question, QuestionStats};
pub use transport::{AskError, AskGitLab, Asked, MAX_ANSWER_BYTES};
pub(crate) use users::UserGrant;
pub use webhook::{BadEvent, job_over};

use crate::{Caller, Ended, Running, Token, token::PREFIX};
use addresses::Addresses;
use agents::AgentTokens;
use driver::Driver;
use jobs::Jobs;
use line::Line;
use pace::Pace;
use places::Places;
use projects::Projects;
use users::Users;
use vouch::{Kind, Shared, Vouch};

/// One GitLab instance. Shared by all who ask; calls are made by the [`GitLabWork`] that comes with it.
#[derive(Debug)]
pub struct GitLab {
    line: Arc<Line>,
    jobs: Arc<Vouch<Jobs>>,
    /// If it is known how to ask about these.
    agents: Option<Arc<Vouch<AgentTokens>>>,
    users: Option<Arc<Vouch<Users>>>,
    projects: Option<Arc<Vouch<Projects>>>,
    places: Option<Arc<Vouch<Places>>>,
    names: Arc<AgentNames>,
    secret: Option<Arc<ApiSecret>>,
}

/// Makes the calls for as long as it runs. Dropping it stops that: known tokens hold for a while, new ones are refused.
#[derive(Debug)]
#[must_use = "GitLab is asked only while `run` runs"]
pub struct GitLabWork {
    jobs: Driver<Jobs>,
    agents: Option<Driver<AgentTokens>>,
    users: Option<Driver<Users>>,
    projects: Option<Driver<Projects>>,
    places: Option<Driver<Places>>,
}

impl GitLab {
    /// The authority, and its work: run it until the process stops. With the secret it is asked about agents' and users' tokens,
    /// too.
    pub fn new(
        config: &GitLabConfig,
        secret: Option<Arc<ApiSecret>>,
        transport: Arc<dyn AskGitLab>,
        running: Arc<dyn Running>,
    ) -> (Self, GitLabWork) {
        let pace = Pace::new(
            config.calls_per_second,
            config.calls_at_once,
            Instant::now(),
        );
        let shared = Shared {
            line: Arc::new(Line::new(transport, pace, config.timeout)),
            addresses: Arc::new(Addresses::new(config.bad_tokens_per_second)),
            times: config.times(),
            bounds: config.bounds(),
        };
        // Of their own: what GitLab does not say about projects and places says nothing about the tokens that come from an address.
        let of_further_questions = || Shared {
            addresses: Arc::new(Addresses::new(config.bad_tokens_per_second)),
            ..shared.clone()
        };
        let names = Arc::<AgentNames>::default();
        let vouch_for_agents =
            |secret| Vouch::new(AgentTokens::new(secret, Arc::clone(&names)), &shared);
        let vouch_for_users =
            |secret| Vouch::new(Users::new(config, secret, Arc::clone(&running)), &shared);
        let vouch_for_projects =
            |secret| Vouch::new(Projects::new(secret), &of_further_questions());
        let (agents, agents_driver) = secret.clone().map(vouch_for_agents).unzip();
        let (users, users_driver) = secret.clone().map(vouch_for_users).unzip();
        let (projects, projects_driver) = secret.clone().map(vouch_for_projects).unzip();
        // Who reads no files of agents could not make anything of it.
        let places = config.agent_files.as_ref().map(|_| {
            let places = Places::new(&config.url);
            Vouch::new(places, &of_further_questions())
        });
        let (places, places_driver) = places.unzip();
        let (jobs, jobs_driver) = Vouch::new(Jobs::new(config, running), &shared);
        let gitlab = Self {
            line: shared.line,
            jobs,
            agents,
            users,
            projects,
            places,
            names,
            secret,
        };
        let work = GitLabWork {
            jobs: jobs_driver,
            agents: agents_driver,
            users: users_driver,
            projects: projects_driver,
            places: places_driver,
        };
        (gitlab, work)
    }

    /// The job that a token stands for. `from` is who brought it, and pays for tokens that GitLab does not know. Cancel-safe; waits
    /// only when GitLab must be asked, and then a bounded time.
    ///
    /// # Errors
    ///
    /// GitLab does not accept the token, or cannot be asked and has not vouched for it lately.
    pub async fn job(&self, token: Token<'_>, from: IpAddr) -> Result<Caller, GitLabError> {
        if token.expose().starts_with(PREFIX) {
            return Err(GitLabError::AgentToken);
        }
        self.jobs.verify(token.expose(), from).await
    }

    /// Whether GitLab is asked about agents' and users' tokens.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.agents.is_some()
    }

    /// The agent whose token this is; as [`GitLab::job`].
    ///
    /// # Errors
    ///
    /// GitLab does not accept the token, or cannot be asked and has not vouched for it lately.
    pub async fn agent(&self, token: Token<'_>, from: IpAddr) -> Result<GitLabAgent, GitLabError> {
        match &self.agents {
            Some(_) if token.expose().starts_with(PREFIX) => Err(GitLabError::AgentToken),
            Some(agents) => agents.verify(token.expose(), from).await,
            None => Err(GitLabError::NotAccepted),
        }
    }

    /// The user of a personal access token, who may use this agent; as [`GitLab::job`].
    ///
    /// # Errors
    ///
    /// GitLab does not let them, or cannot be asked and has not vouched for them lately.
    pub async fn user(
        &self,
        agent: AgentId,
        token: Token<'_>,
        from: IpAddr,
    ) -> Result<Caller, GitLabError> {
        match &self.users {
            Some(_) if token.expose().starts_with(PREFIX) => Err(GitLabError::AgentToken),
            Some(users) => {
                let question = Users::question(agent, token);
                users.verify(question.expose_secret(), from).await
            }
            None => Err(GitLabError::UserNotAccepted),
        }
    }

    /// The user of a browser's session, who may use this agent; as [`GitLab::user`]. `csrf_token` proves that the page which asks is
    /// GitLab's own.
    ///
    /// # Errors
    ///
    /// GitLab does not let them, or cannot be asked and has not vouched for them lately.
    pub async fn session(
        &self,
        agent: AgentId,
        cookie: &SecretString,
        csrf_token: &SecretString,
        from: IpAddr,
    ) -> Result<Caller, GitLabError> {
        let users = self.users.as_ref().ok_or(GitLabError::UserNotAccepted)?;
        let question = Users::question_of_session(agent, cookie, csrf_token);
        users.verify(question.expose_secret(), from).await
    }

    /// Whether the agent with this token may read a project, as far as GitLab can be asked about it; waits as [`GitLab::job`].
    ///
    /// # Errors
    ///
    /// GitLab cannot be asked, and has not said so lately.
    pub async fn may_read(
        &self,
        project: &FullPath,
        token: Token<'_>,
        from: IpAddr,
    ) -> Result<bool, GitLabError> {
        let projects = self.projects.as_ref();
        let Some(projects) = projects.filter(|_| !token.expose().starts_with(PREFIX)) else {
            return Ok(false);
        };
        let question = Projects::question(project, token);
        match projects.verify(question.expose_secret(), from).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_no() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where the job is that a token stands for, if agents' files are read and GitLab says it; waits as [`GitLab::job`].
    pub async fn place(&self, token: Token<'_>, from: IpAddr) -> Option<JobPlace> {
        let places = self.places.as_ref()?;
        places.verify(token.expose(), from).await.ok()
    }

    /// What GitLab calls the agents whose tokens it has vouched for.
    #[must_use]
    pub fn agent_names(&self) -> &Arc<AgentNames> {
        &self.names
    }

    /// GitLab has said by itself that a job is over: its access ends now.
    pub fn job_is_over(&self, job: JobId) {
        self.jobs.kind.note_over(job);
        self.jobs
            .end_where(|caller| is_of(caller, job), Ended::Over);
    }

    /// What happened so far, by what was asked.
    #[must_use]
    pub fn stats(&self) -> Vec<QuestionStats> {
        let agents = self.agents.as_ref().map(|agents| agents.stats());
        let users = self.users.as_ref().map(|users| users.stats());
        let projects = self.projects.as_ref().map(|projects| projects.stats());
        let places = self.places.as_ref().map(|places| places.stats());
        let jobs = std::iter::once(self.jobs.stats());
        let further = projects.into_iter().chain(places);
        jobs.chain(agents).chain(users).chain(further).collect()
    }

    /// Whether GitLab is asked at all.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.line.breaker()
    }
}

impl GitLabWork {
    /// Runs until dropped.
    pub async fn run(self) {
        tokio::join!(
            self.jobs.run(),
            run_if_any(self.agents),
            run_if_any(self.users),
            run_if_any(self.projects),
            run_if_any(self.places),
        );
    }
}

async fn run_if_any<K: Kind>(driver: Option<Driver<K>>) {
    if let Some(driver) = driver {
        driver.run().await;
    }
}

fn is_of(caller: &Caller, job: JobId) -> bool {
    caller.job().is_some_and(|of| of.job == job)
}

/// The caller that an answer stands for, for tests of what comes after.
#[cfg(test)]
pub(crate) fn caller(answer: &serde_json::Value, owner: u64) -> Caller {
    let body = answer.to_string();
    let (job, granted) = answer::read(body.as_bytes(), "", granted::CiUser::Refused).unwrap();
    Caller::granted_agents(job, granted, owner)
}

#[cfg(test)]
mod tests;
