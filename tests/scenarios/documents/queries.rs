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
    for (metric, rest) in asked {
        let row = format!("| `{}` |", family(metric));
        let row = page.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("{what}: there is no {metric}"));
        let Some(selector) = rest.strip_prefix('{') else {
            continue;
        };
        let selector = selector.split('}').next().unwrap();
        for matcher in selector.split(',') {
            let (label, values) = matcher.split_once('=').unwrap();
            if ["job", "instance"].contains(&label) {
                continue;
            }
            let known = values_of(label, metric, row);
            let values = values.trim_start_matches('~').trim_matches('"');
            for value in values.split('|') {
                assert!(
                    known.iter().any(|known| known == value),
                    "{what}: {metric} has no {label} {value}, but {known:?}"
                );
            }
        }
    }
}

fn values_of(label: &str, metric: &str, row: &str) -> Vec<String> {
    if (label, metric) == ("reason", "adit_relay_refusals_total") {
        let reasons = listed(&document("errors.md"), "## All reasons");
        return reasons.into_iter().collect();
    }
    let (_, known) = row.split_once(&format!("`{label}`: ")).unwrap();
    let known = known.split([';', '|']).next().unwrap().split(", ");
    known.map(|value| value.trim().to_owned()).collect()
}
