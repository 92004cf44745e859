//! `cargo xtask demo` as a person meets it, with a simulated node, which every machine can have as often as it likes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_types,
    reason = "a test's way to fail; there is no tokio here"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use xtask::cluster::Node;
use xtask::tools::{self, Module};
use xtask::{command, skip};

#[test]
fn demo_that_is_kept_serves_the_shell_it_describes_until_it_is_taken_down() {
    let Some(mut demo) = Demo::start(&["--keep"], "demo_that_is_kept") else {
        return;
    };
    let (status, said) = demo.ends();
    let kept = Kept::of(&said);
    assert!(status.success(), "{said}");
    // What only real pods can is left out, and said so; nothing else is.
    assert_eq!(said.matches("left out: ").count(), 1, "{said}");

    let exports: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("    export "))
        .collect();
    let script = format!(
        "{}\nkubectl config get-contexts --output=name\nkubectl get pods --output=name\n",
        exports.join("\n")
    );
    let mut shell = Command::new("sh");
    let answer = command::text(shell.args(["-ec", &script]).env_remove("KUBECONFIG")).unwrap();
    assert!(answer.contains("group/app:demo\n"), "{answer}");

    let processes = kept.processes();
    assert!(processes.len() > 6, "{processes:?}");
    let folders = kept.take_down();
    all_gone(&folders, &processes);
}

#[test]
fn demo_that_is_interrupted_leaves_nothing_behind() {
    let Some(mut demo) = Demo::start(&[], "demo_that_is_interrupted") else {
        return;
    };
    demo.says("tunnel up");
    let folders = demo.folders();
    let processes: Vec<_> = folders.iter().flat_map(|folder| noted(folder)).collect();
    assert!(folders.len() == 2 && processes.len() > 6, "{processes:?}");

    demo.interrupt();
    let (status, said) = demo.ends();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(
        said.ends_with("interrupted; nothing is left behind\n"),
        "{said}"
    );
    all_gone(&folders, &processes);
}

/// A demo that runs, in a process group as a terminal gives it.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Demo {
    /// None where Go or what is built with it cannot be had; that is noted.
    fn start(args: &[&str], test: &str) -> Option<Self> {
        let missing = Node::Kwok
            .missing()
            .and_then(|()| tools::available(&[Module::Helm]));
        if let Err(why) = missing {
            skip::skipped(test, &format!("{why:#}"));
            return None;
        }
        let mut child = Command::new(XTASK)
            .args(["demo", "--node", "kwok"])
            .args(args)
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (heard, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = heard.send(line);
            }
        });
        let said = String::new();
        Some(Self { child, lines, said })
    }

    fn says(&mut self, text: &str) {
        while !self.hear().is_some_and(|line| line.contains(text)) {
            assert!(self.child.try_wait().unwrap().is_none(), "{}", self.said);
        }
    }

    fn ends(&mut self) -> (ExitStatus, String) {
        while self.hear().is_some() {}
        let status = command::wait(&mut self.child, DEADLINE).unwrap();
        (status, std::mem::take(&mut self.said))
    }

    /// Its next line; none at its end.
    fn hear(&mut self) -> Option<String> {
        let line = match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => panic!("it is stuck: {}", self.said),
        };
        self.said.push_str(&line);
        self.said.push('\n');
        Some(line)
    }

    /// Ctrl-C.
    fn interrupt(&self) {
        kill_process_group(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// What it uses, as its guards have it.
    fn folders(&self) -> Vec<PathBuf> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let command_line = |child: &str| {
            let line = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            line.split('\0').map(str::to_owned).collect::<Vec<_>>()
        };
        children
            .split_whitespace()
            .map(command_line)
            .filter(|words| words.get(1).is_some_and(|word| word == "guard"))
            .filter_map(|words| words.get(2).map(PathBuf::from))
            .collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its guards clean up behind it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folders of a demo that stays, which are taken down whatever the test finds.
struct Kept(Vec<PathBuf>);

impl Kept {
    fn of(said: &str) -> Self {
        let command = said
            .lines()
            .find_map(|line| line.strip_prefix("    cargo xtask down "));
        let folders = command.unwrap_or_default().split(' ').map(PathBuf::from);
        Self(folders.collect())
    }

    fn processes(&self) -> Vec<Pid> {
        self.0.iter().flat_map(|folder| noted(folder)).collect()
    }

    fn take_down(mut self) -> Vec<PathBuf> {
        let folders = std::mem::take(&mut self.0);
        command::text(Command::new(XTASK).arg("down").args(&folders)).unwrap();
        folders
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            command::quietly(Command::new(XTASK).arg("down").args(&self.0));
        }
    }
}

/// The processes that a folder's record has.
fn noted(folder: &Path) -> Vec<Pid> {
    let record = fs::read_to_string(folder.join("processes")).unwrap_or_default();
    let id = |line: &str| Pid::from_raw(line.split(' ').next()?.parse().ok()?);
    record.lines().filter_map(id).collect()
}

fn all_gone(folders: &[PathBuf], processes: &[Pid]) {
    for folder in folders {
        assert!(!folder.exists(), "{} is left", folder.display());
    }
    // Whoever adopted them reaps them in its own time.
    let end = Instant::now() + Duration::from_secs(10);
    for process in processes {
        while test_kill_process(*process).is_ok() {
            assert!(Instant::now() < end, "{process:?} is left");
            thread::yield_now();
        }
    }
}

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
/// The first run of all builds Kubernetes.
const DEADLINE: Duration = Duration::from_mins(30);
