//! `cargo xtask demo` as a person meets it: with a simulated node, which every machine can have as often as it likes, and as root with
//! a real one, too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_types,
    reason = "a test's way to fail; there is no tokio here"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use xtask::cluster::{Cluster, Node, Options};
use xtask::tools::{self, Module, debian};
use xtask::{command, skip};

#[test]
fn demo_that_is_kept_serves_the_shell_it_describes_until_it_is_taken_down() {
    let Some(mut demo) = Demo::start(On::Kwok, &["--keep"], "demo_that_is_kept") else {
        return;
    };
    let (kept, said) = demo.is_kept();
    // What only real pods can is left out, and said so; nothing else is.
    assert_eq!(said.matches("left out: ").count(), 1, "{said}");

    let answer = shell(
        &said,
        "kubectl config get-contexts --output=name\nkubectl get pods --output=name",
    );
    assert!(answer.contains("group/app:demo\n"), "{answer}");

    let running = Running::in_folders(kept.0.clone());
    assert!(running.processes.len() > 6, "{running:?}");
    kept.take_down();
    running.is_gone();
}

#[test]
fn demo_with_gitlab_ends_with_the_end_of_its_job() {
    let Some(mut demo) = Demo::start(On::Kwok, &["--gitlab"], "demo_with_gitlab") else {
        return;
    };
    let (status, said) = demo.ends();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("left out: ").count(), 1, "{said}");
    let (_, end) = said.split_once("GitLab says that the job is over").unwrap();
    assert!(end.contains("the job has ended, or"), "{said}");
}

#[test]
fn demo_that_is_interrupted_leaves_nothing_behind() {
    if let Some(mut demo) = Demo::start(On::Kwok, &[], "demo_that_is_interrupted") {
        demo.is_interrupted();
    }
}

#[test]
fn demo_with_a_real_node_that_is_interrupted_leaves_nothing_behind() {
    let test = "demo_with_a_real_node_that_is_interrupted";
    if let Some(mut demo) = Demo::start(On::Real, &[], test) {
        demo.is_interrupted();
    }
}

/// As the README has it.
#[test]
fn demo_with_a_real_node_that_is_kept_leaves_no_step_out_and_the_next_one_waits_for_it() {
    let test = "demo_with_a_real_node_that_is_kept";
    let Some(mut demo) = Demo::start(On::Real, &["--keep"], test) else {
        return;
    };
    demo.says("agent started in the cluster");
    demo.says("tunnel up");
    let running = demo.running();
    let (kept, said) = demo.is_kept();
    assert!(!said.contains("left out: "), "{said}");

    let contexts = shell(&said, "kubectl config get-contexts --output=name");
    let is_there = contexts.lines().any(|context| context == "group/app:demo");
    assert!(is_there, "{contexts}");
    let refusal = shell(&said, "kubectl get nodes 2>&1 || true");
    for part in [
        "Forbidden",
        "User \"gitlab:ci_job:9001\" cannot list resource \"nodes\"",
    ] {
        assert!(refusal.contains(part), "{part:?} in {refusal}");
    }

    let mut next = Demo::run(
        Command::new(XTASK).args(["cluster", "--node", "real"]),
        (1, 0),
    );
    next.says("which was kept; take it down with `cargo xtask down ");
    assert!(
        kept.0
            .iter()
            .any(|folder| next.said.contains(folder.to_str().unwrap())),
        "{}",
        next.said
    );
    kept.take_down();
    running.is_gone();
    next.says("ready after ");
    next.is_stopped();
}

