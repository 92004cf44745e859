//! `cargo xtask demo` as a person meets it: with a simulated node, which every machine can have as often as it likes, and as root with
//! a real one, too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_types,
    reason = "a test's way to fail; there is no tokio here"
)]

mod call;
mod running;

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use xtask::cluster::{Cluster, Node, Options};
use xtask::command;

use crate::call::{Demo, On, XTASK, is_lacking};
use crate::running::Running;

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

    let (_, of_operator) = said.split_once(OPERATOR).unwrap();
    for told in [
        "export KUBECONFIG=/tmp/",
        "export ADIT_RELAY_ADMIN=127.0.0.1:",
    ] {
        assert!(of_operator.contains(told), "{said}");
    }

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
    let _alone = REAL_NODE.lock().unwrap_or_else(PoisonError::into_inner);
    let test = "demo_with_a_real_node_that_is_interrupted";
    if let Some(mut demo) = Demo::start(On::Real, &[], test) {
        demo.is_interrupted();
    }
}

/// As the README has it. A cluster waits for the one that is kept, a demo ends at once.
#[test]
fn demo_with_a_real_node_that_is_kept_leaves_no_step_out_and_the_next_one_waits_for_it() {
    let _alone = REAL_NODE.lock().unwrap_or_else(PoisonError::into_inner);
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

    let another = command::text(Command::new(XTASK).args(["demo", "--node", "real"]));
    let refused = format!("{:#}", another.unwrap_err());
    assert!(refused.contains("cargo xtask down /tmp/"), "{refused}");

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
    let (of_job, _) = said.split_once(OPERATOR).unwrap();
    let exports = of_job
        .lines()
        .filter(|line| line.starts_with("    export "));
    let script = [exports.collect::<Vec<_>>().join("\n").as_str(), script].join("\n");
    let mut shell = Command::new("sh");
    command::text(shell.args(["-ec", &script]).env_remove("KUBECONFIG")).unwrap()
}

/// Where the job's lines end.
const OPERATOR: &str = "To be the operator";
/// A demo does not wait for one that is kept.
static REAL_NODE: Mutex<()> = Mutex::new(());

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
