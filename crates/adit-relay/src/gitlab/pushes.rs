//! Decides who hears of a push to a project: whoever subscribes while GitLab tells of it.
//!
//! Told by `gitlab/api/notifications.rs`. Invariant: who listens slowly holds up nobody, and misses the oldest of more than [`BEHIND`].

use std::sync::Arc;

use adit_authority::gitlab::AgentFiles;
use adit_identity::{FullPath, ProjectId};
use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};

const BEHIND: usize = 1024;

/// Somebody has pushed to this project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Push {
    pub(crate) project: ProjectId,
    pub(crate) path: FullPath,
}

/// Where pushes are told.
#[derive(Debug)]
pub(crate) struct Pushes(Sender<Push>);

impl Pushes {
    /// Tells all who listen now.
    pub(crate) fn tell(&self, push: Push) {
        // That nobody does is no mistake.
        let _ = self.0.send(push);
    }

    /// Those from now on.
    pub(crate) fn subscribe(&self) -> Receiver<Push> {
        self.0.subscribe()
    }
}

impl Default for Pushes {
    fn default() -> Self {
        Self(Sender::new(BEHIND))
    }
}

/// Has agents' files read when somebody pushes to their project, for ever.
pub(crate) async fn read_files(mut pushes: Receiver<Push>, files: Arc<AgentFiles>) {
    loop {
        match pushes.recv().await {
            Ok(push) => files.pushed(push.project, &push.path),
            // They are read in their turn.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
