//! Scenarios that measure memory: each runs alone in a process of its own, because what a process holds is known only for
//! the whole of it.

use std::{fs, process::Command};

const ALONE: &str = "ADIT_TEST_ALONE";
/// This binary, even when a build has put another one in its place meanwhile.
const THIS: &str = "/proc/self/exe";

/// Runs `story` in another process of this test binary, which runs nothing else; `name` is the calling test's full name.
///
/// # Panics
///
/// When the story does, with what it printed.
pub fn alone(name: &str, story: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some_and(|value| value == name) {
        return story();
    }
    let output = Command::new(THIS)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, name)
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("1 passed"),
        "no test is called {name}:\n{text}"
    );
}

/// The most memory this process ever held, in bytes.
///
/// # Panics
///
/// On a system without `/proc`.
#[must_use]
pub fn peak_memory() -> usize {
    status("VmHWM:")
}

/// The memory this process holds, in bytes.
///
/// # Panics
///
/// On a system without `/proc`.
#[must_use]
pub fn memory() -> usize {
    status("VmRSS:")
}

/// The files, sockets among them, that this process has open.
///
/// # Panics
///
/// On a system without `/proc`.
#[must_use]
pub fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").trim().parse().unwrap();
    kib << 10
}
