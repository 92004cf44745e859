//! Writes `docs/metrics.md` from what a relay and an agent tell of themselves: names, types, units, labels and meanings are those
//! that are registered, so there is no metric without its line, and no line without its metric.

use std::fmt::Write;

use crate::Metrics;

/// Labels whose values are not listed: there is any number of them, or they have a page of their own.
const UNLISTED: [(&str, &str); 3] = [
    ("agent", "an agent's id"),
    ("reason of adit_relay_refusals", "see [errors](errors.md)"),
    ("version", "adit's"),
];

/// What is told of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Family {
    name: String,
    kind: String,
    unit: String,
    help: String,
    /// Each label with its values.
    labels: Vec<(String, Vec<String>)>,
}

/// The whole page.
#[must_use]
pub fn metrics(relay: &Metrics, agent: &Metrics) -> String {
    let (relay, agent) = (families(relay), families(agent));
    let is_of = |all: &[Family], family: &Family| all.iter().any(|one| one.name == family.name);
    let (common, of_relay): (Vec<_>, Vec<_>) =
        relay.into_iter().partition(|family| is_of(&agent, family));
    let of_agent = agent
        .into_iter()
        .filter(|family| !is_of(&common, family))
        .collect();
    let mut page = String::from(HEAD);
    for (title, families) in [
        ("Of the relay", of_relay),
        ("Of the agent", of_agent),
        ("Of both", common),
    ] {
        write!(
            page,
            "\n## {title}\n\n| Metric | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n"
        )
        .unwrap();
        for family in families {
            writeln!(page, "{}", family.row()).unwrap();
        }
    }
    page
}

const HEAD: &str = "\
# Metrics

<!-- Written by `cargo xtask docs` from what relay and agent register: to change it, change the code. -->

`/metrics` on the private port of the relay (`admin.address`, 8151) and of the agent (8152) tells them in the OpenMetrics format.
A series with a fixed label is there from the start, at 0. A name, once published, keeps its meaning. Those of calls to
GitLab are there with `authorities.gitlab`, those of single agents with `metrics.agents`, those of a certificate with one, and those of
CAs with `tunnel.client_ca_file` or `admin.client_ca_file`.
";

impl Family {
    fn row(&self) -> String {
        let suffix = match self.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = self.labels.iter().map(|label| self.label(label)).collect();
        format!(
            "| `{}{suffix}` | {} | {} | {} | {} |",
            self.name,
            self.kind,
            self.unit,
            labels.join("; "),
            self.help
        )
    }

    fn label(&self, (label, values): &(String, Vec<String>)) -> String {
        let of_name = format!("{label} of {}", self.name);
        let unlisted = UNLISTED
            .iter()
            .find(|(name, _)| name == label || *name == of_name);
        match unlisted {
            Some((_, what)) => format!("`{label}`: {what}"),
            None => format!("`{label}`: {}", values.join(", ")),
        }
    }

    /// Takes in a sample's labels.
    fn add(&mut self, sample: &str) {
        let Some((labels, _)) = sample
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
        else {
            return;
        };
        for pair in labels.split(',') {
            let (label, value) = pair.split_once('=').unwrap();
            let value = value.trim_matches('"').to_owned();
            if label == "le" {
                continue;
            }
            match self.labels.iter_mut().find(|(known, _)| known == label) {
                Some((_, values)) if values.contains(&value) => {}
                Some((_, values)) => values.push(value),
                None => self.labels.push((label.to_owned(), vec![value])),
            }
        }
    }
}

/// In their order.
fn families(metrics: &Metrics) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in metrics.0.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                let is_new = families.iter().all(|family| family.name != name);
                assert!(is_new, "{name} is told twice");
                assert!(help.ends_with('.') && !help.contains('|'), "{name}: {help}");
                families.push(Family {
                    name: name.to_owned(),
                    kind: String::new(),
                    unit: String::new(),
                    help: help.to_owned(),
                    labels: Vec::new(),
                });
            }
            (Some("#"), Some("TYPE"), Some(_), Some(kind)) => {
                families.last_mut().unwrap().kind = kind.to_owned();
            }
            (Some("#"), Some("UNIT"), Some(_), Some(unit)) => {
                families.last_mut().unwrap().unit = unit.to_owned();
            }
            (Some("#"), ..) => {}
            _ => families.last_mut().unwrap().add(line),
        }
    }
    families
}
