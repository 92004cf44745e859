//! The dashboards in `deploy/grafana/`: written from their pages, sound by themselves, and asking for what there is.

use std::{collections::BTreeSet, fs, process::Command};

use adit_tests::dashboards::dashboard;
use serde_json::Value;
use xtask::{
    command, skip,
    tools::{self, Module, Tools},
};

use super::{alerts, is_written, metrics, queries, root};

const NAMES: [&str; 4] = ["fleet", "relay", "agent", "capacity"];
/// Of Grafana's units, those that are used here; a misspelt one would be shown as text behind the number.
const UNITS: [&str; 10] = [
    "Bps",
    "bytes",
    "cores",
    "dateTimeAsIso",
    "ops",
    "percentunit",
    "reqps",
    "s",
    "short",
    "none",
];

fn file(name: &str) -> String {
    format!("deploy/grafana/{name}")
}

fn read(name: &str) -> Value {
    let text = fs::read_to_string(root().join(file(name)).with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A panel that asks something.
pub(crate) struct Panel {
    pub(crate) what: String,
    /// Each with its legend.
    pub(crate) queries: Vec<(String, String)>,
    shown: Value,
}

/// Of all dashboards.
pub(crate) fn panels() -> Vec<Panel> {
    let of_one = |name: &&str| {
        let dashboard = read(name);
        let panels = dashboard["panels"].as_array().unwrap().clone();
        let asks = panels.into_iter().filter(|panel| panel["type"] != "row");
        asks.map(|shown| Panel::of(name, shown)).collect::<Vec<_>>()
    };
    NAMES.iter().flat_map(of_one).collect()
}

/// The metric of each dashboard whose jobs and instances can be chosen.
pub(crate) fn choices() -> Vec<String> {
    let of_one = |name: &&str| {
        let dashboard = read(name);
        let variables = dashboard["templating"]["list"].as_array().unwrap().clone();
        let mut jobs = variables
            .iter()
            .filter(|variable| variable["name"] == "job");
        let values = text(&jobs.next().unwrap()["definition"]);
        let metric = values.strip_prefix("label_values(").unwrap();
        metric.strip_suffix(", job)").unwrap().to_owned()
    };
    NAMES.iter().map(of_one).collect()
}

impl Panel {
    fn of(dashboard: &str, shown: Value) -> Self {
        let targets = shown["targets"].as_array().unwrap();
        Self {
            what: format!("{dashboard}: {}", text(&shown["title"])),
            queries: targets
                .iter()
                .map(|target| (text(&target["legendFormat"]), text(&target["expr"])))
                .collect(),
            shown,
        }
    }

    /// Names of the alerts whose pages it links to.
    fn runbooks(&self) -> Vec<String> {
        let links = self.shown["links"].as_array().unwrap().iter();
        links
            .map(|link| {
                let (title, url) = (text(&link["title"]), text(&link["url"]));
                assert_eq!(url, format!("${{runbooks}}/{title}.md"));
                title
            })
            .collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn dashboards_are_written_from_their_pages() {
    for name in NAMES {
        let page = root().join(file(name)).with_extension("yaml");
        let page = fs::read_to_string(page).unwrap();
        is_written(&file(&format!("{name}.json")), &dashboard(name, &page));
    }
}

#[test]
fn dashboards_are_sound() {
    let mut uids = BTreeSet::new();
    for name in NAMES {
        let dashboard = read(name);
        assert!(uids.insert(text(&dashboard["uid"])), "{name}");
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: ids");
        let mut covered = BTreeSet::new();
        for panel in panels {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for (x, y) in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
                let place = (at("x") + x, at("y") + y);
                let is_free = place.0 < 24 && covered.insert(place);
                assert!(is_free, "{name}: {} lies on another", panel["title"]);
            }
        }
        sources_are_chosen(name, &dashboard);
    }
}

/// Every field is one that Grafana knows, and of its type: it keeps the others, and does nothing with them.
#[test]
fn dashboards_are_what_grafana_reads() {
    let name = "dashboards_are_what_grafana_reads";
    if let Err(why) = tools::available(&[Module::Grafana]) {
        return skip::skipped(name, &format!("{why:#}"));
    }
    let tools = Tools::ready(&[Module::Grafana]).unwrap();
    let mut reads = Command::new(tools.program(Module::Grafana, "grafana-reads"));
    let files = NAMES.map(|name| root().join(file(name)).with_extension("json"));
    let said = command::text(reads.args(files)).unwrap();
    // Grafana fills in what is left out.
    let left_out = "required field is missing from input";
    let wrong: Vec<_> = said
        .lines()
        .filter(|line| !line.ends_with(left_out))
        .collect();
    assert_eq!(wrong, Vec::<&str>::new());
}

/// No data source is one of our own machine's.
fn sources_are_chosen(name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == "datasource" {
                    assert_eq!(value["uid"], "${datasource}", "{name}");
                }
                sources_are_chosen(name, value);
            }
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| sources_are_chosen(name, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn panels_say_what_they_show_and_ask_for_what_there_is() {
    let mut said = BTreeSet::new();
    for panel in panels() {
        let what = panel.what.clone();
        assert!(said.insert(what.clone()), "{what} is there twice");
        let tells = text(&panel.shown["description"]);
        assert!(tells.ends_with('.'), "{what}: {tells}");
        let unit = text(&panel.shown["fieldConfig"]["defaults"]["unit"]);
        assert!(UNITS.contains(&unit.as_str()), "{what}: {unit}");
        assert!(!panel.queries.is_empty(), "{what} asks nothing");
        for (legend, query) in &panel.queries {
            assert!(!legend.is_empty(), "{what}: {query}");
            // Prometheus' own, of the rules that it was given.
            if query.contains("(ALERTS{") {
                continue;
            }
            queries::asks_for_what_there_is(&what, query);
            let chosen = r#"job=~"$job",instance=~"$instance""#;
            let all = queries::metrics(query).len();
            assert_eq!(query.matches(chosen).count(), all, "{what}: {query}");
        }
    }
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let panels = panels();
    let asked = panels.iter().flat_map(|panel| &panel.queries);
    let shown: BTreeSet<_> = asked
        .flat_map(|(_, query)| queries::metrics(query))
        .map(|(metric, _)| queries::family(metric).to_owned())
        .collect();
    let all = metrics();
    let unseen: Vec<_> = all.difference(&shown).collect();
    assert_eq!(unseen, Vec::<&String>::new());
}

#[test]
fn every_alerts_runbook_is_linked_where_its_numbers_are() {
    let linked: BTreeSet<_> = panels().iter().flat_map(Panel::runbooks).collect();
    let alerts: BTreeSet<_> = alerts::alerts()
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(linked, alerts);
}
