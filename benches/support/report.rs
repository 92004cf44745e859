//! Medians, ratios against the nghttpx pair, a table and a JSON file.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::path::Kind;

/// One measure: its runs, by path.
#[derive(Debug, Default, Serialize)]
pub struct Measure {
    pub name: String,
    /// Whether less is better.
    pub is_cost: bool,
    pub unit: &'static str,
    runs: BTreeMap<&'static str, Vec<f64>>,
}

impl Measure {
    #[must_use]
    pub fn cost(name: impl Into<String>, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            is_cost: true,
            unit,
            runs: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn gain(name: impl Into<String>, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            is_cost: false,
            unit,
            runs: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, kind: Kind, value: f64) {
        self.runs.entry(kind.name()).or_default().push(value);
    }

    #[must_use]
    pub fn median(&self, kind: Kind) -> Option<f64> {
        let mut runs = self.runs.get(kind.name())?.clone();
        runs.sort_by(f64::total_cmp);
        runs.get(runs.len() / 2).copied()
    }

    /// Against the nghttpx pair.
    #[must_use]
    pub fn ratio(&self, kind: Kind) -> Option<f64> {
        Some(self.median(kind)? / self.median(Kind::Nghttpx)?)
    }
}

/// The table for people, in Markdown.
#[must_use]
pub fn table(measures: &[Measure], kinds: &[Kind]) -> String {
    let heads = kinds
        .iter()
        .map(|kind| format!(" {} |", kind.name()))
        .collect::<String>();
    let mut table = format!("| Measure |{heads}\n|---|{}\n", "---|".repeat(kinds.len()));
    for measure in measures {
        let cell = |kind: &Kind| match (measure.median(*kind), measure.ratio(*kind)) {
            (Some(median), Some(ratio)) => format!(" {} ({ratio:.2}) |", number(median)),
            (Some(median), None) => format!(" {} |", number(median)),
            _ => " - |".to_owned(),
        };
        let cells = kinds.iter().map(cell).collect::<String>();
        table += &format!("| {}, {} |{cells}\n", measure.name, measure.unit);
    }
    table
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}
