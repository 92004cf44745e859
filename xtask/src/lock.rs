//! Locks between processes of ours: a file that one process at a time holds.
//!
//! Called before a program is built into the cache, and before the machine gets its real node. The kernel takes a lock back
//! when its process ends, however it ends, so none is ever stale. But a holder may hang: whoever waits says for whom, and
//! gives up in the end.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interrupt;
use crate::progress::{line, took};

/// Waits until this process holds the file. `what` is what its holder has, such as "the machine's real node".
///
/// # Errors
/// Another process holds it for longer than `patience`, or Ctrl-C.
pub(crate) fn take(path: &Path, what: &str, patience: Duration) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let begin = Instant::now();
    let mut told = None;
    // Not `lock`: Ctrl-C does not wake it, and it never gives up.
    while is_held(&file).with_context(|| format!("cannot lock {}", path.display()))? {
        interrupt::check()?;
        let holder = Holder::of(&file);
        if begin.elapsed() >= patience {
            bail!(
                "{holder} has {what}, and keeps it: waited {}",
                took(patience)
            );
        }
        if told.as_ref() != Some(&holder) {
            line(format_args!("  waiting for {holder}, which has {what}"));
            told = Some(holder);
        }
        thread::sleep(PAUSE);
    }
    Ok(file)
}

fn is_held(file: &File) -> std::io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Who holds a lock, as far as the system tells.
#[derive(Debug, PartialEq, Eq)]
struct Holder(Option<(u32, String)>);

impl Holder {
    fn of(file: &File) -> Self {
        let find = || {
            let wanted = identity(&file.metadata().ok()?);
            let locks = fs::read_to_string("/proc/locks").ok()?;
            let mut holders = locks.lines().filter_map(|lock| holder(lock, wanted.1));
            let pid = holders.find(|&pid| has_open(pid, wanted))?;
            Some((pid, command_line(pid)))
        };
        Self(find())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((pid, command)) => write!(f, "process {pid} ({command})"),
            None => f.write_str("another process"),
        }
    }
}

/// The process in a line of `/proc/locks`, proc(5), that holds a lock on a file of this number, on some file system:
/// `1: FLOCK  ADVISORY  WRITE 2295 fe:00:9175052 0 EOF`. One that waits has an arrow in the second place.
fn holder(lock: &str, inode: u64) -> Option<u32> {
    let mut fields = lock.split_whitespace().skip(1);
    if fields.next() != Some("FLOCK") {
        return None;
    }
    let pid = fields.nth(2)?.parse().ok()?;
    let (_, number) = fields.next()?.rsplit_once(':')?;
    (number.parse() == Ok(inode)).then_some(pid)
}

fn has_open(pid: u32, wanted: (u64, u64)) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.filter_map(|entry| fs::metadata(entry.ok()?.path()).ok())
        .any(|metadata| identity(&metadata) == wanted)
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    words.trim_end().chars().take(SHOWN).collect()
}

const PAUSE: Duration = Duration::from_millis(100);
/// Characters of a command line.
const SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use tempfile::TempDir;

    use super::*;

    const NOT_AT_ALL: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn waiting_ends_and_names_the_holder() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("lock");
        let held = take(&path, "it", NOT_AT_ALL).unwrap();
        let told = take(&path, "it", NOT_AT_ALL).unwrap_err().to_string();
        if cfg!(target_os = "linux") {
            let this = format!("process {} (", std::process::id());
            assert!(told.starts_with(&this), "{told}");
        }
        assert!(told.contains(") has it, and keeps it"), "{told}");
        drop(held);
        take(&path, "it", NOT_AT_ALL).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn lock_of_a_killed_process_is_free() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("lock");
        // It becomes `cat`, which keeps the lock until its input ends.
        let mut holder = Command::new("flock")
            .arg("--no-fork")
            .arg(&path)
            .arg("cat")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // Until it has started, the lock is free; and while another test starts a process, that may have a copy of our own
        // file, which is a holder that nobody can name.
        let named = format!("process {} (", holder.id());
        let begin = Instant::now();
        loop {
            let taken = take(&path, "it", NOT_AT_ALL);
            if taken.is_err_and(|error| error.to_string().starts_with(&named)) {
                break;
            }
            assert!(begin.elapsed() < LONG, "never held by {named}");
            thread::yield_now();
        }
        holder.kill().unwrap();
        holder.wait().unwrap();
        take(&path, "it", LONG).unwrap();
    }

    #[test]
    fn those_who_wait_and_other_kinds_are_not_holders() {
        let line = "1: FLOCK  ADVISORY  WRITE 2295 fe:00:9175052 0 EOF";
        assert_eq!(holder(line, 9_175_052), Some(2295));
        assert_eq!(holder(line, 1), None);
        assert_eq!(holder(&line.replace("FLOCK", "-> FLOCK"), 9_175_052), None);
        assert_eq!(holder(&line.replace("FLOCK", "POSIX"), 9_175_052), None);
    }
}
