//! Running other programs to their end: with a deadline, stopped by Ctrl-C, and with errors that say what the program
//! itself said.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt::{self, Interrupted};

/// How a program ended, and what it said.
#[derive(Clone, Debug)]
pub struct Ended {
    /// With which code, or by which signal.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs a program that is done within two minutes, and gives what it wrote to standard output.
///
/// # Errors
/// It cannot be started, takes longer, or fails; the end of its standard error is told.
pub fn text(command: &mut Command) -> Result<String> {
    text_of(command, "", DEADLINE)
}

/// As [`text`], with something on standard input and a deadline of its own.
///
/// # Errors
/// As [`text`].
pub fn text_of(command: &mut Command, input: &str, within: Duration) -> Result<String> {
    let ended = finish(command, input, within)?;
    said(command, ended)
}

/// As [`text_of`], even after Ctrl-C: for cleaning up.
///
/// # Errors
/// It cannot be started, takes longer, or fails.
pub fn insist(command: &mut Command, input: &str, within: Duration) -> Result<()> {
    let ended = run(command, input, within, || Ok(()))?;
    said(command, ended).map(drop)
}

fn said(command: &Command, ended: Ended) -> Result<String> {
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    let said = if ended.stderr.trim().is_empty() {
        &ended.stdout
    } else {
        &ended.stderr
    };
    bail!(
        "`{}` failed ({}): {}",
        spelled(command),
        ended.status,
        last_lines(said, 15)
    )
}

/// Runs a program to its end, however it ends.
///
/// # Errors
/// It cannot be started or takes longer than `within`, or Ctrl-C; it is killed then, with all that it started.
pub fn finish(command: &mut Command, input: &str, within: Duration) -> Result<Ended> {
    run(command, input, within, interrupt::check)
}

fn run(
    command: &mut Command,
    input: &str,
    within: Duration,
    may_go_on: fn() -> Result<(), Interrupted>,
) -> Result<Ended> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run `{}`", spelled(command)))?;
    let group = Pid::from_child(&child);
    let stdin = child.stdin.take();
    let input = input.to_owned();
    let feeder = thread::spawn(move || {
        // A program that does not read its input is free to.
        stdin.map(|mut stdin| stdin.write_all(input.as_bytes()))
    });
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait_while(&mut child, within, may_go_on);
    // What a script left in the background holds our pipes, and would outlive it.
    let _ = kill_process_group(group, Signal::KILL);
    let status = status.with_context(|| format!("`{}`", spelled(command)))?;
    let _ = feeder.join();
    Ok(Ended {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Runs a program that talks to the person at the terminal itself, such as cargo.
///
/// # Errors
/// It cannot be started, or fails, or Ctrl-C.
pub fn show(command: &mut Command) -> Result<()> {
    show_with(command.stdout(Stdio::inherit())).map(drop)
}

/// As [`show`], and gives what it wrote to standard output.
///
/// # Errors
/// As [`show`].
pub fn show_errors(command: &mut Command) -> Result<String> {
    show_with(command.stdout(Stdio::piped()))
}

fn show_with(command: &mut Command) -> Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run `{}`", spelled(command)))?;
    let stdout = drain(child.stdout.take());
    let status = wait(&mut child, Duration::from_hours(2))?;
    if status.success() {
        return Ok(stdout.join().unwrap_or_default());
    }
    // Ctrl-C at a terminal ends the program, too.
    interrupt::check()?;
    bail!("`{}` failed ({status})", spelled(command))
}

/// Waits for a child of ours, and kills it when the time is over or Ctrl-C came.
///
/// # Errors
/// See above.
pub fn wait(child: &mut Child, within: Duration) -> Result<ExitStatus> {
    wait_while(child, within, interrupt::check)
}

fn wait_while(
    child: &mut Child,
    within: Duration,
    may_go_on: fn() -> Result<(), Interrupted>,
) -> Result<ExitStatus> {
    let end = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            // Before it had a group of its own, the same Ctrl-C ended it; our own flag may be set a moment later.
            if status.signal() == Some(Signal::INT.as_raw()) {
                return Err(Interrupted.into());
            }
            return Ok(status);
        }
        let stop = match may_go_on() {
            Err(interrupted) => Some(interrupted.into()),
            Ok(()) if Instant::now() >= end => {
                Some(anyhow!("was not done within {} s", within.as_secs()))
            }
            Ok(()) => None,
        };
        if let Some(error) = stop {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a short program to its end, even after Ctrl-C, for cleaning up; whether it succeeded.
pub fn quietly(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The program's file, looked for where a shell would; `/usr/sbin` too, which a user's path may lack.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The last lines of a text, for an error.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(count);
    lines
        .into_iter()
        .skip(skipped)
        .collect::<Vec<_>>()
        .join("\n")
}

fn spelled(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn drain(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came until the pipe broke is still worth telling.
        let _ = from.map(|mut from| from.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

const DEADLINE: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::{Command, DEADLINE, Interrupted, finish};

    #[test]
    fn program_that_ctrl_c_ended_is_an_interruption() {
        let mut shell = Command::new("/bin/sh");
        let ended = finish(shell.args(["-c", "kill -INT $$"]), "", DEADLINE);
        assert!(ended.is_err_and(|error| error.is::<Interrupted>()));
    }
}
