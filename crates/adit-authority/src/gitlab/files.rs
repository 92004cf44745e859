//! Agents' files at GitLab, read again and again, and before their turn when somebody pushes to their project: from Gitaly, where GitLab
//! says where that is, or by GitLab's API with a token that may read them. What is wrong with a file is told when it changes, and a file
//! without mistakes is handed to GitLab, which learns of grants in no other way. Run by the relay beside its shards.
//!
//! Invariants:
//!  - One call at a time, none while GitLab is left alone, and behind those about tokens: see [`super::line`].
//!  - A file with a mistake, or one that cannot be read, changes nothing: what GitLab was handed last holds.
//!  - Whatever a file is read from, it is judged, told and handed over in the same way.

mod config;
mod from_api;
mod from_gitaly;
mod post;
mod read_token;
mod report;
mod seen;
mod wanted;
mod watched;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use adit_identity::{AgentId, FullPath, JobIdentity, ProjectId};
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout_at};

pub use config::{AgentFilesConfig, RawAgentFiles, Source};
pub use read_token::{BadReadToken, ReadToken};
pub use seen::FileState;

use super::{
    AgentNames, ApiSecret, GitLab, JobPlace, Outcome, Question, QuestionStats,
    gitaly::{CommitId, Gitaly},
    line::{Asker, Line, Snag},
    pace::Urgency,
    stats::Counts,
};
use crate::{Agents, Home, NotAllowed, authorise::why_unlisted};
use seen::Seen;
use wanted::Wanted;
use watched::Watched;

/// What is known of the files of all agents that are GitLab's.
#[derive(Debug)]
pub struct AgentFiles {
    configured: Mutex<Vec<Watched>>,
    vouched_for: Arc<AgentNames>,
    seen: Mutex<HashMap<AgentId, Seen>>,
    wanted: Wanted,
    calls: Counts<Outcome>,
}

/// How files stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentFilesStats {
    /// How many are in each state.
    pub states: [(FileState, usize); FileState::ALL.len()],
    /// Grants of the last good files.
    pub accepted: usize,
    /// Grants among them that GitLab drops.
    pub dropped: usize,
    /// Good files that GitLab should have been handed, and has not.
    pub unposted: usize,
}

/// Reads the files for as long as it runs.
#[derive(Debug)]
#[must_use = "files are read only while `run` runs"]
pub struct AgentFilesWork {
    files: Arc<AgentFiles>,
    line: Arc<Line>,
    sources: Sources,
    /// If GitLab takes files from this relay.
    secret: Option<Arc<ApiSecret>>,
    config: AgentFilesConfig,
}

/// What files are read from: first from Gitaly, and by the API if that cannot be.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Asked where GitLab has said where it is.
    pub gitaly: Option<Arc<Gitaly>>,
    /// Shown to GitLab's API.
    pub token: Option<Arc<ReadToken>>,
}

/// What there is of a file.
enum Found {
    /// These bytes, of this commit if that is known.
    File(Bytes, Option<CommitId>),
    /// What there was: the commit is still the same.
    Same,
    /// No file at all.
    Absent(Misnamed, Option<CommitId>),
    /// Something that GitLab would not read, because of this.
    Unfit(String, CommitId),
    /// It may not be read.
    Refused(StatusCode),
    /// There is nothing to read it from now.
    Unread,
}

/// Whether there is a `config.yml`, which GitLab does not look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Misnamed {
    Is,
    #[default]
    IsNot,
}

/// How often a call is made again, after a while, before the next agent's turn.
const TRIES: usize = 3;

