//! Agents' files at GitLab, read again and again with a token that may read them, and before their turn when somebody pushes to their
//! project. What is wrong with a file is told when it changes, and a file without mistakes is handed to GitLab, which learns of grants in
//! no other way. Run by the relay beside its shards.
//!
//! Invariants:
//!  - One call at a time, none while GitLab is left alone, and behind those about tokens: see [`super::line`].
//!  - A file with a mistake, or one that cannot be read, changes nothing: what GitLab was handed last holds.

mod config;
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

use adit_identity::{AgentId, FullPath, ProjectId};
use bytes::Bytes;
use http::{HeaderName, Request, StatusCode};
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout_at};

pub use config::{AgentFilesConfig, RawAgentFiles};
pub use read_token::{BadReadToken, ReadToken};
pub use seen::FileState;

use super::{
    AgentNames, ApiSecret, GitLab, Outcome, Question, QuestionStats,
    line::{Asker, Line, Said, Snag},
    pace::Urgency,
    stats::Counts,
};
use crate::{Agents, Home};
use seen::Seen;
use wanted::Wanted;
use watched::Watched;

/// What is known of the files of all agents that are GitLab's.
#[derive(Debug)]
pub struct AgentFiles {
    configured: Vec<Watched>,
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
    token: Arc<ReadToken>,
    /// If GitLab takes files from this relay.
    secret: Option<Arc<ApiSecret>>,
    config: AgentFilesConfig,
}

/// What GitLab says of a file.
enum Found {
    File(Bytes),
    Absent,
    Refused(StatusCode),
}

const TOKEN: HeaderName = HeaderName::from_static("private-token");
/// How often a call is made again, after a while, before the next agent's turn.
const TRIES: usize = 3;
/// In GitLab's 404, when it has let us look: no such file, and nothing in the repository at all. Otherwise it does not know the project,
/// or us.
const NO_FILE: [&[u8]; 2] = [b"404 File Not Found", b"404 Commit Not Found"];

impl GitLab {
    /// The files of those of these agents that are GitLab's, and of all that GitLab vouches for, and the work of reading them: run it
    /// until the process stops. If GitLab's secret is known, GitLab is handed them.
    pub fn agent_files(
        &self,
        agents: &Agents,
        token: Arc<ReadToken>,
        config: AgentFilesConfig,
    ) -> (Arc<AgentFiles>, AgentFilesWork) {
        let configured: Vec<_> = agents
            .at_gitlab()
            .map(|agent| Watched::configured(agent))
            .collect();
        let seen = configured
            .iter()
            .map(|agent| (agent.id, Seen::default()))
            .collect();
        let files = Arc::new(AgentFiles {
            configured,
            vouched_for: Arc::clone(&self.names),
            seen: Mutex::new(seen),
            wanted: Wanted::default(),
            calls: Counts::new(Outcome::ALL),
        });
        let work = AgentFilesWork {
            files: Arc::clone(&files),
            line: Arc::clone(&self.line),
            token,
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
    /// Somebody has pushed to this project: the files of its agents are read at once.
    pub fn pushed(&self, project: ProjectId, path: &FullPath) {
        let configured = self.configured.iter();
        let configured = configured.filter(|agent| agent.is_of(project, path));
        let vouched_for = self.vouched_for.of_project(project);
        self.wanted
            .add(configured.map(|agent| agent.id).chain(vouched_for));
    }

    /// GitLab has vouched for this agent, which is connected: its file is read at once, unless it has been before.
    pub fn connected(&self, agent: AgentId) {
        let is_known = self.seen.lock().contains_key(&agent);
        if !is_known {
            self.wanted.add([agent]);
        }
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
            unposted: seen.values().filter(|seen| seen.due().is_some()).count(),
        }
    }

    /// All agents, of those in the configuration what it says of them.
    fn watched(&self) -> Vec<Watched> {
        let mut all = self.configured.clone();
        let is_configured = |id| self.configured.iter().any(|agent| agent.id == id);
        let others = self.vouched_for.all().into_iter();
        all.extend(
            others
                .filter(|(id, ..)| !is_configured(*id))
                .map(|(id, project, named)| Watched::vouched_for(id, project, named)),
        );
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
        let answer = self.asker().await.ask(self.request(agent)).await?;
        let found = match answer.said {
            Said::Yes(text) => Found::File(text),
            Said::No(StatusCode::NOT_FOUND, words) if says_no_file(&words) => Found::Absent,
            Said::No(status, _) => Found::Refused(status),
        };
        rest(answer.rest).await;
        Ok(found)
    }

    fn note(&self, agent: &Watched, found: Found) {
        let home = Home {
            project: agent.project.clone(),
            is_personal: false,
            has_instance_authorization: self.config.has_instance_authorization,
        };
        self.files.of(agent.id, |seen| match found {
            Found::File(text) => seen.take(agent, &home, &text),
            Found::Absent => seen.miss(agent),
            Found::Refused(status) => seen.refuse(agent, status),
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

    fn request(&self, agent: &Watched) -> Request<Bytes> {
        let request = Request::get(&*agent.target).header(TOKEN, self.token.shown());
        let request = request.body(Bytes::new());
        request.expect("paths and labels have no character that a target has not")
    }
}

fn says_no_file(words: &[u8]) -> bool {
    NO_FILE
        .iter()
        .any(|said| words.windows(said.len()).any(|window| window == *said))
}

/// As long as GitLab has asked for.
async fn rest(wait: Option<Duration>) {
    if let Some(wait) = wait {
        sleep(wait).await;
    }
}
