//! `adit` as a process: a relay or an agent, with its log in a file. Invariant: when the value goes, the process is gone.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::until::until_within;

pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; its log is appended to what its predecessor of the same name left.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// SIGKILL: no goodbye, nothing flushed.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, as a kubelet or an init sends it.
    pub fn ask_to_stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it lives on, or did not end well.
    pub fn ended_well(&mut self, within: Duration) {
        let status = until_within(within, &format!("{} has ended", self.name), || {
            self.child.try_wait().unwrap()
        });
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Waits for `is_ready`, as long as it lives.
    ///
    /// # Panics
    ///
    /// When it ends first.
    pub fn until_ready(&mut self, mut is_ready: impl FnMut() -> bool) {
        until_within(
            crate::until::SOON,
            &format!("{} is ready", self.name),
            || {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "{} ended: {}", self.name, self.tail());
                is_ready().then_some(())
            },
        );
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// Prints the end of its log, for a failure.
    pub fn show(&self) {
        eprintln!(
            "--- the end of the log of {} ---\n{}",
            self.name,
            self.tail()
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show();
        }
        self.kill();
    }
}

/// Lines of a log that a failure shows.
const SHOWN: usize = 40;