impl GitLab {
    /// The files of those of these agents that are GitLab's, and of all that GitLab vouches for, and the work of reading them: run it
    /// until the process stops. If GitLab's secret is known, GitLab is handed them.
    pub fn agent_files(
        &self,
        agents: &Agents,
        sources: Sources,
        config: AgentFilesConfig,
    ) -> (Arc<AgentFiles>, AgentFilesWork) {
        let configured = configured(agents);
        let seen = configured.iter().map(|agent| agent.id);
        let seen = seen.map(|agent| (agent, Seen::default())).collect();
        let files = Arc::new(AgentFiles {
            configured: Mutex::new(configured),
            vouched_for: Arc::clone(&self.names),
            seen: Mutex::new(seen),
            wanted: Wanted::default(),
            calls: Counts::new(Outcome::ALL),
        });
        let work = AgentFilesWork {
            files: Arc::clone(&files),
            line: Arc::clone(&self.line),
            sources,
            secret: self.secret.clone(),
            config,
        };
        (files, work)
    }
}

impl Default for AgentFilesStats {
    fn default() -> Self {
        Self {
            states: FileState::ALL.map(|state| (state, 0)),
            accepted: 0,
            dropped: 0,
            unposted: 0,
        }
    }
}

impl AgentFiles {
    /// These stand in the configuration from now on. The files of those that are new there are read at once.
    pub fn configure(&self, agents: &Agents) {
        let configured = configured(agents);
        let mut seen = self.seen.lock();
        let ids = configured.iter().map(|agent| agent.id);
        let new: Vec<_> = ids.filter(|id| !seen.contains_key(id)).collect();
        seen.extend(new.iter().map(|id| (*id, Seen::default())));
        drop(seen);
        *self.configured.lock() = configured;
        self.wanted.add(new);
    }

    /// Somebody has pushed to this project: the files of its agents are read at once.
    pub fn pushed(&self, project: ProjectId, path: &FullPath) {
        let configured = self.configured.lock();
        let of_project = configured.iter().filter(|agent| agent.is_of(project, path));
        let of_project: Vec<_> = of_project.map(|agent| agent.id).collect();
        drop(configured);
        let vouched_for = self.vouched_for.of_project(project);
        self.wanted.add(of_project.into_iter().chain(vouched_for));
    }

    /// GitLab has vouched for this agent, which is connected: its file is read at once, unless it has been before.
    pub fn connected(&self, agent: AgentId) {
        let is_read = {
            let seen = self.seen.lock();
            let seen = seen.get(&agent);
            seen.is_some_and(|seen| seen.state() != FileState::Unread)
        };
        if !is_read {
            self.wanted.add([agent]);
        }
    }

    /// Why GitLab does not list an agent for a job, by the agent's file, if that is known and in force.
    pub(crate) fn why_unlisted(
        &self,
        agent: AgentId,
        job: &JobIdentity,
        place: &JobPlace,
    ) -> Option<NotAllowed> {
        let kept = {
            let seen = self.seen.lock();
            seen.get(&agent)?.in_force()?
        };
        let file = (&kept.home, &kept.file);
        Some(why_unlisted(agent, &kept.name, file, (job, place)))
    }

    /// How files stand.
    #[must_use]
    pub fn stats(&self) -> AgentFilesStats {
        let seen = self.seen.lock();
        let count = |state| seen.values().filter(|seen| seen.state() == state).count();
        AgentFilesStats {
            states: FileState::ALL.map(|state| (state, count(state))),
            accepted: seen.values().map(|seen| seen.grants().accepted).sum(),
            dropped: seen.values().map(|seen| seen.grants().dropped).sum(),
            unposted: seen.values().filter(|seen| seen.is_due()).count(),
        }
    }

    /// All agents, of those in the configuration what it says of them.
    fn watched(&self) -> Vec<Watched> {
        let mut vouched_for = self.vouched_for.all();
        let mut all = self.configured.lock().clone();
        for agent in &mut all {
            let said = vouched_for.remove(&agent.id);
            agent.repository = said.and_then(|said| said.repository);
        }
        let others = vouched_for.into_iter();
        all.extend(others.map(|(id, said)| Watched::vouched_for(id, said)));
        all
    }

