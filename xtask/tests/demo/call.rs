//! A demo that is called: where it runs, what it says, and what of it stays.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use xtask::cluster::Node;
use xtask::tools::{self, Module, debian};
use xtask::{command, skip};

use crate::running::{Running, command_line, descendants};

/// Where a demo runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On<'a> {
    Kwok,
    Real,
    /// A cluster with a real node.
    Existing(&'a Path),
}

/// A demo that runs, in a process group as a terminal gives it.
pub(crate) struct Demo {
    child: Child,
    lines: Receiver<String>,
    pub(crate) said: String,
    /// How many folders and processes it has, once its tunnel is up.
    size: (usize, usize),
}

impl Demo {
    /// None where what it takes cannot be had; that is noted.
    pub(crate) fn start(on: On<'_>, args: &[&str], test: &str) -> Option<Self> {
        let mut demo = Command::new(XTASK);
        demo.arg("demo");
        let (node, size) = match on {
            On::Kwok => (Node::Kwok, (2, 7)),
            On::Real => (Node::Real, (2, 7)),
            On::Existing(_) => (Node::Real, (1, 3)),
        };
        match on {
            On::Kwok => demo.args(["--node", "kwok"]),
            On::Real => demo.args(["--node", "real"]),
            On::Existing(kubeconfig) => demo.arg("--kubeconfig").arg(kubeconfig),
        };
        if is_lacking(node, test) {
            return None;
        }
        Some(Self::run(demo.args(args), size))
    }

    pub(crate) fn run(command: &mut Command, size: (usize, usize)) -> Self {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = child.stderr.take().unwrap();
        Self::hearing(child, said, size)
    }

    /// With a simulated node, in a terminal.
    pub(crate) fn start_in_terminal(test: &str) -> Option<Self> {
        if is_lacking(Node::Kwok, test) {
            return None;
        }
        let demo = format!("exec '{XTASK}' demo --node kwok");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &demo])
            .arg("/dev/null")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = child.stdout.take().unwrap();
        Some(Self::hearing(child, said, (2, 7)))
    }

    fn hearing(child: Child, said: impl Read + Send + 'static, size: (usize, usize)) -> Self {
        let (heard, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = heard.send(line);
            }
        });
        Self {
            child,
            lines,
            said: String::new(),
            size,
        }
    }

    pub(crate) fn says(&mut self, text: &str) {
        while !self.hear().is_some_and(|line| line.contains(text)) {
            assert!(self.child.try_wait().unwrap().is_none(), "{}", self.said);
        }
    }

    pub(crate) fn ends(&mut self) -> (ExitStatus, String) {
        while self.hear().is_some() {}
        let status = command::wait(&mut self.child, DEADLINE).unwrap();
        (status, std::mem::take(&mut self.said))
    }

    /// At its end, with all that it said.
    pub(crate) fn is_kept(&mut self) -> (Kept, String) {
        let (status, said) = self.ends();
        let kept = Kept::of(&said);
        assert!(status.success(), "{said}");
        (kept, said)
    }

    /// Ctrl-C, while a step's script runs.
    pub(crate) fn is_interrupted(&mut self) {
        self.says("tunnel up");
        // The title of one that waits for pods.
        self.says("A deployment: apply, watch the rollout, wait");
        self.is_stopped();
    }

    /// Ctrl-C.
    pub(crate) fn is_stopped(&mut self) {
        let mut running = self.running();
        // A step's shell and what runs in it, too.
        let all = descendants(self.child.id()).into_iter();
        running
            .processes
            .extend(all.filter_map(|id| Pid::from_raw(id.cast_signed())));
        kill_process_group(Pid::from_child(&self.child), Signal::INT).unwrap();
        let (status, said) = self.ends();
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(
            said.ends_with("interrupted; nothing is left behind\n"),
            "{said}"
        );
        running.is_gone();
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

    /// What it uses, as its guards have it.
    pub(crate) fn running(&self) -> Running {
        let guards = descendants(self.child.id())
            .into_iter()
            .map(command_line)
            .filter(|words| words.get(1).is_some_and(|word| word == "guard"));
        let folders = guards.filter_map(|words| words.get(2).map(PathBuf::from));
        let running = Running::in_folders(folders.collect());
        let (folders, processes) = self.size;
        assert_eq!(running.folders.len(), folders, "{running:?}");
        assert!(running.processes.len() >= processes, "{running:?}");
        running
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
pub(crate) struct Kept(pub(crate) Vec<PathBuf>);

impl Kept {
    pub(crate) fn of(said: &str) -> Self {
        let command = said
            .lines()
            .find_map(|line| line.strip_prefix("    cargo xtask down "));
        let folders = command.unwrap_or_default().split(' ').map(PathBuf::from);
        Self(folders.collect())
    }

    pub(crate) fn take_down(mut self) {
        let folders = std::mem::take(&mut self.0);
        command::text(Command::new(XTASK).arg("down").args(&folders)).unwrap();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            command::quietly(Command::new(XTASK).arg("down").args(&self.0));
        }
    }
}

/// Whether the machine lacks what a demo with this node takes; that is noted.
pub(crate) fn is_lacking(node: Node, test: &str) -> bool {
    let missing = node
        .missing()
        .and_then(|()| tools::available(&[Module::Helm]))
        .and_then(|()| debian::available(&[debian::CURL]));
    if let Err(why) = &missing {
        skip::skipped(test, &format!("{why:#}"));
    }
    missing.is_err()
}

pub(crate) const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
/// The first run of all builds Kubernetes.
const DEADLINE: Duration = Duration::from_mins(30);
