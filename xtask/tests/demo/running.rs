//! What a demo has going on the machine, by the records of its folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// What a demo has going.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) processes: Vec<Pid>,
}

impl Running {
    pub(crate) fn in_folders(folders: Vec<PathBuf>) -> Self {
        let processes = folders.iter().flat_map(|folder| noted(folder)).collect();
        Self { folders, processes }
    }

    /// SIGKILL for the processes of adit with this subcommand.
    pub(crate) fn kill(&self, subcommand: &str) {
        for process in &self.processes {
            let words = command_line(process.as_raw_nonzero().get().cast_unsigned());
            if words.get(1).is_some_and(|word| word == subcommand) {
                kill_process(*process, Signal::KILL).unwrap();
            }
        }
    }

    pub(crate) fn is_gone(&self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        for folder in &self.folders {
            assert!(!folder.exists(), "{} is left", folder.display());
            let place = folder.to_str().unwrap();
            assert!(!mounts.contains(place), "{place} in {mounts}");
        }
        let node = ["/sys/class/net/adit0", "/sys/fs/cgroup/adit-node"];
        let left: Vec<_> = node
            .iter()
            .filter(|path| Path::new(path).exists())
            .collect();
        // As soon as we have no real node, another process may.
        let last = fs::read_to_string("/tmp/adit-node.lock").unwrap_or_default();
        let is_ours = self
            .folders
            .iter()
            .any(|folder| *folder == Path::new(&last));
        assert!(left.is_empty() || !is_ours, "{left:?}");
        // Whoever adopted them reaps them in its own time.
        let end = Instant::now() + Duration::from_secs(10);
        for process in &self.processes {
            while test_kill_process(*process).is_ok() {
                assert!(Instant::now() < end, "{process:?} is left");
                thread::yield_now();
            }
        }
    }
}

/// The processes that a folder's record has.
fn noted(folder: &Path) -> Vec<Pid> {
    let record = fs::read_to_string(folder.join("processes")).unwrap_or_default();
    let id = |line: &str| Pid::from_raw(line.split(' ').next()?.parse().ok()?);
    record.lines().filter_map(id).collect()
}

/// The processes below one.
pub(crate) fn descendants(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    children
        .flat_map(|id| [vec![id], descendants(id)].concat())
        .collect()
}

pub(crate) fn command_line(id: u32) -> Vec<String> {
    let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split('\0').map(str::to_owned).collect()
}
