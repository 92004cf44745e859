//! `adit` as a process: a relay or an agent, with its log in a file. Invariant: when the value goes, the process is gone, and
//! if this test binary is killed instead, the guard of [`Processes`] sees to it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use xtask::{
    cluster::{Daemon, Processes},
    command::last_lines,
};

use crate::{
    until::{SOON, until_within},
    world::World,
};

pub struct Process {
    processes: Arc<Processes>,
    adit: PathBuf,
    subcommand: &'static str,
    folder: PathBuf,
    daemon: Daemon,
}

impl Process {
    /// Starts `adit relay` or `adit agent` with the configuration `relay.yaml` or `agent.yaml` in its folder.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(world: &World, subcommand: &'static str, folder: &Path) -> Self {
        let (adit, processes) = (world.adit.clone(), Arc::clone(&world.processes));
        let daemon = begin(&processes, &adit, subcommand, folder);
        Self {
            processes,
            adit,
            subcommand,
            folder: folder.to_owned(),
            daemon,
        }
    }

    /// Where its configuration is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it again after its end. Its log goes on.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn revive(&mut self) {
        self.daemon = begin(&self.processes, &self.adit, self.subcommand, &self.folder);
    }

    /// SIGKILL: no goodbye, nothing flushed.
    pub fn kill(&mut self) {
        self.daemon.kill().unwrap();
    }

    /// SIGTERM, as a kubelet or an init sends it; it must end well within that time.
    ///
    /// # Panics
    ///
    /// When it lives on, or does not end with 0.
    pub fn stop(&mut self, within: Duration) {
        let id = Pid::from_raw(self.daemon.id().cast_signed()).expect("a process has an id");
        kill_process(id, Signal::TERM).unwrap();
        let what = format!("{} has ended", self.subcommand);
        let how = until_within(within, &what, || self.daemon.check().err()).to_string();
        assert!(how.contains("(exit status: 0)"), "{how}");
    }

    /// Waits for `is_ready`, as long as it lives.
    ///
    /// # Panics
    ///
    /// When it ends first.
    pub fn until_ready(&mut self, mut is_ready: impl FnMut() -> bool) {
        until_within(SOON, &format!("{} is ready", self.subcommand), || {
            self.daemon.check().unwrap();
            is_ready().then_some(())
        });
    }

    /// Prints the end of its log, for a failure.
    pub fn show(&self) {
        eprintln!(
            "--- the end of the log of the {} ---\n{}",
            self.subcommand,
            last_lines(&self.daemon.log(), SHOWN)
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show();
        }
        // One that has ended already cannot be killed, and need not be.
        let _ = self.daemon.kill();
    }
}

fn begin(processes: &Processes, adit: &Path, subcommand: &str, folder: &Path) -> Daemon {
    let mut command = Command::new(adit);
    command
        .args([subcommand, "--config"])
        .arg(folder.join(subcommand).with_extension("yaml"))
        .env("NO_COLOR", "1");
    // As unique as the folder.
    let name = folder
        .file_name()
        .expect("it is a folder of the world's")
        .to_string_lossy();
    processes.start(&name, command).unwrap()
}

/// Lines of a log that a failure shows.
const SHOWN: usize = 40;
