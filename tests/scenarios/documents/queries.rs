//! What a query of Prometheus names: only metrics and values of labels that the documents list.

use super::{document, listed};

/// What follows each metric's name in a query, with the name.
pub(super) fn metrics(query: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = |at: usize| !query[..at].ends_with(is_name);
    ["adit_", "process_"]
        .into_iter()
        .flat_map(|start| query.match_indices(start))
        .filter(|(at, _)| begins(*at))
        .map(|(at, _)| {
            let rest = &query[at..];
            rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()))
        })
        .collect()
}

/// The name that `docs/metrics.md` has for it.
pub(super) fn family(metric: &str) -> &str {
    let of_histogram = ["_bucket", "_count", "_sum"];
    let cut = of_histogram.iter().find_map(|end| metric.strip_suffix(end));
    cut.unwrap_or(metric)
}

pub(super) fn asks_for_what_there_is(what: &str, query: &str) {
    let page = document("metrics.md");
    let asked = metrics(query);
    assert!(!asked.is_empty(), "{what}: {query}");
    let mut rows = Vec::new();
    for (metric, rest) in asked {
        let row = format!("| `{}` |", family(metric));
        let row = page.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("{what}: there is no {metric}"));
        rows.push(row);
        if let Some(selector) = rest.strip_prefix('{') {
            let selector = selector.split('}').next().unwrap();
            selects_what_there_is(what, metric, selector, row);
        }
    }
    for label in grouped_by(query) {
        let named = format!("`{label}`: ");
        let is_there = OF_TARGETS.contains(&label)
            || rows.iter().any(|row| row.contains(&named))
            || label == "le" && query.contains("_bucket");
        assert!(is_there, "{what}: nothing has a label {label}: {query}");
    }
}

fn selects_what_there_is(what: &str, metric: &str, selector: &str, row: &str) {
    for matcher in selector.split(',') {
        let operator = matcher.find(['=', '!']);
        let (label, values) = matcher.split_at(operator.unwrap());
        if OF_TARGETS.contains(&label) {
            continue;
        }
        let known = values_of(what, label, metric, row);
        let values = values.trim_start_matches(['=', '!', '~']);
        for value in values.trim_matches('"').split('|') {
            assert!(
                known.iter().any(|known| known == value),
                "{what}: {metric} has no {label} {value}, but {known:?}"
            );
        }
    }
}

/// The labels by which it adds up or matches.
fn grouped_by(query: &str) -> impl Iterator<Item = &str> {
    let lists = ["by (", "without (", "on (", "ignoring (", "group_left ("];
    let lists = lists.into_iter().flat_map(|word| query.split(word).skip(1));
    let labels = lists.flat_map(|rest| rest.split(')').next().unwrap().split(','));
    labels.map(str::trim).filter(|label| !label.is_empty())
}

/// Labels that Prometheus adds, or the operator or an owner of several clusters has added.
const OF_TARGETS: [&str; 4] = ["cluster", "job", "namespace", "instance"];

fn values_of(what: &str, label: &str, metric: &str, row: &str) -> Vec<String> {
    if (label, metric) == ("reason", "adit_relay_refusals_total") {
        let reasons = listed(&document("errors.md"), "## All reasons");
        return reasons.into_iter().collect();
    }
    let known = row.split_once(&format!("`{label}`: "));
    let (_, known) = known.unwrap_or_else(|| panic!("{what}: {metric} has no {label}"));
    let known = known.split([';', '|']).next().unwrap().split(", ");
    known.map(|value| value.trim().to_owned()).collect()
}
