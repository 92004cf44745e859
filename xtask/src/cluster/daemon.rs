//! A program that runs for as long as the cluster: in a process group of its own, so that the terminal's Ctrl-C does not
//! reach it, with its output in a log.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::record::Record;
use crate::command::last_lines;
use crate::wait::{self, Look};

/// A running program. Dropping it does not stop it; the cluster does, for all it started.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(super) fn start(record: &Record, name: &str, mut command: Command) -> Result<Self> {
        let log = record.logs().join(format!("{name}.log"));
        let output = File::options()
            .append(true)
            .create(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .current_dir(record.folder())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        record.note_process(Pid::from_child(&child))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |log| String::from_utf8_lossy(&log).into_owned(),
        )
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// How it ended, and the end of its log.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended ({status}):\n{}",
                self.name,
                last_lines(&self.log(), 20)
            );
        }
        Ok(())
    }

    /// Asks it to end, and kills it when it has not within `grace`.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn stop(&mut self, grace: Duration) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(pid, Signal::TERM)?;
        let ended = wait::until(grace, &format!("{} to end", self.name), || {
            Ok(Look::from(self.child.try_wait()?))
        });
        if ended.is_err() {
            kill_process_group(pid, Signal::KILL)?;
            self.child.wait()?;
        }
        Ok(())
    }

    /// Kills it, as a crash would.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Takes note of an end that somebody else brought about, so that no zombie stays.
    pub(super) fn reap(&mut self) {
        let _ = self.child.try_wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.reap();
    }
}
