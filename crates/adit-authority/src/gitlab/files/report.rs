//! What a file that is new or has changed says, told once, in the log.
//! Invariant: a file that is full of mistakes does not fill the log.

use std::error::Error as _;

use http::StatusCode;

use super::watched::Watched;
use crate::{
    AgentFile, Home,
    agent_file::{Finding, Findings},
    gitlab::gitaly::GitalyError,
};

/// How many grants of a file GitLab takes, and how many it drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grants {
    pub(super) accepted: usize,
    pub(super) dropped: usize,
}

/// Lines of each kind about one file.
const MOST_LINES: usize = 100;

/// The file, if there is no mistake in it.
pub(super) fn read(agent: &Watched, text: &[u8]) -> Option<AgentFile> {
    let (id, name) = (agent.id, &agent.name);
    let mut findings = Findings::default();
    // Bytes that are no text are no part of a value that passes.
    let file = AgentFile::read(&String::from_utf8_lossy(text), &mut findings);
    for Finding { place, key, what } in findings.mistakes.iter().take(MOST_LINES) {
        tracing::warn!(
            agent.id = %id, agent.name = %name, %place, %key, error = what,
            "a mistake in an agent's file at GitLab; the file before it holds"
        );
    }
    for Finding { place, key, what } in findings.warnings.iter().take(MOST_LINES) {
        tracing::warn!(
            agent.id = %id, agent.name = %name, %place, %key, error = what,
            "something odd in an agent's file at GitLab"
        );
    }
    file
}

/// What GitLab makes of the grants of a file.
pub(super) fn grants(agent: &Watched, home: &Home, file: &AgentFile) -> Grants {
    let (id, name) = (agent.id, &agent.name);
    let mut grants = Grants::default();
    for (entry, dropped) in file.for_jobs(home).into_iter().chain(file.for_users(home)) {
        let key = &entry.key;
        if let Some(why) = dropped {
            grants.dropped += 1;
            if grants.dropped <= MOST_LINES {
                tracing::warn!(agent.id = %id, agent.name = %name, %key, %entry, error = %why, "GitLab drops a grant");
            }
        } else {
            grants.accepted += 1;
            if grants.accepted <= MOST_LINES {
                tracing::info!(agent.id = %id, agent.name = %name, %key, %entry, "GitLab takes a grant");
            }
        }
    }
    tracing::info!(
        agent.id = %id, agent.name = %name, accepted = grants.accepted, dropped = grants.dropped,
        "an agent's file at GitLab is another one"
    );
    grants
}

/// An agent that has no file.
pub(super) fn absent(agent: &Watched) {
    tracing::info!(
        agent.id = %agent.id, agent.name = %agent.name,
        "an agent has no file at GitLab and is for jobs of its own project"
    );
}

/// What stands where the file should be is none that is read.
pub(super) fn unfit(agent: &Watched, why: &str) {
    tracing::warn!(
        agent.id = %agent.id, agent.name = %agent.name, file = &*agent.file, error = why,
        "an agent's file at GitLab is of no use; the file before it holds"
    );
}

/// There is a file that looks like one.
pub(super) fn misnamed(agent: &Watched) {
    tracing::warn!(
        agent.id = %agent.id, agent.name = %agent.name,
        "an agent's file at GitLab is called `config.yml`, and is not read: GitLab reads `config.yaml`"
    );
}

/// Gitaly does not answer for a file.
pub(super) fn no_gitaly(agent: &Watched, error: &GitalyError) {
    let server = match &agent.repository {
        Some(Ok(repository)) => Some(repository.server.address().to_string()),
        Some(Err(_)) | None => None,
    };
    tracing::warn!(
        agent.id = %agent.id, agent.name = %agent.name, server, error = told(error),
        "Gitaly cannot be asked for an agent's file; the one that was read last holds"
    );
}

/// It answers again.
pub(super) fn gitaly_again(agent: &Watched) {
    tracing::info!(
        agent.id = %agent.id, agent.name = %agent.name,
        "Gitaly answers again for an agent's file"
    );
}

/// With its cause.
fn told(error: &GitalyError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A file that may not be read.
pub(super) fn refused(agent: &Watched, status: StatusCode) {
    let (id, name, asked) = (agent.id, &agent.name, &*agent.target);
    if status == StatusCode::NOT_FOUND {
        tracing::warn!(
            agent.id = %id, agent.name = %name, http.status = status.as_u16(), asked,
            "GitLab shows no such project for an agent's file: `project_id` of the agent in this relay's configuration is another one's, or the project is not for the token in `agent_files.token_file`"
        );
    } else {
        tracing::warn!(
            agent.id = %id, agent.name = %name, http.status = status.as_u16(), asked,
            "GitLab does not let an agent's file be read: the token in `agent_files.token_file` needs the scope `read_repository` in the agent's project"
        );
    }
}
