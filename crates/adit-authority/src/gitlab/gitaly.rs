//! Gitaly, which holds GitLab's repositories: where a branch points, a file of a commit, the files of a folder. GitLab says where it is
//! and with which token it is asked, of each agent that it vouches for (`gitlab/agents.rs`), and with each of its own questions.
//!
//! Invariants:
//!  - A server that fails is left alone for a while, and none is asked more often than GitLab's own agent server would.
//!  - Gitaly's token leaves this module only as a proof that is good for half a minute.

mod address;
mod advertisement;
mod config;
mod error;
mod repository;
mod server;
mod transport;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use adit_identity::Label;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

pub use address::{Address, BadAddress};
pub use advertisement::{Advertisement, BadAdvertisement, CommitId};
pub use config::{GitalyConfig, RawGitaly};
pub use error::GitalyError;
pub use repository::Repository;
pub(super) use repository::{RawRepository, Whereabouts};
pub(super) use server::RawServer;
pub use server::Server;
pub use transport::{AskGitaly, GitalyAnswer, MAX_FILE_BYTES};

use super::{
    breaker::Breaker,
    pace::{Pace, Urgency},
    stats::{Counts, GitalyOutcome},
};

/// All Gitalys of a GitLab. Shared by all who ask.
#[derive(Debug)]
pub struct Gitaly {
    transport: Arc<dyn AskGitaly>,
    config: GitalyConfig,
    known: Mutex<Known>,
    calls: Counts<GitalyOutcome>,
}

/// An agent's file, as it stands in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentsFile {
    /// From the root of the repository.
    pub path: Box<str>,
    /// Whose it is, or would be.
    pub agent: Label,
}

#[derive(Debug)]
struct Known {
    /// Of all servers together.
    pace: Pace,
    servers: HashMap<Address, State>,
}

/// Of one server.
#[derive(Debug)]
struct State {
    pace: Pace,
    breaker: Breaker,
    last: Option<GitalyOutcome>,
}

/// Where agents' files are.
const FOLDER: &str = ".gitlab/agents";
/// Servers remembered; beyond that those that are not being asked are forgotten.
const MOST_SERVERS: usize = 1000;

impl Gitaly {
    /// Asks over this.
    pub fn new(config: GitalyConfig, transport: Arc<dyn AskGitaly>) -> Self {
        let pace = Pace::new(
            config.calls_per_second,
            config.calls_at_once,
            Instant::now(),
        );
        Self {
            transport,
            config,
            known: Mutex::new(Known {
                pace,
                servers: HashMap::new(),
            }),
            calls: Counts::new(GitalyOutcome::ALL),
        }
    }

    /// The commit that the default branch is at. None if there is no such branch, as in a repository in which nothing is yet. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Gitaly does not say.
    pub async fn head(&self, of: &Repository) -> Result<Option<CommitId>, GitalyError> {
        self.ask(of, |proof| self.transport.head(of, proof)).await
    }

    /// A file of a commit, if there is one. Cancel-safe.
    ///
    /// # Errors
    ///
    /// It is none that GitLab would read, or Gitaly does not say.
    pub async fn file(
        &self,
        of: &Repository,
        at: &CommitId,
        path: &str,
    ) -> Result<Option<Bytes>, GitalyError> {
        self.ask(of, |proof| self.transport.file(of, proof, at, path))
            .await
    }

    /// The paths of all files below a folder of a commit or a branch. None, if there is no such folder, commit or branch.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// Gitaly does not say.
    pub async fn files_below(
        &self,
        of: &Repository,
        revision: &str,
        folder: &str,
    ) -> Result<Vec<Box<str>>, GitalyError> {
        self.ask(of, |proof| {
            self.transport.files_below(of, proof, revision, folder)
        })
        .await
    }

    /// The agents' files of a branch, such as `HEAD`, whether GitLab knows the agents or not. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Gitaly does not say.
    pub async fn agents_files(
        &self,
        of: &Repository,
        branch: &str,
    ) -> Result<Vec<AgentsFile>, GitalyError> {
        let paths = self.files_below(of, branch, FOLDER).await?;
        Ok(paths.into_iter().filter_map(AgentsFile::at).collect())
    }

