//! What was last known of one agent's file, and whether GitLab has it.
//! Invariants:
//!  - No text of a file is kept, and what it says only until GitLab has it.
//!  - An agent that has had no file as long as this relay runs is not handed over as one without grants: perhaps it is called otherwise
//!    at GitLab.

use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    report::{self, Grants},
    watched::Watched,
};
use crate::Home;

/// How the file of an agent stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// It has no mistake.
    Good,
    /// There is none, and none is needed.
    Absent,
    /// It has a mistake; the one before it holds.
    Wrong,
    /// It has not been read, or may not be any more.
    #[default]
    Unread,
}

/// Of one agent.
#[derive(Debug, Default)]
pub(super) struct Seen {
    state: FileState,
    /// SHA-256 of what `state` is about. None if there was no file.
    digest: Option<Box<[u8]>>,
    /// Why it may not be read.
    refused: Option<StatusCode>,
    /// Of the last file without a mistake.
    grants: Grants,
    has_had_a_file: bool,
    /// What GitLab should be handed.
    due: Option<Value>,
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
    pub(super) fn take(&mut self, agent: &Watched, home: &Home, text: &[u8]) {
        self.refused = None;
        let digest = Some(digest(&SHA256, text).as_ref().into());
        if self.state != FileState::Unread && self.digest == digest {
            return;
        }
        match report::read(agent, text) {
            Some(file) => {
                self.state = FileState::Good;
                self.grants = report::grants(agent, home, &file);
                self.due = Some(file.configuration().clone());
            }
            None => self.state = FileState::Wrong,
        }
        self.has_had_a_file = true;
        self.digest = digest;
    }

    /// Takes in that there is no file.
    pub(super) fn miss(&mut self, agent: &Watched) {
        self.refused = None;
        if self.state == FileState::Absent {
            return;
        }
        report::absent(agent);
        self.state = FileState::Absent;
        self.digest = None;
        self.grants = Grants::default();
        if self.has_had_a_file {
            self.due = Some(json!({}));
        }
    }

    /// Takes in that it may not be read.
    pub(super) fn refuse(&mut self, agent: &Watched, status: StatusCode) {
        if self.refused != Some(status) {
            report::refused(agent, status);
        }
        self.refused = Some(status);
        self.state = FileState::Unread;
    }

    pub(super) fn state(&self) -> FileState {
        self.state
    }

    pub(super) fn grants(&self) -> Grants {
        self.grants
    }

    /// What GitLab should be handed and has not been.
    pub(super) fn due(&self) -> Option<&Value> {
        self.due.as_ref()
    }

    /// GitLab has been handed it, or is not to be.
    pub(super) fn forget_what_is_due(&mut self) {
        self.due = None;
    }
}
