//! What was last known of one agent's file, and whether GitLab has it.
//! Invariants:
//!  - No text of a file is kept. What it says is, once: that of the last one without a mistake, of 128 KiB at most.
//!  - What is said of a commit holds as long as the branch is at it: it is not read again.
//!  - An agent that has had no file as long as this relay runs is not handed over as one without grants: perhaps it is called otherwise
//!    at GitLab.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Misnamed,
    report::{self, Grants},
    watched::Watched,
};
use crate::{
    AgentFile, Home,
    gitlab::{
        gitaly::{CommitId, GitalyError},
        stats::GitalyOutcome,
    },
};

/// How the file of an agent stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// It has no mistake.
    Good,
    /// There is none, and none is needed.
    Absent,
    /// It has a mistake, or is of no use otherwise; the one before it holds.
    Wrong,
    /// It has not been read, or may not be any more.
    #[default]
    Unread,
}

/// Of one agent.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of what was read last.
    state: FileState,
    /// Since then it could not be.
    is_lost: bool,
    /// SHA-256 of what `state` is about. None if there was no file that could be read.
    digest: Option<Box<[u8]>>,
    /// The commit that it is of, if it is known.
    commit: Option<CommitId>,
    misnamed: Misnamed,
    /// Why it may not be read.
    refused: Option<StatusCode>,
    /// How Gitaly failed when it was last asked, if it did.
    gitaly: Option<GitalyOutcome>,
    /// Of the last file without a mistake.
    grants: Grants,
    /// That file; none after one was removed.
    kept: Option<Arc<Kept>>,
    has_had_a_file: bool,
    /// What GitLab should be handed.
    due: Option<Due>,
}

/// A file without a mistake, and whose it is.
#[derive(Debug)]
pub(super) struct Kept {
    /// As people know the agent.
    pub(super) name: Box<str>,
    pub(super) home: Home,
    pub(super) file: AgentFile,
}

/// What GitLab is handed.
#[derive(Clone, Debug)]
enum Due {
    File(Arc<Kept>),
    /// That there is none any more.
    Nothing,
}

impl FileState {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Good, Self::Absent, Self::Wrong, Self::Unread];

    /// The metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Absent => "absent",
            Self::Wrong => "wrong",
            Self::Unread => "unread",
        }
    }
}

impl Seen {
    /// Takes in a file.
    pub(super) fn take(
        &mut self,
        agent: &Watched,
        home: &Home,
        text: &[u8],
        commit: Option<CommitId>,
    ) {
        self.found(commit);
        self.misnamed = Misnamed::IsNot;
        let digest = Some(digest(&SHA256, text).as_ref().into());
        if self.digest == digest {
            return;
        }
        match report::read(agent, text) {
            Some(file) => {
                self.state = FileState::Good;
                self.grants = report::grants(agent, home, &file);
                let kept = Arc::new(Kept {
                    name: agent.name.clone(),
                    home: home.clone(),
                    file,
                });
                self.due = Some(Due::File(Arc::clone(&kept)));
                self.kept = Some(kept);
            }
            None => self.state = FileState::Wrong,
        }
        self.has_had_a_file = true;
        self.digest = digest;
    }

    /// Takes in that there is something in its place that GitLab would not read.
    pub(super) fn spurn(&mut self, agent: &Watched, why: &str, commit: CommitId) {
        self.found(Some(commit));
        report::unfit(agent, why);
        self.state = FileState::Wrong;
        self.has_had_a_file = true;
        self.digest = None;
    }

    /// Takes in that there is no file.
    pub(super) fn miss(&mut self, agent: &Watched, misnamed: Misnamed, commit: Option<CommitId>) {
        self.found(commit);
        let is_news = self.misnamed != misnamed;
        self.misnamed = misnamed;
        if is_news && misnamed == Misnamed::Is {
            report::misnamed(agent);
        }
        if self.state == FileState::Absent {
            return;
        }
        report::absent(agent);
        self.state = FileState::Absent;
        self.digest = None;
        self.grants = Grants::default();
        self.kept = None;
        if self.has_had_a_file {
            self.due = Some(Due::Nothing);
        }
    }

