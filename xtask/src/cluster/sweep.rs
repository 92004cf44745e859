//! Undoes what a record says. Every step may find its work done already: the cluster, its guard and a later cluster may
//! all come to sweep the same folder.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process_group};

use super::node;
use super::record::Record;

/// Kills, unmounts, restores, and removes the folder. All state is thrown away, so nothing is asked to end nicely.
///
/// # Errors
/// Something is left; the rest was undone nevertheless.
pub(super) fn sweep(record: &Record) -> Result<()> {
    let processes = record.processes();
    for process in processes.iter().filter(|process| process.is_running()) {
        // It may end by itself in between.
        let _ = kill_process_group(process.pid, Signal::KILL);
    }
    let end = Instant::now() + Duration::from_secs(5);
    while processes.iter().any(|process| process.is_running()) && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    let node = if record.has_real_node() {
        node::sweep(record)
    } else {
        Ok(())
    };
    // On a mount of a pod that is still there, this would remove what is mounted.
    node?;
    match fs::remove_dir_all(record.folder()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} stays", record.folder().display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
