//! Cleans up behind a process that was killed: a child of its own waits until the pipe from us breaks, and then sweeps.
//!
//! A pipe breaks however a process ends, SIGKILL included. The child is this repository's own `xtask`, run as
//! `xtask guard FOLDER`. A test that runs where none was built goes without; the next real node then sweeps, as it finds
//! the folder in the machine-wide lock.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Result, ensure};

use super::node::MachineLock;
use super::record::Record;
use super::sweep::sweep;
use crate::progress;

/// Owns what must be undone: does it when dropped, or leaves it to the child when there is no time for that.
#[derive(Debug)]
pub(super) struct Guard {
    record: Record,
    child: Option<Child>,
}

impl Guard {
    pub(super) fn start(record: Record) -> Result<Self> {
        let child = match program() {
            Some(program) => Some(spawn(&program, record.folder())?),
            None => None,
        };
        Ok(Self { record, child })
    }

    /// Undoes nothing, now or later, until somebody asks for it.
    pub(super) fn leave_running(&mut self) -> Result<()> {
        self.record.note_kept()?;
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.record.is_kept() {
            return;
        }
        if let Err(error) = sweep(&self.record) {
            progress::line(format_args!("the cluster left something behind: {error:#}"));
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The child's side: waits for the pipe from the cluster's process to break, then sweeps what is left in the folder.
///
/// # Errors
/// Something cannot be undone.
pub fn clean_up_after(folder: &Path, mut pipe: impl Read) -> Result<()> {
    let _ = pipe.read_to_end(&mut Vec::new());
    if folder.exists() {
        take_down(folder)
    } else {
        Ok(())
    }
}

/// Takes down a cluster that was left running.
///
/// # Errors
/// There is none in this folder, or something cannot be undone.
pub fn take_down(folder: &Path) -> Result<()> {
    let record = Record::open(folder);
    ensure!(
        record.is_one(),
        "{} is not the folder of a cluster",
        folder.display()
    );
    // A later cluster may be about to sweep the same node.
    let _lock = record.has_real_node().then(MachineLock::take).transpose()?;
    sweep(&record)
}

fn spawn(program: &Path, folder: &Path) -> Result<Child> {
    let child = Command::new(program)
        .arg("guard")
        .arg(folder)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(child)
}

/// xtask itself, or the one that lies above a test's binary in the target folder.
fn program() -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    this.ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("xtask"))
        .find(|file| file.is_file())
}
