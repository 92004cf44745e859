//! The documents' lists against what is there: keys of the configuration and metrics in both directions, and that a scenario looks
//! at each metric and at each reason of a refusal.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use adit_tests::{World, gitlab, kube, relay, scenario};

mod keys;

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What stands below a heading, up to the next.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, below) = document.split_once(&format!("\n{heading}\n")).unwrap();
    below.split("\n#").next().unwrap()
}

/// The names in the first column of the table below a heading.
fn listed(document: &str, heading: &str) -> BTreeSet<String> {
    let rows = section(document, heading)
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let cell = row.split(" | ").next().unwrap_or_default();
        cell.split(", ")
            .map(|name| {
                name.trim_matches('`')
                    .split('{')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect::<Vec<_>>()
    })
    .collect()
}

fn metrics_of_the_relay() -> BTreeSet<String> {
    listed(&document("configuration.md"), "### Metrics")
}

fn metrics_of_the_agent() -> BTreeSet<String> {
    listed(&document("agent.md"), "## Metrics")
}

/// All that the scenarios say.
fn scenarios() -> String {
    let mut text = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    scenario(async {
        // What is counted of GitLab is there when it is asked.
        let gitlab = gitlab().start().await;
        let world = World::of(kube(), relay().asking(&gitlab, "recheck: 30s")).await;
        assert_eq!(world.relay.metrics().await.names(), metrics_of_the_relay());
        assert_eq!(world.agent.metrics().await.names(), metrics_of_the_agent());
        world.stop().await;
    });
}

#[test]
fn every_documented_metric_is_read_by_a_scenario() {
    let scenarios = scenarios();
    let ends = ["", "_count", "_sum"];
    let unread: Vec<_> = metrics_of_the_relay()
        .union(&metrics_of_the_agent())
        .filter(|name| {
            !ends.iter().any(|end| {
                ["\"", "{"]
                    .iter()
                    .any(|next| scenarios.contains(&format!("\"{name}{end}{next}")))
            })
        })
        .cloned()
        .collect();
    assert_eq!(unread, Vec::<String>::new());
}

#[test]
fn every_documented_reason_is_seen_by_a_scenario() {
    let scenarios = scenarios();
    let reasons = listed(&document("errors.md"), "## All reasons");
    assert!(reasons.len() > 40, "{reasons:?}");
    let unseen: Vec<_> = reasons
        .iter()
        .filter(|reason| !scenarios.contains(&format!("\"{reason}\"")))
        .collect();
    assert_eq!(unseen, Vec::<&String>::new());
}
