//! Rows of the race: their medians, their ratios, what they must be, and whether they are.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use crate::path::{HAPROXY, NGHTTPX};

mod goal;
pub mod picture;
mod table;

pub use goal::{Beside, Goal, Verdict};
pub use table::{goals, medians};

/// What is measured, and what it is to be.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: Cow<'static, str>,
    pub unit: &'static str,
    pub better: Better,
    pub goals: Vec<Goal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Less,
    More,
}

impl Row {
    #[must_use]
    pub fn cost(name: impl Into<Cow<'static, str>>, unit: &'static str) -> Self {
        Self::new(name.into(), unit, Better::Less)
    }

    #[must_use]
    pub fn gain(name: impl Into<Cow<'static, str>>, unit: &'static str) -> Self {
        Self::new(name.into(), unit, Better::More)
    }

    fn new(name: Cow<'static, str>, unit: &'static str, better: Better) -> Self {
        Self {
            name,
            unit,
            better,
            goals: Vec::new(),
        }
    }

    /// What adit's figure must be at the most, or at the least where more is better, and what we aim at.
    #[must_use]
    pub fn must(mut self, beside: Beside, must: f64, aim: f64) -> Self {
        self.goals.push(Goal { beside, must, aim });
        self
    }
}

/// A row with its runs, by contender.
#[derive(Debug, Serialize)]
pub struct Measure {
    #[serde(flatten)]
    pub row: Row,
    runs: BTreeMap<String, Vec<f64>>,
}

impl Measure {
    #[must_use]
    pub fn median(&self, contender: &str) -> Option<f64> {
        median(self.runs.get(contender)?.clone())
    }

    #[must_use]
    pub fn ratio(&self, contender: &str, against: &str) -> Option<f64> {
        Some(self.median(contender)? / self.median(against)?)
    }

    /// Each run, in order.
    #[must_use]
    pub fn runs(&self, contender: &str) -> &[f64] {
        self.runs.get(contender).map_or(&[], Vec::as_slice)
    }

    /// The better of the two pairs of proxies.
    #[must_use]
    pub fn better_pair(&self) -> Option<f64> {
        let pairs = [NGHTTPX, HAPROXY].into_iter();
        let medians = pairs.filter_map(|pair| self.median(pair));
        medians.reduce(match self.row.better {
            Better::Less => f64::min,
            Better::More => f64::max,
        })
    }
}

/// The middle one; of two, the greater.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// All rows, in the order in which they were first measured.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Sheet {
    measures: Vec<Measure>,
}

impl Sheet {
    pub fn add(&mut self, row: &Row, contender: &str, value: f64) {
        let measure = match self
            .measures
            .iter_mut()
            .position(|one| one.row.name == row.name)
        {
            Some(at) => &mut self.measures[at],
            None => {
                let (row, runs) = (row.clone(), BTreeMap::new());
                self.measures.push(Measure { row, runs });
                self.measures.last_mut().expect("it was just put there")
            }
        };
        let runs = measure.runs.entry(contender.to_owned()).or_default();
        runs.push(value);
    }

    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    #[must_use]
    pub fn measure(&self, row: &Row) -> Option<&Measure> {
        self.measures.iter().find(|one| one.row.name == row.name)
    }

    #[must_use]
    pub fn median(&self, row: &Row, contender: &str) -> Option<f64> {
        self.measure(row)?.median(contender)
    }
}