/// Whoever has a cluster has things in it: those that bear a name of the demo's stay, and as they are.
#[test]
fn demo_in_a_cluster_that_exists_takes_its_own_things_away_and_no_others() {
    let test = "demo_in_a_cluster_that_exists";
    if is_lacking(Node::Real, test) {
        return;
    }
    let cluster = Cluster::start(Options {
        node: Node::Real,
        ..Options::default()
    });
    let cluster = cluster.unwrap();
    cluster.apply(THEIRS).unwrap();
    let before = (everything(&cluster), theirs(&cluster));
    let kubeconfig = cluster.folder().join("theirs.kubeconfig");
    let copy = || fs::copy(cluster.kubeconfig("admin").unwrap(), &kubeconfig).unwrap();
    copy();
    let start = |args: &[&str]| Demo::start(On::Existing(&kubeconfig), args, test).unwrap();

    start(&[]).is_interrupted();
    assert_eq!((everything(&cluster), theirs(&cluster)), before);

    let images = ["--images", "adit.local/app:1", "adit.local/app:2"];
    let (kept, said) = start(&[&["--keep"][..], &images].concat()).is_kept();
    assert!(!said.contains("left out: "), "{said}");
    assert_ne!(everything(&cluster), before.0);
    let running = Running::in_folders(kept.0.clone());
    // Whoever has several clusters goes to another one meanwhile.
    let mut elsewhere = Command::new(cluster.tools().kubectl());
    elsewhere.arg("--kubeconfig").arg(&kubeconfig);
    command::text(elsewhere.args(["config", "unset", "current-context"])).unwrap();
    kept.take_down();
    running.is_gone();
    assert_eq!((everything(&cluster), theirs(&cluster)), before);

    copy();
    cluster.apply(TAKEN).unwrap();
    let (status, said) = start(&[]).ends();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("namespace/shop"), "{said}");
}

#[test]
fn step_that_fails_is_red_and_explained_and_the_exit_code() {
    let Some(mut demo) = Demo::start_in_terminal("step_that_fails") else {
        return;
    };
    demo.says("The job");
    let running = demo.running();
    running.kill("relay");
    let (status, said) = demo.ends();
    assert_eq!(status.code(), Some(1), "{said}");
    for part in [
        "\u{1b}[1;31mfailed\u{1b}[0m",
        "The relay's last words:",
        "\u{1b}[1;31merror: the step \"",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    running.is_gone();
}

/// What a shell with the variables of a demo that was kept answers to a script.
fn shell(said: &str, script: &str) -> String {
    let exports = said.lines().filter(|line| line.starts_with("    export "));
    let script = [exports.collect::<Vec<_>>().join("\n").as_str(), script].join("\n");
    let mut shell = Command::new("sh");
    command::text(shell.args(["-ec", &script]).env_remove("KUBECONFIG")).unwrap()
}

/// What the demo could have left. The system makes some of its own late.
fn everything(cluster: &Cluster) -> Vec<String> {
    let kinds = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,roles,rolebindings,secrets,deployments";
    let mut get = cluster.kubectl();
    get.args(["get", kinds, "--all-namespaces", "--output", NAMES]);
    let names = command::text(&mut get).unwrap();
    let names = names.lines().map(str::to_owned);
    names
        .filter(|name| !name.contains("kube-") && !name.contains("system:"))
        .collect()
}

/// What was there before, with versions that would change.
fn theirs(cluster: &Cluster) -> String {
    let kinds = "namespaces,roles,configmaps";
    let mut get = cluster.kubectl();
    get.args(["get", kinds, "--all-namespaces", "--selector=owner=them"]);
    let columns = format!("{NAMES},VERSION:.metadata.resourceVersion");
    let found = command::text(get.args(["--output", &columns])).unwrap();
    assert_eq!(found.matches("flux-system").count(), 3, "{found}");
    found
}

/// Whether the machine lacks what a demo with this node takes; that is noted.
fn is_lacking(node: Node, test: &str) -> bool {
    let missing = node
        .missing()
        .and_then(|()| tools::available(&[Module::Helm]))
        .and_then(|()| debian::available(&[debian::CURL]));
    if let Err(why) = &missing {
        skip::skipped(test, &format!("{why:#}"));
    }
    missing.is_err()
}

/// Where a demo runs.
#[derive(Clone, Copy, Debug)]
enum On<'a> {
    Kwok,
    Real,
    /// A cluster with a real node.
    Existing(&'a Path),
}

/// A demo that runs, in a process group as a terminal gives it.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    said: String,
    /// How many folders and processes it has, once its tunnel is up.
    size: (usize, usize),
}

