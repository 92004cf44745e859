//! Medians, ratios against the first contender, a table and a JSON file.

use std::collections::BTreeMap;

use serde::Serialize;

/// One measure: its runs, by path.
#[derive(Debug, Default, Serialize)]
pub struct Measure {
    pub name: String,
    /// Whether less is better.
    pub is_cost: bool,
    pub unit: &'static str,
    runs: BTreeMap<String, Vec<f64>>,
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

    pub fn add(&mut self, contender: &str, value: f64) {
        self.runs
            .entry(contender.to_owned())
            .or_default()
            .push(value);
    }

    #[must_use]
    pub fn median(&self, contender: &str) -> Option<f64> {
        let mut runs = self.runs.get(contender)?.clone();
        runs.sort_by(f64::total_cmp);
        runs.get(runs.len() / 2).copied()
    }

    #[must_use]
    pub fn ratio(&self, contender: &str, against: &str) -> Option<f64> {
        Some(self.median(contender)? / self.median(against)?)
    }
}

/// The table for people, in Markdown: medians, and in brackets their ratios to the first contender.
#[must_use]
pub fn table(measures: &[Measure], contenders: &[&str]) -> String {
    let heads = contenders
        .iter()
        .map(|name| format!(" {name} |"))
        .collect::<String>();
    let mut table = format!(
        "| Measure |{heads}\n|---|{}\n",
        "---|".repeat(contenders.len())
    );
    for measure in measures {
        let cell = |name: &&str| {
            let first = contenders.first().copied().unwrap_or_default();
            match (measure.median(name), measure.ratio(name, first)) {
                (Some(median), Some(ratio)) => format!(" {} ({ratio:.2}) |", number(median)),
                (Some(median), None) => format!(" {} |", number(median)),
                (None, _) => " - |".to_owned(),
            }
        };
        let cells = contenders.iter().map(cell).collect::<String>();
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
