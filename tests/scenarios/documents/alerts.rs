//! The alerts in `deploy/prometheus/alerts.yaml`: each asks for metrics and labels that there are, has its runbook, and a test of its
//! own in `alerts.test.yaml`.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use adit_tests::prometheus;
use serde_json::{Value, json};
use xtask::command;

use super::{queries, root};

fn folder() -> PathBuf {
    root().join("deploy/prometheus")
}

/// The file as it is shipped.
pub(crate) fn rules() -> String {
    read("alerts.yaml")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn parse(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// A rule's name, its expression, and the rest of it.
pub(crate) fn alerts() -> Vec<(String, String, Value)> {
    let file = parse(&rules());
    let rules = file["groups"][0]["rules"].as_array().unwrap().clone();
    rules
        .into_iter()
        .map(|rule| {
            let text = |key: &str| rule[key].as_str().unwrap().to_owned();
            (text("alert"), text("expr"), rule)
        })
        .collect()
}

#[test]
fn alerts_ask_for_what_there_is() {
    for (name, expression, _) in alerts() {
        queries::asks_for_what_there_is(&name, &expression);
    }
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let mut named = BTreeSet::new();
    for (name, expression, rule) in alerts() {
        let path = format!("docs/runbooks/{name}.md");
        assert_eq!(rule["annotations"]["runbook"], path.as_str());
        let book = fs::read_to_string(root().join(&path)).unwrap();
        let query = format!("```promql\n{expression}\n```\n");
        assert!(book.contains(&query), "{name} is about another expression");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{severity}");
        assert!(named.insert(format!("{name}.md")), "{name} is there twice");
    }
    let books = fs::read_dir(root().join("docs/runbooks")).unwrap();
    let books: BTreeSet<_> = books
        .map(|book| book.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(books, named);
}

/// Each query that a runbook has, and the runbook.
fn asked_in_runbooks() -> Vec<(String, String)> {
    let books = fs::read_dir(root().join("docs/runbooks")).unwrap();
    let texts = books.map(|book| {
        let path = book.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    let mut asked = Vec::new();
    for (name, text) in texts {
        // Between fences, and in the text between them.
        for (place, part) in text.split("```").enumerate() {
            let codes: Vec<_> = if place % 2 == 1 {
                vec![part.strip_prefix("promql\n").unwrap()]
            } else {
                part.split('`').skip(1).step_by(2).collect()
            };
            let queries = codes
                .into_iter()
                .filter(|code| !queries::metrics(code).is_empty());
            asked.extend(queries.map(|query| (name.clone(), query.to_owned())));
        }
    }
    assert!(asked.len() > alerts().len(), "{asked:?}");
    asked
}

#[test]
fn runbooks_ask_for_what_there_is() {
    for (name, query) in asked_in_runbooks() {
        queries::asks_for_what_there_is(&name, &query);
    }
}

#[test]
fn prometheus_understands_what_runbooks_ask() {
    let name = "documents::alerts::prometheus_understands_what_runbooks_ask";
    let Some(programs) = prometheus::programs(name) else {
        return;
    };
    let asked = asked_in_runbooks().into_iter().enumerate();
    let rules: Vec<_> = asked
        .map(|(place, (name, query))| json!({ "record": format!("{name}:{place}"), "expr": query }))
        .collect();
    let file = json!({ "groups": [{ "name": "runbooks", "rules": rules }] });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("asked.yaml"), file.to_string()).unwrap();
    let mut promtool = Command::new(programs.promtool());
    let promtool = promtool.args(["check", "rules", "asked.yaml"]);
    command::text(promtool.current_dir(folder.path())).unwrap_or_else(|said| panic!("{said:#}"));
}

#[test]
fn alerts_pass_their_tests() {
    let Some(programs) = prometheus::programs("documents::alerts::alerts_pass_their_tests") else {
        return;
    };
    for arguments in [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts.test.yaml"],
    ] {
        let mut promtool = Command::new(programs.promtool());
        let promtool = promtool.args(arguments).current_dir(folder());
        command::text(promtool).unwrap_or_else(|said| panic!("{said:#}"));
    }
}

/// Some of its series are called `good`, and those that it is told for are called otherwise, so that an alert is also tested with what it must not be told for.
#[test]
fn every_alert_is_tested_before_it_fires_and_firing() {
    let file = parse(&read("alerts.test.yaml"));
    for (name, ..) in alerts() {
        let mut tests = file["tests"].as_array().unwrap().iter();
        let test = tests.find(|test| test["name"] == name.as_str());
        let test = test.unwrap_or_else(|| panic!("{name} has no test"));
        let series = test["input_series"].to_string();
        let good = r#"instance=\"good\""#;
        assert!(series.contains(good), "{name}: nothing is good");
        assert!(series.matches("instance=").count() > series.matches(good).count());
        let looks = test["alert_rule_test"].as_array().unwrap();
        let fires: Vec<_> = looks
            .iter()
            .filter(|look| look["alertname"] == name.as_str())
            .map(|look| look["exp_alerts"].is_array())
            .collect();
        assert_eq!(fires, [false, true], "{name}");
    }
}
