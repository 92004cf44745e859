//! Each piece of a file that the documents print is taken by who would read that file: a relay's and an agent's by their own strict
//! readers, over a file that has what else is required; GitLab's file of an agent by the reader of those; Prometheus's by promtool.
//!
//! Elsewhere: what Kubernetes would read is shown to an API server by the trial of the documents, which runs jobs' scripts, too; a chart's
//! values are linted with it (`tests/cluster/manifests.rs`); Envoy's file is run (`networks.rs`).

use std::{collections::BTreeSet, fs, process::Command};

use adit_authority::agent_file::{AgentFile, Findings};
use adit_tests::{
    documents::{Block, Mark},
    prometheus,
};
use serde_json::{Map, Value, json};

use super::{fences::all, keys, root};

/// Who reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    RelayOrAgent,
    GitLab,
    Runner,
    Kubernetes,
    Kustomize,
    Patches,
    Helm,
    Prometheus,
    Grafana,
    Envoy,
}

impl Reader {
    /// By what no other's file has.
    fn of(piece: &Map<String, Value>) -> Self {
        let has = |key: &str| piece.contains_key(key);
        let is_job = |job: &Value| job.get("script").is_some();
        match () {
            () if has("apiVersion") && has("kind") => Self::Kubernetes,
            () if has("static_resources") => Self::Envoy,
            () if has("scrape_configs") => Self::Prometheus,
            () if has("providers") => Self::Grafana,
            () if has("ci_access") || has("user_access") => Self::GitLab,
            () if has("resources") && has("images") => Self::Kustomize,
            () if has("patches") => Self::Patches,
            () if ["config", "podMonitor", "networkPolicy"]
                .into_iter()
                .any(has) =>
            {
                Self::Helm
            }
            () if piece.values().any(is_job) => Self::Runner,
            () => Self::RelayOrAgent,
        }
    }
}

