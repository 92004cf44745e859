//! Programs beside a cluster that go as surely as it does: a relay, an agent.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::daemon::Daemon;
use super::guard::Guard;
use super::record::Record;

/// A folder, and the programs that run in it. Dropped, both are gone.
#[derive(Debug)]
pub struct Processes {
    guard: Guard,
    record: Record,
}

impl Processes {
    /// None yet.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn none() -> Result<Self> {
        let record = Record::create()?;
        let guard = Guard::start(record.clone())?;
        Ok(Self { guard, record })
    }

    /// Where their logs are, and what else goes with them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.record.folder()
    }

    /// Starts one more; its output goes to `logs/<name>.log` in the folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, name: &str, command: Command) -> Result<Daemon> {
        Daemon::start(&self.record, name, command)
    }

    /// Leaves them running when this process ends.
    ///
    /// # Errors
    /// That cannot be noted; they then go with this value.
    pub fn leave_running(mut self) -> Result<()> {
        self.guard.leave_running()
    }
}