    /// Of agents that are gone nothing is kept.
    fn forget_others(&self, agents: &[Watched]) {
        let ids: HashSet<_> = agents.iter().map(|agent| agent.id).collect();
        self.seen.lock().retain(|id, _| ids.contains(id));
    }

    fn of<T>(&self, agent: AgentId, what: impl FnOnce(&mut Seen) -> T) -> T {
        what(self.seen.lock().entry(agent).or_default())
    }

    /// What became of the calls for them.
    #[must_use]
    pub fn calls(&self) -> QuestionStats {
        QuestionStats {
            question: Question::AgentFile,
            calls: self.calls.read(),
            lookups: Vec::new(),
            ended: Vec::new(),
            known: 0,
            known_bytes: 0,
            overdue: 0,
        }
    }
}

impl AgentFilesWork {
    /// Runs until dropped.
    pub async fn run(self) {
        loop {
            // Several relays should not ask all at once.
            let share = rand::rng().random_range(0.8..=1.0);
            let next = Instant::now() + self.config.every.mul_f64(share);
            let agents = self.files.watched();
            self.files.forget_others(&agents);
            for agent in &agents {
                self.look(agent).await;
                self.look_at_the_wanted().await;
            }
            while timeout_at(next, self.files.wanted.some()).await.is_ok() {
                self.look_at_the_wanted().await;
            }
        }
    }

    /// Reads those files that are not to wait for their turn.
    async fn look_at_the_wanted(&self) {
        let wanted = self.files.wanted.take();
        if wanted.is_empty() {
            return;
        }
        let agents = self.files.watched();
        for agent in agents.iter().filter(|agent| wanted.contains(&agent.id)) {
            self.look(agent).await;
        }
    }

    /// Reads one file, and hands it to GitLab if it is another one than before.
    async fn look(&self, agent: &Watched) {
        for _ in 0..TRIES {
            let Err(snag) = self.try_to_look(agent).await else {
                return;
            };
            sleep(snag.retry_after).await;
        }
    }

    async fn try_to_look(&self, agent: &Watched) -> Result<(), Snag> {
        let found = self.find(agent).await?;
        self.note(agent, found);
        match &self.secret {
            Some(secret) => self.post(agent, secret).await,
            None => {
                self.files.of(agent.id, Seen::forget_what_is_due);
                Ok(())
            }
        }
    }

    async fn find(&self, agent: &Watched) -> Result<Found, Snag> {
        if let Some(found) = self.find_in_gitaly(agent).await {
            return Ok(found);
        }
        match &self.sources.token {
            Some(token) => self.find_by_api(agent, token).await,
            None => Ok(Found::Unread),
        }
    }

    fn note(&self, agent: &Watched, found: Found) {
        let home = Home {
            project: agent.project.clone(),
            is_personal: false,
            has_instance_authorization: self.config.has_instance_authorization,
        };
        self.files.of(agent.id, |seen| match found {
            Found::File(text, commit) => seen.take(agent, &home, &text, commit),
            Found::Same => seen.is_the_same(),
            Found::Absent(misnamed, commit) => seen.miss(agent, misnamed, commit),
            Found::Unfit(why, commit) => seen.spurn(agent, &why, commit),
            Found::Refused(status) => seen.refuse(agent, status),
            Found::Unread => seen.lose(),
        });
    }

    /// Waits for the next call's turn.
    async fn asker(&self) -> Asker<'_> {
        while let Some(snag) = self.line.is_left_alone() {
            sleep(snag.retry_after).await;
        }
        self.line.turn(Urgency::New).await;
        Asker::new(&self.line, &self.files.calls, Urgency::New)
    }
}

/// Those that are GitLab's.
fn configured(agents: &Agents) -> Vec<Watched> {
    let agents = agents.at_gitlab();
    agents.map(|agent| Watched::configured(agent)).collect()
}

/// As long as GitLab has asked for.
async fn rest(wait: Option<Duration>) {
    if let Some(wait) = wait {
        sleep(wait).await;
    }
}