    /// What became of the calls.
    #[must_use]
    pub fn calls(&self) -> Vec<(GitalyOutcome, u64)> {
        self.calls.read()
    }

    /// How many servers there are, by how the last call to them ended.
    #[must_use]
    pub fn servers(&self) -> Vec<(GitalyOutcome, usize)> {
        let known = self.known.lock();
        let count = |outcome| {
            let servers = known.servers.values();
            servers.filter(|state| state.last == Some(outcome)).count()
        };
        let asked = GitalyOutcome::ALL.iter().copied();
        asked
            .filter(|outcome| *outcome != GitalyOutcome::LeftAlone)
            .map(|outcome| (outcome, count(outcome)))
            .collect()
    }

    async fn ask<'a, T>(
        &'a self,
        of: &'a Repository,
        call: impl FnOnce(HeaderMap) -> GitalyAnswer<'a, T>,
    ) -> Result<T, GitalyError> {
        let server = of.server();
        let answer = match self.admit(server.address()).await {
            Ok(()) => self.send(call(server.metadata(SystemTime::now()))).await,
            Err(alone) => Err(alone),
        };
        self.note(server.address(), GitalyOutcome::of(&answer));
        answer
    }

    async fn send<T>(&self, call: GitalyAnswer<'_, T>) -> Result<T, GitalyError> {
        let late = |_| Err(GitalyError::TimedOut);
        timeout(self.config.timeout, call)
            .await
            .unwrap_or_else(late)
    }

    /// Waits for the next call's turn, unless the server is left alone.
    async fn admit(&self, server: &Address) -> Result<(), GitalyError> {
        loop {
            let now = Instant::now();
            let taken = self.known.lock().take(server, &self.config, now);
            match taken? {
                None => return Ok(()),
                Some(wait) => sleep(wait).await,
            }
        }
    }

    fn note(&self, server: &Address, outcome: GitalyOutcome) {
        self.calls.count(outcome);
        let mut known = self.known.lock();
        let Some(state) = known.servers.get_mut(server) else {
            return;
        };
        match outcome {
            GitalyOutcome::LeftAlone => return,
            // Whoever refuses us, or one repository, is well.
            GitalyOutcome::Answered | GitalyOutcome::Denied | GitalyOutcome::Failed => {
                _ = state.breaker.answered();
            }
            GitalyOutcome::Unreachable | GitalyOutcome::TimedOut => {
                _ = state.breaker.failed(Instant::now());
            }
        }
        state.last = Some(outcome);
    }
}

impl Known {
    /// Takes a call to a server; if it is too early for one, says how long to wait.
    fn take(
        &mut self,
        server: &Address,
        config: &GitalyConfig,
        now: Instant,
    ) -> Result<Option<Duration>, GitalyError> {
        if self.servers.len() >= MOST_SERVERS {
            self.servers.retain(|_, state| !state.pace.is_full(now));
        }
        let state = self.servers.entry(server.clone());
        let state = state.or_insert_with(|| State::new(config, now));
        if state.breaker.closed_to(now).is_some() {
            return Err(GitalyError::LeftAlone);
        }
        if let Err(wait) = self.pace.take(now, Urgency::Known) {
            return Ok(Some(wait));
        }
        if let Err(wait) = state.pace.take(now, Urgency::Known) {
            self.pace.give_back();
            return Ok(Some(wait));
        }
        // It may be that somebody else's call is out to see whether it is well again.
        let admitted = state.breaker.admit(now);
        admitted.map_err(|_| GitalyError::LeftAlone).map(|()| None)
    }
}

impl State {
    fn new(config: &GitalyConfig, now: Instant) -> Self {
        Self {
            pace: Pace::new(
                config.server_calls_per_second,
                config.server_calls_at_once,
                now,
            ),
            breaker: Breaker::new(config.timeout),
            last: None,
        }
    }
}

impl AgentsFile {
    /// The file there, if GitLab would read it.
    fn at(path: Box<str>) -> Option<Self> {
        let below = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (agent, file) = below.split_once('/')?;
        if file != "config.yaml" {
            return None;
        }
        let agent = agent.parse().ok()?;
        Some(Self { path, agent })
    }
}

#[cfg(test)]
mod tests;