impl Demo {
    /// None where what it takes cannot be had; that is noted.
    fn start(on: On<'_>, args: &[&str], test: &str) -> Option<Self> {
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

    fn run(command: &mut Command, size: (usize, usize)) -> Self {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = child.stderr.take().unwrap();
        Self::hearing(child, said, size)
    }

    /// With a simulated node, in a terminal.
    fn start_in_terminal(test: &str) -> Option<Self> {
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

    /// At its end, with all that it said.
    fn is_kept(&mut self) -> (Kept, String) {
        let (status, said) = self.ends();
        let kept = Kept::of(&said);
        assert!(status.success(), "{said}");
        (kept, said)
    }

    /// Ctrl-C, while a step's script runs.
    fn is_interrupted(&mut self) {
        self.says("tunnel up");
        // The title of one that waits for pods.
        self.says("A deployment: apply, watch the rollout, wait");
        self.is_stopped();
    }

    /// Ctrl-C.
    fn is_stopped(&mut self) {
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
    fn running(&self) -> Running {
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

/// What a demo has going.
#[derive(Debug)]
struct Running {
    folders: Vec<PathBuf>,
    processes: Vec<Pid>,
}

impl Running {
    fn in_folders(folders: Vec<PathBuf>) -> Self {
        let processes = folders.iter().flat_map(|folder| noted(folder)).collect();
        Self { folders, processes }
    }

    /// SIGKILL for the processes of adit with this subcommand.
    fn kill(&self, subcommand: &str) {
        for process in &self.processes {
            let words = command_line(process.as_raw_nonzero().get().cast_unsigned());
            if words.get(1).is_some_and(|word| word == subcommand) {
                kill_process(*process, Signal::KILL).unwrap();
            }
        }
    }

    fn is_gone(&self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        for folder in &self.folders {
            assert!(!folder.exists(), "{} is left", folder.display());
            let place = folder.to_str().unwrap();
            assert!(!mounts.contains(place), "{place} in {mounts}");
        }
        let node = ["/sys/class/net/adit0", "/sys/fs/cgroup/adit-node"];
        let left: Vec<_> = node
            .iter()
            .filter(|path| Path::new(path).exists())
            .collect();
        // As soon as we have no real node, another process may.
        let last = fs::read_to_string("/tmp/adit-node.lock").unwrap_or_default();
        let is_ours = self
            .folders
            .iter()
            .any(|folder| *folder == Path::new(&last));
        assert!(left.is_empty() || !is_ours, "{left:?}");
        // Whoever adopted them reaps them in its own time.
        let end = Instant::now() + Duration::from_secs(10);
        for process in &self.processes {
            while test_kill_process(*process).is_ok() {
                assert!(Instant::now() < end, "{process:?} is left");
                thread::yield_now();
            }
        }
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

    fn take_down(mut self) {
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

/// The processes that a folder's record has.
fn noted(folder: &Path) -> Vec<Pid> {
    let record = fs::read_to_string(folder.join("processes")).unwrap_or_default();
    let id = |line: &str| Pid::from_raw(line.split(' ').next()?.parse().ok()?);
    record.lines().filter_map(id).collect()
}

/// The processes below one.
fn descendants(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    children
        .flat_map(|id| [vec![id], descendants(id)].concat())
        .collect()
}

fn command_line(id: u32) -> Vec<String> {
    let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split('\0').map(str::to_owned).collect()
}

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
/// The first run of all builds Kubernetes.
const DEADLINE: Duration = Duration::from_mins(30);
const NAMES: &str = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name";
/// A namespace as of somebody's Flux, and in it a Role that the demo would make otherwise.
const THEIRS: &str = "\
apiVersion: v1
kind: Namespace
metadata: { name: flux-system, labels: { owner: them } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: precious, namespace: flux-system, labels: { owner: them } }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: secret-manager, namespace: flux-system, labels: { owner: them } }
rules:
  - { apiGroups: [\"\"], resources: [secrets], verbs: [create, delete] }
";
/// A namespace of the demo's own.
const TAKEN: &str = "{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }";
