//! Two builds of adit beside each other: has the new one lost anything that is not noise?
//!
//! The old build runs twice in each round, before and after the new one. How far its two runs are apart is what this machine does by
//! itself at the moment: twice the mean of that, and one per cent at least, is taken for noise. A build has lost when the
//! median over the rounds of its cost, against the (geometric) mean of the two around it, is above that. Only CPU is looked at:
//! rates and latencies say the same with more noise. Instructions are counted once for each build, and have one per cent.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{
    course::Course,
    instructions,
    kube::Kube,
    path::Contender,
    race::{Effort, bulk, requests},
    report::{Measure, Row, Sheet, median},
    rig::Rig,
};

const OLD: &str = "old";
const NEW: &str = "new";
const AGAIN: &str = "old again";
/// Fewer say nothing about noise: of one alone, a build was once found to have lost to itself.
const LEAST_ROUNDS: u32 = 5;
/// Requests of which the instructions are counted.
const COUNTED: u64 = 1000;
/// Less than that is nothing that anybody could act on.
const LEAST_NOISE: f64 = 0.01;

/// Measures both; what is printed, and an error when something was lost.
pub fn run(rig: &Rig, effort: Effort, old: PathBuf, new: PathBuf) -> Result<()> {
    let mut sheet = Sheet::default();
    let kube = Kube::start(rig)?;
    let turns = [(OLD, &old), (NEW, &new), (AGAIN, &old)]
        .map(|(name, binary)| Contender::adit(name, binary.clone()));
    // First: callgrind is what may be missing, or too slow for a build without optimisation.
    let [old, new, _] = &turns;
    let instructions = Comparison {
        name: "instructions of a request".to_owned(),
        ratio: instructions::per_request(rig, new, COUNTED)?
            / instructions::per_request(rig, old, COUNTED)?,
        noise: LEAST_NOISE,
    };
    let rounds = effort.rounds.max(LEAST_ROUNDS);
    for round in 1..=rounds {
        for turn in &turns {
            eprintln!("round {round} of {rounds}: {}", turn.name);
            let mut path = turn.start(rig, &Course::short(rig))?;
            for closed_loop in [requests::full(), requests::multiplexed()] {
                closed_loop.measure(&turn.name, &path, effort.seconds, &mut sheet)?;
            }
            bulk::download(turn, &path, &mut sheet)?;
            path.check_alive()?;
            let mut path = turn.start(rig, &Course::to(kube.port))?;
            bulk::upload(turn, &path, rig, &mut sheet)?;
            path.check_alive()?;
        }
    }
    let mut comparisons = compare(&sheet)?;
    comparisons.push(instructions);
    println!("{}", table(&comparisons));
    judge(&comparisons)
}

/// An error that names what was lost, when something was.
fn judge(comparisons: &[Comparison]) -> Result<()> {
    let lost = comparisons.iter().filter(|one| one.is_loss());
    let lost: Vec<_> = lost.map(|one| one.name.as_str()).collect();
    ensure!(lost.is_empty(), "lost beyond noise: {}", lost.join("; "));
    Ok(())
}

struct Comparison {
    name: String,
    /// New against old.
    ratio: f64,
    /// What old against old would be taken for.
    noise: f64,
}

impl Comparison {
    fn of(measure: &Measure) -> Option<Self> {
        let [old, new, again] = [OLD, NEW, AGAIN].map(|name| measure.runs(name));
        let rounds = || old.iter().zip(new).zip(again);
        let ratios = rounds().map(|((old, new), again)| new / (old * again).sqrt());
        let apart: f64 = rounds()
            .map(|((old, _), again)| (again / old).ln().abs())
            .sum();
        Some(Self {
            name: measure.row.name.to_string(),
            ratio: median(ratios.collect())?,
            noise: (2.0 * apart / old.len() as f64).max(LEAST_NOISE),
        })
    }

    fn is_loss(&self) -> bool {
        self.ratio > 1.0 + self.noise
    }
}