fn parsed(block: &Block) -> Result<Vec<Map<String, Value>>, String> {
    let texts = block.text.split("\n---\n");
    let piece = |text: &str| match serde_saphyr::from_str(text) {
        Ok(Value::Object(piece)) => Ok(piece),
        Ok(_) => Err("it has no keys".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    texts.map(piece).collect()
}

/// What is wrong with it, as far as this is where it is looked at.
fn fault(document: &str, block: &Block) -> Result<BTreeSet<Reader>, String> {
    let mut readers = BTreeSet::new();
    for piece in parsed(block)? {
        let reader = Reader::of(&piece);
        readers.insert(reader);
        match reader {
            Reader::RelayOrAgent => is_taken(&piece, &[keys::relay(), keys::agent()])?,
            Reader::GitLab => is_an_agents_file(document, &block.text)?,
            Reader::Helm => {
                if let Some(config) = piece.get("config").and_then(Value::as_object) {
                    is_taken(config, &[keys::relay()])?;
                }
            }
            Reader::Kustomize if matches!(block.mark()?, Mark::File(_)) => {}
            Reader::Kustomize => return Err("nobody applies it".to_owned()),
            // By `patches.rs`, over the manifests.
            Reader::Patches => {}
            Reader::Envoy if document == "docs/networks.md" => {}
            Reader::Envoy => return Err("nobody runs it".to_owned()),
            // See above.
            Reader::Kubernetes | Reader::Runner | Reader::Prometheus | Reader::Grafana => {}
        }
    }
    Ok(readers)
}

fn is_taken(piece: &Map<String, Value>, programs: &[keys::Program]) -> Result<(), String> {
    let text = Value::Object(piece.clone()).to_string();
    // The one hash that is written so that nobody takes it for a real one.
    let text = text.replace("sha256:...", &format!("sha256:{}", "0".repeat(64)));
    let piece: Value = serde_json::from_str(&text).unwrap();
    let mut faults = Vec::new();
    for program in programs {
        for file in program.files.iter().chain(&bare()) {
            let mut whole = file.clone();
            put_over(&mut whole, piece.clone());
            match (program.check)(whole) {
                Ok(_) => return Ok(()),
                Err(why) => faults.push(why),
            }
        }
    }
    faults.sort();
    faults.dedup();
    Err(faults.join("\n"))
}

/// Of a relay that asks GitLab and nobody else, with a certificate and without.
fn bare() -> [Value; 2] {
    let asking = json!({ "gitlab": { "url": "https://gitlab.example.com" } });
    let own = json!({ "certificate": "/a.pem", "key": "/a.key" });
    [
        json!({ "listen": own, "authorities": asking }),
        json!({ "listen": { "address": "127.0.0.1:1" }, "authorities": asking }),
    ]
}

/// Key by key; lists as a whole.
fn put_over(whole: &mut Value, piece: Value) {
    match (whole, piece) {
        (Value::Object(whole), Value::Object(piece)) => {
            for (key, value) in piece {
                put_over(whole.entry(key).or_insert(Value::Null), value);
            }
        }
        (whole, piece) => *whole = piece,
    }
}

fn is_an_agents_file(document: &str, text: &str) -> Result<(), String> {
    let mut findings = Findings::default();
    let file = AgentFile::read(text, &mut findings);
    // One is there to show what is said of a key that GitLab does not know.
    let known = |key: &str| !(document == "docs/commands.md" && key.contains("enviroments"));
    let warnings = findings
        .warnings
        .iter()
        .map(|warning| format!("{warning:?}"));
    let warnings: Vec<_> = warnings.filter(|warning| known(warning)).collect();
    if file.is_some() && warnings.is_empty() {
        Ok(())
    } else {
        Err(format!("{:?} {warnings:?}", findings.mistakes))
    }
}

#[test]
fn printed_pieces_of_files_are_taken_by_their_readers() {
    let mut readers = BTreeSet::new();
    for (document, block) in all() {
        if block.kind == "yaml" {
            let taken = fault(&document, &block);
            let place = format!("{document}:{}", block.line);
            readers.extend(taken.unwrap_or_else(|why| panic!("{place}: {why}")));
        }
    }
    assert_eq!(readers.len(), 10, "{readers:?}");
}

#[test]
fn misspelt_key_in_a_printed_piece_is_found() {
    for (document, line, misspelt) in [
        (
            "docs/networks.md",
            "  tls_ended_before: true",
            "tls_ended_befor",
        ),
        ("docs/status.md", "  client_ca_file: ", "client_ca_fil"),
        ("docs/audit.md", "  to: file", "too"),
        ("docs/audit.md", "    endpoint: ", "endpont"),
        ("docs/traces.md", "  sample: ", "sampel"),
        ("docs/agent.md", "  namespaces: ", "namespacs"),
        ("docs/gitlab.md", "  gitlab_url: ", "gitlab_ulr"),
        ("docs/gitlab.md", "      access_as: ", "acces_as"),
        ("docs/install.md", "  admin: ", "amdin"),
    ] {
        let key = line.trim_start().split(':').next().unwrap();
        let of_document = |(name, block): &(String, Block)| {
            name == document && block.kind == "yaml" && block.text.contains(line)
        };
        let (_, mut block) = all().into_iter().find(of_document).unwrap();
        block.text = block.text.replace(line, &line.replace(key, misspelt));
        assert!(fault(document, &block).is_err(), "{document}: {misspelt}");
    }
}

#[test]
fn printed_configuration_of_prometheus_is_taken_by_promtool() {
    let test = "printed_configuration_of_prometheus_is_taken_by_promtool";
    let Some(programs) = prometheus::programs(test) else {
        return;
    };
    let is_prometheus = |block: &Block| block.text.contains("scrape_configs:");
    let mut found = 0;
    for (document, block) in all() {
        if block.kind != "yaml" || !is_prometheus(&block) {
            continue;
        }
        found += 1;
        let folder = tempfile::tempdir().unwrap();
        let rules = root().join("deploy/prometheus/alerts.yaml");
        fs::copy(rules, folder.path().join("alerts.yaml")).unwrap();
        let file = folder.path().join("prometheus.yaml");
        fs::write(&file, &block.text).unwrap();
        let mut promtool = Command::new(programs.promtool());
        let said = promtool
            .args(["check", "config"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(said.status.success(), "{document}: {said:?}");
    }
    assert!(found > 0);
}
