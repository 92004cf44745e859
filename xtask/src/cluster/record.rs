//! What must be undone, written down in the cluster's folder before or right when it is done, so that another process
//! can undo it.
//!
//! `processes` has a line per process, `sysctls` what the kernel's settings were; the file `node` says that there is a
//! real node. `sweep.rs` reads all three.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::Pid;

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Record {
    folder: PathBuf,
}

/// A process as it was noted. Its start time tells it from a later one with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) pid: Pid,
    started: Option<u64>,
}

impl Record {
    /// A new folder, which only its owner can read: it holds keys.
    pub(super) fn create() -> Result<Self> {
        // Not below a long path: sockets lie in it, whose paths may have 107 bytes.
        let folder = tempfile::Builder::new()
            .prefix("adit-")
            .tempdir_in("/tmp")
            .context("cannot make a folder in /tmp")?
            .keep();
        let record = Self { folder };
        fs::create_dir_all(record.logs())?;
        Ok(record)
    }

    pub(super) fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Whether a cluster made this folder; what is swept is removed, so it had better be.
    pub(super) fn is_one(&self) -> bool {
        self.logs().is_dir() && self.folder.starts_with("/tmp")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    pub(super) fn note_process(&self, pid: Pid) -> Result<()> {
        let started = started(pid)
            .map(|ticks| ticks.to_string())
            .unwrap_or_default();
        self.append("processes", &format!("{} {started}", pid.as_raw_nonzero()))
    }

    /// Newest first.
    pub(super) fn processes(&self) -> Vec<Noted> {
        let mut processes: Vec<_> = self
            .lines("processes")
            .iter()
            .filter_map(|line| Noted::parse(line))
            .collect();
        processes.reverse();
        processes
    }

    pub(super) fn note_sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.append("sysctls", &format!("{name} {value}"))
    }

    pub(super) fn sysctls(&self) -> Vec<(String, String)> {
        let pair = |line: &String| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.to_owned()))
        };
        self.lines("sysctls").iter().filter_map(pair).collect()
    }

    pub(super) fn note_real_node(&self) -> Result<()> {
        self.append("node", "real")
    }

    /// The cluster is to outlive the process that started it.
    pub(super) fn note_kept(&self) -> Result<()> {
        self.append("kept", "yes")
    }

    pub(super) fn is_kept(&self) -> bool {
        self.path("kept").exists()
    }

    pub(super) fn has_real_node(&self) -> bool {
        self.path("node").exists()
    }

    fn append(&self, name: &str, line: &str) -> Result<()> {
        let path = self.path(name);
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Noted {
    fn parse(line: &str) -> Option<Self> {
        let (pid, started) = line.split_once(' ')?;
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            started: started.parse().ok(),
        })
    }

    /// Whether that very process still runs; one that only waits to be reaped does not.
    pub(super) fn is_running(&self) -> bool {
        if cfg!(target_os = "linux") {
            started(self.pid).is_some_and(|ticks| Some(ticks) == self.started)
        } else {
            rustix::process::test_kill_process(self.pid).is_ok()
        }
    }
}

/// When a running process started, in clock ticks since the machine did; proc(5), field 22 of `stat`.
fn started(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name before it may hold anything, spaces and brackets too.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_newest_first() {
        let folder = tempfile::TempDir::new().unwrap();
        let record = Record::open(folder.path());
        let this = rustix::process::getpid();
        record.note_process(Pid::INIT).unwrap();
        record.note_process(this).unwrap();
        record.note_sysctl("kernel/panic", "0").unwrap();
        let processes = record.processes();
        assert_eq!(processes[0].pid, this);
        assert!(processes[0].is_running());
        assert_eq!(
            record.sysctls(),
            [("kernel/panic".to_owned(), "0".to_owned())]
        );
        assert!(!record.has_real_node());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn process_with_the_id_of_an_earlier_one_is_not_taken_for_it() {
        let this = rustix::process::getpid();
        let earlier = Noted {
            pid: this,
            started: Some(1),
        };
        assert!(!earlier.is_running());
    }
}
