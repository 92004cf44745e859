//! Child processes, what they spent, and how they end.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::Instant;

/// A process that is killed when let go of.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a program; what it prints goes to `<log folder>/<name>.log`.
    pub fn start(name: &str, command: &mut Command, logs: &Path) -> Result<Self> {
        let log = File::create(logs.join(format!("{name}.log")))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {program}"))?,
            name: name.to_owned(),
        })
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all its threads, in nanoseconds: what the scheduler says, so that short runs count in full.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let spent = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        };
        tasks
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(spent)
            .sum()
    }

    /// Resident memory, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended: {status}", self.name),
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so, 10 s at most.
pub fn until(what: &str, is_so: impl FnMut() -> bool) -> Result<()> {
    until_within(Duration::from_secs(10), what, is_so).map(drop)
}

/// The same with another deadline; says how long it took.
pub fn until_within(
    deadline: Duration,
    what: &str,
    mut is_so: impl FnMut() -> bool,
) -> Result<Duration> {
    let begun = Instant::now();
    while !is_so() {
        ensure!(
            begun.elapsed() < deadline,
            "waited {deadline:?} in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(25));
    }
    Ok(begun.elapsed())
}
