//! Commands that stand elsewhere than in a block: in the documents' own sentences and tables, in comments of what is deployed, in the notes
//! that helm prints. Each is one that stands in a block, too, where it is run; or it is named here, with the test that does it.

use std::{collections::BTreeSet, fs, path::PathBuf};

use adit_tests::documents;
use serde_json::Value;

use super::{
    fences::{Judge, all, lacks, telling},
    root,
};

/// Said in passing, and done by these in the same words; none: it is no program of ours, or changes the reader's machine, or is how all of
/// this is tested and measured.
const ELSEWHERE: [(&str, &[&str]); 23] = [
    ("adit <command> --help", &["crates/adit/tests/cli/help.rs"]),
    (
        "adit access explain --free",
        &["crates/adit/tests/gitlab_files.rs"],
    ),
    ("adit doctor job --idle 75s", &["tests/cluster/doctor.rs"]),
    ("cargo run --release -- dev", &[]),
    ("cargo xtask bench", &[]),
    ("cargo xtask demo --gitlab", &["xtask/tests/demo"]),
    ("cargo xtask docs", &["tests/scenarios/documents.rs"]),
    ("cargo xtask down", &[]),
    ("cargo xtask test", &[]),
    (
        "curl -H 'traceparent: 00-…-01'",
        &["tests/scenarios/traces.rs"],
    ),
    (
        "glab cluster agent update-kubeconfig --agent <id> --use-context",
        &[],
    ),
    ("journalctl --unit adit-agent", &[]),
    ("journalctl --unit adit-relay", &[]),
    ("kubectl apply --server-side", &["tests/cluster/verbs.rs"]),
    (
        "kubectl create --dry-run=server",
        &["tests/cluster/verbs.rs"],
    ),
    (
        "kubectl delete --ignore-not-found",
        &["tests/cluster/secrets.rs"],
    ),
    (
        "kubectl get secrets --all-namespaces",
        &["tests/cluster/rights.rs"],
    ),
    ("kubectl logs -f", &["tests/cluster/logs.rs"]),
    ("systemctl disable --now adit-relay", &[]),
    ("systemctl edit adit-agent", &[]),
    ("systemctl edit adit-relay", &[]),
    ("systemctl reload adit-relay", &[]),
    ("systemctl restart adit-agent", &[]),
];

/// What is run of all documents, word by word.
fn run() -> Vec<Vec<String>> {
    let mut run = Vec::new();
    for (_, block) in all() {
        match block.kind.as_str() {
            "sh" => run.extend(block.commands()),
            "console" => {
                let commands = block.commands().into_iter();
                run.extend(commands.filter_map(|line| Some(line.strip_prefix("$ ")?.to_owned())));
            }
            "yaml" => run.extend(scripts(&block.text)),
            _ => {}
        }
    }
    run.iter().map(|line| words(line)).collect()
}

/// Of a pipeline's jobs; the trial of the documents runs them.
fn scripts(text: &str) -> Vec<String> {
    let Ok(Value::Object(jobs)) = serde_saphyr::from_str(text) else {
        return Vec::new();
    };
    let lines = jobs
        .values()
        .filter_map(|job| job["script"].as_array())
        .flatten();
    lines
        .filter_map(|line| Some(line.as_str()?.to_owned()))
        .collect()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Whether its words are some of those, in order. `{{ ... }}` is anything, and a file may be told by its name alone.
fn is_part_of(aside: &[String], run: &[String]) -> bool {
    let mut run = run.iter();
    aside
        .iter()
        .all(|word| run.any(|there| is_same(word, there)))
}

fn is_same(word: &str, there: &str) -> bool {
    let Some((before, rest)) = word.split_once("{{") else {
        return word == there || there.ends_with(&format!("/{word}"));
    };
    let (_, after) = rest.split_once("}}").unwrap();
    let Some(there) = there.strip_prefix(before) else {
        return false;
    };
    // What the gap is filled with ends where the rest begins.
    (0..=there.len()).any(|end| there.is_char_boundary(end) && is_same(after, &there[end..]))
}

/// So that a gap has no blanks: `{{}}`.
fn without_what_is_in_gaps(line: &str) -> String {
    let mut parts = line.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_within, after) = part.split_once("}}").unwrap();
        text += "{{}}";
        text += after;
    }
    text
}

