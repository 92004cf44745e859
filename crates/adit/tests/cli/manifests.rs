//! `adit manifests`: what is applied to a cluster.

use std::process::Command;

use crate::process::{adit, stderr};

mod agent;
mod relay;

#[test]
fn manifests_say_what_is_missing() {
    let agent = ["manifests", "agent", "--relay", "https://relay.example.com"];
    for (more, code, because) in [
        (&[][..], 64, "--namespace"),
        (&["--kubernetes", "1.35"], 64, "name each group"),
        (
            &["--kubernetes", "1.35", "--group", "a", "--read-everywhere"],
            64,
            "leave out --read-everywhere",
        ),
        (
            &["--namespace", "a", "--relay", "http://relay.example.com"],
            2,
            "cannot be used multiple",
        ),
        (
            &["--namespace", "a", "--group", "system:masters"],
            2,
            "nobody acts for system:masters",
        ),
        (
            &["--namespace", "a", "--group", "gitlab:*"],
            2,
            "name each one",
        ),
        (
            &["--namespace", "a", "--user", "gitlab:*"],
            2,
            "name each one",
        ),
        (
            &["--namespace", "a", "--user", "system:serviceaccount:a:b"],
            2,
            "as no service account",
        ),
        (
            &["--namespace", "a", "--user", "system:node:a"],
            2,
            "as no node",
        ),
        (
            &["--namespace", "a", "--allow", "exec:pods"],
            2,
            "get,create:pods/exec",
        ),
        (
            &["--namespace", "a", "--allow", "get:pods,nodes"],
            64,
            "--allow nodes: it is in no namespace",
        ),
        (
            &["--namespace", "a", "--token-file", "/nothing"],
            64,
            "/nothing",
        ),
        (&["--namespace", "Shop"], 2, "'--namespace <NAME>'"),
        (
            &["--namespace", "shop", "--namespace", "shop"],
            64,
            "--namespace shop is there twice",
        ),
        (
            &["--read-everywhere", "--group", "a", "--group", "a"],
            64,
            "--group a is there twice",
        ),
        (
            &["--namespace", "a", "--name", "Bad_Name"],
            2,
            "'--name <NAME>': only lower-case",
        ),
        (
            &["--namespace", "a", "--install-namespace", "UPPER"],
            2,
            "'--install-namespace <NAME>'",
        ),
        (
            &["--namespace", "a", "--install-namespace", "kube-system"],
            64,
            "which is Kubernetes' own",
        ),
        (
            &["--namespace", "a", "--name", "default"],
            64,
            "which is Kubernetes' own",
        ),
        (
            &[
                "--namespace",
                "b",
                "--namespace",
                "a",
                "--install-namespace",
                "a",
            ],
            64,
            "which --namespace names",
        ),
        (
            &[
                "--namespace",
                "a",
                "--flux",
                "https://gitlab.test",
                "--install-namespace",
                "flux-system",
            ],
            64,
            "which --flux-namespace names",
        ),
        (
            &["--namespace", "a", "--image", "a b"],
            2,
            "'--image <IMAGE>'",
        ),
        (
            &["--namespace", "a", "--extra", "Bad Key"],
            2,
            "'--extra <KEY>'",
        ),
    ] {
        is_refused(adit(&agent).args(more), code, because);
    }
}

/// With this code and these words, and nothing is printed.
#[track_caller]
fn is_refused(command: &mut Command, code: i32, because: &str) {
    let ended = command.output().unwrap();
    let said = stderr(&ended);
    assert_eq!(ended.status.code(), Some(code), "{command:?}: {said}");
    assert!(said.contains(because), "{command:?}: {said}");
    assert!(ended.stdout.is_empty(), "{command:?}");
}