    /// Takes in that the commit is still the same.
    pub(super) fn is_the_same(&mut self) {
        self.refused = None;
        self.is_lost = false;
    }

    /// Takes in that it may not be read.
    pub(super) fn refuse(&mut self, agent: &Watched, status: StatusCode) {
        if self.refused != Some(status) {
            report::refused(agent, status);
        }
        self.refused = Some(status);
        self.is_lost = true;
    }

    /// Takes in that there is nothing to read it from.
    pub(super) fn lose(&mut self) {
        self.is_lost = true;
    }

    /// Takes in whether Gitaly answered.
    pub(super) fn note_gitaly(&mut self, agent: &Watched, error: Option<&GitalyError>) {
        match error {
            // Why, has been told.
            Some(GitalyError::LeftAlone) if self.gitaly.is_some() => {}
            Some(error) => {
                let outcome = GitalyOutcome::of_error(error);
                if self.gitaly.replace(outcome) != Some(outcome) {
                    report::no_gitaly(agent, error);
                }
            }
            None => {
                if self.gitaly.take().is_some() {
                    report::gitaly_again(agent);
                }
            }
        }
    }

    /// Whether all that this commit says is known.
    pub(super) fn is_of(&self, commit: &CommitId) -> bool {
        self.commit.as_ref() == Some(commit)
    }

    fn found(&mut self, commit: Option<CommitId>) {
        self.is_the_same();
        self.commit = commit;
    }

    pub(super) fn state(&self) -> FileState {
        if self.is_lost {
            FileState::Unread
        } else {
            self.state
        }
    }

    pub(super) fn grants(&self) -> Grants {
        self.grants
    }

    /// The file that GitLab goes by, as far as this is known: it has the last one without a mistake.
    pub(super) fn in_force(&self) -> Option<Arc<Kept>> {
        self.kept.clone().filter(|_| self.due.is_none())
    }

    /// Whether there is something that GitLab should be handed and has not been.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// What that is.
    pub(super) fn due(&self) -> Option<Value> {
        match self.due.as_ref()? {
            Due::File(kept) => Some(kept.file.configuration().clone()),
            Due::Nothing => Some(json!({})),
        }
    }

    /// GitLab has been handed it, or is not to be.
    pub(super) fn forget_what_is_due(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use adit_identity::{AgentId, ProjectId};

    use super::*;
    use crate::gitlab::names::{Named, Vouched};

    fn agent() -> Watched {
        let named = Named {
            path: Some("group/agents".parse().unwrap()),
            name: "prod".parse().unwrap(),
        };
        let vouched = Vouched {
            project: ProjectId(7),
            named,
            repository: None,
        };
        Watched::vouched_for(AgentId(1), vouched)
    }

    #[test]
    fn file_in_force_is_the_last_good_one_once_gitlab_has_it() {
        let (agent, home) = (agent(), Home::default());
        let mut seen = Seen::default();
        let grants = |seen: &Seen| {
            let kept = seen.in_force()?;
            Some(kept.file.for_jobs(&kept.home).len())
        };
        seen.take(&agent, &home, b"ci_access: {groups: [{id: group}]}", None);
        assert_eq!(grants(&seen), None);
        seen.forget_what_is_due();
        assert_eq!(grants(&seen), Some(1));
        seen.take(&agent, &home, b"ci_access: []", None);
        assert_eq!(grants(&seen), Some(1));
        seen.take(&agent, &home, b"ci_access: {}", None);
        assert_eq!(grants(&seen), None);
        seen.forget_what_is_due();
        assert_eq!(grants(&seen), Some(0));
        seen.miss(&agent, Misnamed::IsNot, None);
        seen.forget_what_is_due();
        assert_eq!(grants(&seen), None);
    }
}