/// Outside of blocks, between backticks: what has a program, and two words more.
fn said(text: &str) -> Vec<String> {
    let mut is_within = false;
    let outside = text.lines().map(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_within ^= is_fence;
        if is_fence || is_within { "" } else { line }
    });
    let outside = outside.collect::<Vec<_>>().join("\n");
    let quoted = outside.split('`').skip(1).step_by(2);
    let quoted = quoted.map(|said| words(said).join(" "));
    quoted.filter(|said| words(said).len() > 2).collect()
}

#[test]
fn commands_said_in_passing_are_run() {
    let (judge, run) = (Judge::new(), run());
    let (mut asides, mut said_elsewhere) = (0, BTreeSet::new());
    for document in documents() {
        for said in said(&fs::read_to_string(&document).unwrap()) {
            if !judge.is_command(&said) {
                continue;
            }
            asides += 1;
            let elsewhere = ELSEWHERE.iter().find(|(command, _)| *command == said);
            if let Some((command, files)) = elsewhere {
                let files: Vec<_> = files.iter().map(PathBuf::from).collect();
                if !files.is_empty() {
                    let missing = lacks(telling(command), &files);
                    assert_eq!(missing, None, "{}: `{said}`", document.display());
                }
                said_elsewhere.insert(*command);
                continue;
            }
            let parts = words(&said);
            let is_run = run.iter().any(|run| is_part_of(&parts, run));
            assert!(is_run, "{}: nobody runs `{said}`", document.display());
        }
    }
    assert!(asides > 20, "{asides}");
    // Nothing stays on the list that nobody says.
    assert_eq!(said_elsewhere.len(), ELSEWHERE.len());
}

#[test]
fn commands_in_comments_and_notes_are_run() {
    let (judge, run) = (Judge::new(), run());
    let mut count = 0;
    for (file, prefix) in [
        ("charts/adit-agent/templates/NOTES.txt", "    "),
        ("charts/adit-relay/templates/NOTES.txt", "    "),
        (
            "manifests/agent/client-certificate/kustomization.yaml",
            "#   ",
        ),
        ("manifests/agent/namespaced/kustomization.yaml", "#   "),
        ("manifests/agent/workload/deployment.yaml", "#   "),
        ("manifests/relay/client-ca/kustomization.yaml", "#   "),
        ("manifests/relay/secrets/kustomization.yaml", "#   "),
        ("manifests/relay/deployment.yaml", "#   "),
        ("systemd/adit-agent.service", "#   "),
        ("systemd/adit-relay.service", "#   "),
    ] {
        let text = fs::read_to_string(root().join("deploy").join(file)).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        let commands: Vec<_> = lines.filter(|line| judge.is_command(line)).collect();
        assert!(!commands.is_empty(), "{file}");
        for command in commands {
            let spelled = without_what_is_in_gaps(command);
            let (command, _comment) = spelled.split_once(" #").unwrap_or((&spelled, ""));
            let parts = words(command);
            let is_run = run.iter().any(|run| is_part_of(&parts, run));
            assert!(is_run, "{file}: nobody runs `{command}`");
            count += 1;
        }
    }
    assert!(count > 11, "{count}");
}

#[test]
fn command_that_is_told_otherwise_is_no_part() {
    let run =
        words("kubectl --namespace shop create secret generic a --from-file=token=/b/c.token");
    for part in [
        "kubectl create secret generic",
        "kubectl --namespace {{.Release.Namespace}} create secret generic a",
        "kubectl create --from-file={{.Values.key}}=/b/c.token",
    ] {
        assert!(is_part_of(&words(part), &run), "{part}");
    }
    for other in [
        "kubectl create generic secret",
        "kubectl delete secret",
        "kubectl create --from-file={{.Values.key}}=d.token",
        "kubectl create secret generic a b",
    ] {
        assert!(!is_part_of(&words(other), &run), "{other}");
    }
}
