//! The alerts in `deploy/prometheus/alerts.yaml`: each asks for metrics and labels that there are, and has its runbook.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{document, root};

/// A rule's name, its expression, and the rest of it.
fn alerts() -> Vec<(String, String, Value)> {
    let text = fs::read_to_string(root().join("deploy/prometheus/alerts.yaml")).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    let rules = file["groups"][0]["rules"].as_array().unwrap().clone();
    rules
        .into_iter()
        .map(|rule| {
            let text = |key: &str| rule[key].as_str().unwrap().to_owned();
            (text("alert"), text("expr"), rule)
        })
        .collect()
}

/// What follows each metric's name in an expression, with the name.
fn metrics(expression: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = |at: usize| !expression[..at].ends_with(is_name);
    ["adit_", "process_"]
        .into_iter()
        .flat_map(|start| expression.match_indices(start))
        .filter(|(at, _)| begins(*at))
        .map(|(at, _)| {
            let rest = &expression[at..];
            rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()))
        })
        .collect()
}

#[test]
fn alerts_ask_for_what_there_is() {
    let page = document("metrics.md");
    for (name, expression, _) in alerts() {
        let asked = metrics(&expression);
        assert!(!asked.is_empty(), "{name}");
        for (metric, rest) in asked {
            let row = format!("| `{metric}` |");
            let row = page.lines().find(|line| line.starts_with(&row));
            let row = row.unwrap_or_else(|| panic!("{name}: there is no {metric}"));
            let Some(selector) = rest.strip_prefix('{') else {
                continue;
            };
            let selector = selector.split('}').next().unwrap();
            let (label, values) = selector.split_once('=').unwrap();
            let values = values.trim_start_matches('~').trim_matches('"');
            let known = row.split_once(&format!("`{label}`: ")).unwrap().1;
            let known: Vec<_> = known
                .split([';', '|'])
                .next()
                .unwrap()
                .split(", ")
                .collect();
            for value in values.split('|') {
                assert!(
                    known.iter().any(|known| known.trim() == value),
                    "{name}: {metric} has no {label} {value}, but {known:?}"
                );
            }
        }
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
