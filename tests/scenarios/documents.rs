//! The documents' lists against what is there: keys of the configuration and metrics, and that a scenario looks at each metric and at
//! each reason of a refusal. What watches relay and agent asks for what there is.
//!
//! `docs/metrics.md`, what reasons mean in `docs/errors.md`, the tables of keys in `docs/configuration.md` and `docs/agent.md`, what the
//! charts' schemas say of `config`, and `deploy/grafana/*.json` are written here, too, when [`WRITE`] is in the environment: `cargo xtask
//! docs` does that.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use adit_relay::status::REASONS;
use adit_tests::{
    agent, gitlab, kube,
    pki::{self, Made, Pki},
    reference, relay, scenario,
};

pub(crate) mod alerts;
mod asides;
pub(crate) mod dashboards;
mod fences;
mod keys;
mod machine;
mod patches;
mod pieces;
mod proofs;
mod queries;

/// With it, what is generated is written instead of compared.
const WRITE: &str = "ADIT_WRITE_DOCS";

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Fails unless the file of this path holds what is generated now; with [`WRITE`] it will.
fn is_written(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os(WRITE).is_some() {
        fs::write(file, text).unwrap();
    } else {
        let is_current = fs::read_to_string(file).is_ok_and(|there| there == text);
        assert!(is_current, "{path} is out of date: run `cargo xtask docs`");
    }
}

/// What stands below a heading, up to the next.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, below) = document.split_once(&format!("\n{heading}\n")).unwrap();
    below.split("\n#").next().unwrap()
}

/// The same, with the headings of a lower rank.
fn section_with_those_below<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, below) = document.split_once(&format!("\n{heading}\n")).unwrap();
    let (marks, _) = heading.split_once(' ').unwrap();
    below.split(&format!("\n{marks} ")).next().unwrap()
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

/// Every metric of `docs/metrics.md`.
fn metrics() -> BTreeSet<String> {
    let page = document("metrics.md");
    let titles = ["## Of the relay", "## Of the agent", "## Of both"];
    let named: BTreeSet<_> = titles
        .iter()
        .flat_map(|title| listed(&page, title))
        .collect();
    assert!(named.len() > 80, "{named:?}");
    named
}

/// What the scenarios say where they look at something: not in lists of what may stay 0, nor where documents are compared.
fn scenarios_that_look() -> Vec<String> {
    let mut texts = vec![];
    for path in programs("tests/scenarios") {
        let text = fs::read_to_string(&path).unwrap();
        if path.ends_with("monitoring.rs") {
            let (before, list) = text.split_once("\nconst STILL: ").unwrap();
            let (_, after) = list.split_once("\n];\n").unwrap();
            texts.extend([before.to_owned(), after.to_owned()]);
        } else if !path
            .with_extension("")
            .starts_with(root().join("tests/scenarios/documents"))
        {
            texts.push(text);
        }
    }
    texts
}

/// All that a folder's programs say.
fn sources(folder: &str) -> String {
    let read = |file| fs::read_to_string(file).unwrap();
    programs(folder).into_iter().map(read).collect()
}

fn programs(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn metrics_are_documented_as_they_are_registered() {
    scenario(async {
        // What is counted of GitLab is there when it is asked, and what is counted of agents when that is wished.
        let gitlab = gitlab().start().await;
        let secret = gitlab.secret_file().display();
        let keys = format!("api_secret_file: '{secret}', agent_files: {{}}");
        let relay = relay().asking(&gitlab, &keys).with("metrics", "agents", 1);
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pki::shared().write_server(folder.path());
        let relay = relay
            .with_admin_certificate(folder.path())
            .with("gitlab_api", "address", "127.0.0.1:0")
            .with("gitlab_api", "certificate", certificate.display())
            .with("gitlab_api", "key", key.display());
        let ca = Pki::new("agents' CA");
        let file = ca.write_ca(folder.path());
        let relay = relay.with("tunnel", "client_ca_file", file.display()).with(
            "admin",
            "client_ca_file",
            file.display(),
        );
        let (kube, running) = (kube().certified().start().await, relay.start().await);
        let agent = agent("prod").to(&running).serving(&kube);
        let certified = agent.certified(&ca, Made::default()).start().await;
        let (relay, agent) = (running.metrics().await, certified.metrics().await);
        running.stop().await;
        certified.stop().await;
        kube.stop().await;
        is_written("docs/metrics.md", &reference::metrics(&relay, &agent));
    });
}

/// The other columns are compared by the relay's own tests.
#[test]
fn reasons_mean_in_the_documents_what_the_page_says() {
    let page = document("errors.md");
    let mut named = vec![];
    let told = page.split_inclusive('\n').map(|line| {
        let is_of = |name| line.starts_with(&format!("| `{name}` | "));
        let Some(reason) = REASONS.iter().find(|reason| is_of(reason.name)) else {
            return line.to_owned();
        };
        named.push(reason.name);
        let cells: Vec<_> = line.splitn(5, " | ").collect();
        format!("{} | {} |\n", cells[..4].join(" | "), reason.meaning)
    });
    let told: String = told.collect();
    assert_eq!(named, REASONS.map(|reason| reason.name));
    is_written("docs/errors.md", &told);
}

#[test]
fn relays_file_for_gitlab_can_be_copied() {
    let page = document("gitlab.md");
    let (_, below) = page.split_once("\n## A relay's file, whole\n").unwrap();
    let (_, file) = below.split_once("```yaml\n").unwrap();
    let file = file.split("```").next().unwrap();
    let raw = adit_relay::RawConfig::from_yaml(file).unwrap();
    let config = adit_relay::Config::try_from(raw).unwrap();
    assert!(config.doubts().is_empty(), "{:?}", config.doubts());
    assert!(config.gitlab_api.is_some());
    let gitlab = config.gitlab.unwrap();
    assert!(gitlab.agent_files.is_some() && gitlab.browsers.is_some());
}

#[test]
fn every_documented_metric_is_read_by_a_scenario() {
    let scenarios = scenarios_that_look().concat();
    let ends = ["", "_count", "_sum"];
    let named = metrics();
    let unread: Vec<_> = named
        .into_iter()
        .filter(|name| {
            !ends.iter().any(|end| {
                ["\"", "{"]
                    .iter()
                    .any(|next| scenarios.contains(&format!("\"{name}{end}{next}")))
            })
        })
        .collect();
    assert_eq!(unread, Vec::<String>::new());
}

#[test]
fn every_documented_reason_is_seen_by_a_scenario() {
    // Only in functions that look at what was refused.
    let looks = [
        ".reason",
        ".refused()",
        " expect(&",
        ".told()",
        "[\"causes\"]",
        " reason(&",
    ];
    let scenarios = scenarios_that_look();
    let functions = scenarios.iter().flat_map(|text| text.split("\n}\n"));
    let looking: String = functions
        .filter(|text| looks.iter().any(|look| text.contains(look)))
        .collect();
    let reasons = listed(&document("errors.md"), "## All reasons");
    assert!(reasons.len() > 40, "{reasons:?}");
    let unseen: Vec<_> = reasons
        .iter()
        .filter(|reason| !looking.contains(&format!("\"{reason}\"")))
        .collect();
    assert_eq!(unseen, Vec::<&String>::new());
}