fn compare(sheet: &Sheet) -> Result<Vec<Comparison>> {
    let rows = [
        requests::full().cpu,
        requests::multiplexed().cpu,
        bulk::download_cpu(),
        bulk::upload_cpu(),
    ];
    let comparison = |row: &Row| {
        let measure = sheet.measure(row);
        measure
            .and_then(Comparison::of)
            .with_context(|| format!("{} was not measured", row.name))
    };
    rows.iter().map(comparison).collect()
}

fn table(comparisons: &[Comparison]) -> String {
    let mut table =
        "| Measure | New against old | Noise | Verdict |\n|---|---|---|---|\n".to_owned();
    for one in comparisons {
        let verdict = match one {
            lost if lost.is_loss() => "**lost**",
            gained if gained.ratio < 1.0 - gained.noise => "gained",
            _ => "the same",
        };
        let (name, ratio, noise) = (&one.name, one.ratio, one.noise * 100.0);
        let _ = writeln!(table, "| {name} | {ratio:.3} | {noise:.1} % | {verdict} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By rounds: old, new, old again.
    fn compared(rounds: &[[f64; 3]]) -> Comparison {
        let (row, mut sheet) = (Row::cost("cpu", "us"), Sheet::default());
        for runs in rounds {
            for (name, run) in [OLD, NEW, AGAIN].into_iter().zip(runs) {
                sheet.add(&row, name, *run);
            }
        }
        Comparison::of(&sheet.measures()[0]).unwrap()
    }

    fn comparison(name: &str, ratio: f64) -> Comparison {
        Comparison {
            name: name.to_owned(),
            ratio,
            noise: 0.02,
        }
    }

    #[test]
    fn gate_fails_on_one_loss_among_many_and_names_no_other() {
        let held = [
            comparison("at the edge of noise", 1.02),
            comparison("a gain", 0.9),
        ];
        judge(&held).unwrap();
        let one_lost = held.into_iter().chain([comparison("a loss", 1.03)]);
        let failure = judge(&one_lost.collect::<Vec<_>>()).unwrap_err();
        assert_eq!(failure.to_string(), "lost beyond noise: a loss");
    }

    #[test]
    fn table_has_a_verdict_for_each_measure() {
        let table = table(&[
            comparison("less", 0.97),
            comparison("as much", 1.01),
            comparison("more", 1.03),
        ]);
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| less | 0.970 | 2.0 % | gained |",
                "| as much | 1.010 | 2.0 % | the same |",
                "| more | 1.030 | 2.0 % | **lost** |",
            ]
        );
    }

    #[test]
    fn a_loss_on_a_quiet_machine_is_one() {
        let lost = compared(&[
            [100.0, 103.0, 100.1],
            [100.0, 103.0, 99.9],
            [99.0, 103.0, 99.0],
        ]);
        assert!(lost.is_loss(), "{} {}", lost.ratio, lost.noise);
    }

    #[test]
    fn the_same_loss_is_none_where_the_old_build_differs_from_itself() {
        let noisy = compared(&[
            [100.0, 103.0, 104.0],
            [104.0, 103.0, 99.0],
            [97.0, 103.0, 101.0],
        ]);
        assert!(!noisy.is_loss(), "{} {}", noisy.ratio, noisy.noise);
    }

    #[test]
    fn a_machine_that_slows_down_is_no_loss() {
        let drift = compared(&[
            [100.0, 105.0, 110.0],
            [110.0, 115.0, 121.0],
            [121.0, 127.0, 133.0],
        ]);
        assert!(!drift.is_loss(), "{} {}", drift.ratio, drift.noise);
        assert!((drift.ratio - 1.0).abs() < 0.01, "{}", drift.ratio);
    }

    #[test]
    fn one_run_that_was_disturbed_decides_nothing() {
        let disturbed = compared(&[
            [100.0, 150.0, 100.2],
            [100.0, 100.1, 100.1],
            [99.9, 100.0, 100.0],
        ]);
        assert!(
            !disturbed.is_loss(),
            "{} {}",
            disturbed.ratio,
            disturbed.noise
        );
    }
}
