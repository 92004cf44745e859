//! One real node per machine: the lock that says so, and the kernel's settings that a kubelet changes.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::super::record::Record;
use super::super::sweep::sweep;
use crate::lock;
use crate::progress::line;
use crate::tools::debian;
use crate::wait::{self, Look};

/// Held while this process has, or takes down, the machine's real node. It holds the folder of the last one.
#[derive(Debug)]
pub(in super::super) struct MachineLock(File);

impl MachineLock {
    /// Waits for the one who has it.
    pub(in super::super) fn take() -> Result<Self> {
        Self::take_at(Path::new(LOCK))
    }

    fn take_at(path: &Path) -> Result<Self> {
        let file = lock::take(path, "this machine's real node", PATIENCE)?;
        // Everybody may write where it lies, and what it names is swept away.
        let owner = file.metadata()?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            bail!(
                "{} belongs to user {owner}, who may have made it up: remove it",
                path.display()
            );
        }
        Ok(Self(file))
    }

    fn last_folder(&mut self) -> Result<Option<PathBuf>> {
        let mut text = String::new();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_string(&mut text)?;
        Ok(Some(text)
            .filter(|text| !text.is_empty())
            .map(PathBuf::from))
    }

    fn note_folder(&mut self, folder: &Path) -> Result<()> {
        self.0.set_len(0)?;
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(folder.as_os_str().as_encoded_bytes())?;
        Ok(())
    }
}

/// Whether this machine could have a real node, without doing anything about it yet.
pub(in super::super) fn can_be_real() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("a real node needs Linux");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("a real node needs root: run it as root, or in a machine of its own");
    }
    debian::available(debian::NODE).context("a real node needs more of the system")
}

/// The folder of a real node that was kept, if there is one.
pub(in super::super) fn kept() -> Result<Option<PathBuf>> {
    kept_at(Path::new(LOCK))
}

fn kept_at(path: &Path) -> Result<Option<PathBuf>> {
    let last = MachineLock::take_at(path)?.last_folder()?;
    Ok(last.filter(|folder| Record::open(folder).is_kept()))
}

/// Takes the lock, sweeps up behind a node whose process was killed, and notes what the kernel's settings are.
pub(super) fn prepare(record: &Record) -> Result<MachineLock> {
    can_be_real()?;
    debian::ready(debian::NODE)?;
    let mut lock = take_with_none_kept(Path::new(LOCK), PATIENCE_WITH_KEPT)?;
    if let Some(folder) = lock.last_folder()?.filter(|folder| folder.exists()) {
        sweep(&Record::open(&folder)).context("what the last node left cannot be taken away")?;
    }
    lock.note_folder(record.folder())?;
    record.note_real_node()?;
    for name in SYSCTLS {
        if let Ok(value) = fs::read_to_string(sysctl(name)) {
            record.note_sysctl(name, value.trim())?;
        }
    }
    Ok(lock)
}

/// Takes the lock when no node that was kept is there, and says at once which one is.
fn take_with_none_kept(path: &Path, patience: Duration) -> Result<MachineLock> {
    let mut told = None;
    wait::until(patience, "the last real node to be taken down", || {
        let mut lock = MachineLock::take_at(path)?;
        let last = lock.last_folder()?;
        let Some(folder) = last.filter(|folder| Record::open(folder).is_kept()) else {
            return Ok(Look::Found(lock));
        };
        // Whoever takes it down needs it.
        drop(lock);
        let why = anyhow!(
            "this machine has a real node, which was kept; take it down with `cargo xtask down {}`",
            folder.display()
        );
        if told.as_ref() != Some(&folder) {
            line(format_args!("  waiting: {why}"));
            told = Some(folder);
        }
        Ok(Look::NotYet(Some(why)))
    })
}

pub(super) fn sysctl(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

/// The kubelet sets the first four, the bridge plugin the last.
const SYSCTLS: [&str; 5] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
];
const LOCK: &str = "/tmp/adit-node.lock";
/// Longer than all tests with a node take on a slow machine.
const PATIENCE: Duration = Duration::from_mins(15);
/// For whoever reads that line; other tests may wait for the one that keeps a node for some seconds.
const PATIENCE_WITH_KEPT: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn node_that_stays_kept_is_named_when_patience_ends() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("lock");
        let mut lock = take_with_none_kept(&path, Duration::ZERO).unwrap();
        lock.note_folder(folder.path()).unwrap();
        drop(lock);
        take_with_none_kept(&path, Duration::ZERO).unwrap();
        assert_eq!(kept_at(&path).unwrap(), None);
        Record::open(folder.path()).note_kept().unwrap();
        assert_eq!(kept_at(&path).unwrap().as_deref(), Some(folder.path()));
        let refusal = format!(
            "{:#}",
            take_with_none_kept(&path, Duration::ZERO).unwrap_err()
        );
        let command = format!("cargo xtask down {}", folder.path().display());
        assert!(refusal.contains(&command), "{refusal}");
    }
}
