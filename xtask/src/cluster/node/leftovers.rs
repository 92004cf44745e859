//! Undoes a real node: containers, mounts, network, cgroups, the kernel's settings, and what its parts leave in places of
//! the system that cannot be moved. containerd and the kubelet themselves are dead by now.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::super::record::Record;
use super::bridge;
use super::cgroup;
use super::containerd;
use super::machine::sysctl;
use crate::command;

/// See above; each step may find its work done.
pub(in super::super) fn sweep(record: &Record) -> Result<()> {
    kill_containers(record)?;
    unmount(record.folder())?;
    bridge::take_down();
    for cgroup in cgroup::all() {
        remove_cgroup(&cgroup);
    }
    for (name, value) in record.sysctls() {
        fs::write(sysctl(&name), value)?;
    }
    remove_strays(record);
    Ok(())
}

/// Containers and the shims above them, until none is left: a shim that sees its container die starts a helper.
fn kill_containers(record: &Record) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let mut found = shims(record);
        found.extend(cgroup::all().iter().flat_map(|cgroup| processes_in(cgroup)));
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("{} processes of containers do not die", found.len());
        }
        for pid in found {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// They carry our socket's path among their arguments.
fn shims(record: &Record) -> Vec<Pid> {
    let socket = containerd::socket(record);
    let needle = socket.as_os_str().as_encoded_bytes();
    let is_ours = |folder: &Path| {
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|&byte| byte == 0);
        words
            .next()
            .is_some_and(|name| name.ends_with(b"containerd-shim-runc-v2"))
            && words.any(|word| word == needle)
    };
    entries("/proc")
        .into_iter()
        .filter(|folder| is_ours(folder))
        .filter_map(|folder| Pid::from_raw(folder.file_name()?.to_str()?.parse().ok()?))
        .collect()
}

fn processes_in(cgroup: &Path) -> Vec<Pid> {
    let mut found: Vec<_> = fs::read_to_string(cgroup.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        .collect();
    for below in entries(cgroup).iter().filter(|path| path.is_dir()) {
        found.extend(processes_in(below));
    }
    found
}

fn remove_cgroup(cgroup: &Path) {
    for below in entries(cgroup).iter().filter(|path| path.is_dir()) {
        remove_cgroup(below);
    }
    // A moment may pass between a process's death and its cgroup's being empty.
    let end = Instant::now() + Duration::from_secs(2);
    while fs::remove_dir(cgroup).is_err() && cgroup.exists() && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
}

/// The deepest first. More than one mount may lie on a place.
fn unmount(folder: &Path) -> Result<()> {
    let below = || {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let places = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1).map(PathBuf::from));
        places
            .filter(|place| place.starts_with(folder))
            .collect::<BTreeSet<_>>()
    };
    for _ in 0..3 {
        for place in below().iter().rev() {
            command::quietly(Command::new("umount").arg("--lazy").arg(place));
        }
        if below().is_empty() {
            return Ok(());
        }
    }
    bail!("something is still mounted in {}", folder.display())
}

fn remove_strays(record: &Record) {
    for link in entries("/var/log/containers") {
        if fs::read_link(&link).is_ok_and(|to| to.starts_with(record.folder())) {
            let _ = fs::remove_file(link);
        }
    }
    for cached in entries("/var/lib/cni/results") {
        let name = cached
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(bridge::NETWORK) {
            let _ = fs::remove_file(cached);
        }
    }
    // Sockets of shims: those that nobody listens on any more.
    let open = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    for socket in entries("/run/containerd/s") {
        if !open.contains(&*socket.to_string_lossy()) {
            let _ = fs::remove_file(socket);
        }
    }
    for folder in OURS_IF_EMPTY {
        let _ = fs::remove_dir(folder);
    }
}

fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(
        |_| Vec::new(),
        |entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .collect()
        },
    )
}

const OURS_IF_EMPTY: [&str; 6] = [
    "/var/log/containers",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/run/containerd/s",
    "/run/containerd/fifo",
    "/run/containerd",
];
