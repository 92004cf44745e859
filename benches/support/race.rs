//! The race: heats, each of which measures what is measured together, of everybody who takes part in it.

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    course::Course,
    path::{Contender, Path},
    report::Sheet,
    rig::Rig,
};

pub mod bulk;
pub mod requests;

mod agents;
mod churn;
mod crowd;
mod far;
mod half;
mod saturated;
mod shards;
mod stalled;
mod watches;

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Heat {
    /// Small requests in closed loops: CPU of each, how many, how long.
    Requests,
    /// One large download, and upload.
    Bulk,
    /// The same over a long line.
    Far,
    /// Small requests at half of adit's pace.
    Half,
    /// Small requests beside readers that have stopped.
    Stalled,
    /// Small requests beside large downloads.
    Saturated,
    /// Jobs with one request each beside one with very many.
    Crowd,
    /// Very many watches of one agent.
    Watches,
    /// Very many agents that do nothing.
    Agents,
    /// Very many requests, and what stays of them.
    Churn,
    /// Two threads of the relay against one.
    Shards,
}

impl Heat {
    pub fn run(self, race: &Race, sheet: &mut Sheet) -> Result<()> {
        match self {
            Self::Requests => requests::run(race, sheet),
            Self::Bulk => bulk::run(race, sheet),
            Self::Far => far::run(race, sheet),
            Self::Half => half::run(race, sheet),
            Self::Stalled => stalled::run(race, sheet),
            Self::Saturated => saturated::run(race, sheet),
            Self::Crowd => crowd::run(race, sheet),
            Self::Watches => watches::run(race, sheet),
            Self::Agents => agents::run(race, sheet),
            Self::Churn => churn::run(race, sheet),
            Self::Shards => shards::run(race, sheet),
        }
    }
}

/// Who runs, through what, and how much of it.
#[derive(Debug)]
pub struct Race {
    pub rig: Rig,
    pub contenders: Vec<Contender>,
    pub effort: Effort,
}

/// How much is done: figures of the whole race, or a look at whether it works.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each path is measured; medians are printed.
    pub rounds: u32,
    /// Of each load.
    pub seconds: u32,
    pub watches: usize,
    pub agents: usize,
    /// Requests one after the other, after which nothing may stay.
    pub churn: u64,
    /// For which agents are watched while they do nothing: whole times the 25 seconds after which a silent tunnel is pinged.
    pub idle_seconds: u64,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 5,
        seconds: 4,
        watches: 10_000,
        agents: 10_000,
        churn: 100_000,
        idle_seconds: 75,
    };
    pub const QUICK: Self = Self {
        rounds: 1,
        seconds: 1,
        watches: 1_000,
        agents: 1_000,
        churn: 20_000,
        idle_seconds: 25,
    };

    /// For what needs fewer rounds: three where others have five.
    #[must_use]
    pub fn some_rounds(self) -> u32 {
        self.rounds.div_ceil(2)
    }
}

impl Race {
    /// Has everybody who has TLS run in turn, so many times, each time on a path started afresh. A peer that fails has no figure then;
    /// adit must not.
    fn in_turn(
        &self,
        what: &str,
        rounds: u32,
        course: &Course<'_>,
        measure: impl FnMut(&Contender, &Path) -> Result<()>,
    ) -> Result<()> {
        self.some_in_turn(|one| !one.is_in_clear(), what, rounds, course, measure)
    }

    /// The same for whoever is so.
    fn some_in_turn(
        &self,
        are: impl Fn(&Contender) -> bool,
        what: &str,
        rounds: u32,
        course: &Course<'_>,
        mut measure: impl FnMut(&Contender, &Path) -> Result<()>,
    ) -> Result<()> {
        for round in 1..=rounds {
            let runs = |one: &&Contender| are(one) && round <= one.rounds(rounds);
            for contender in self.contenders.iter().filter(runs) {
                match self.once(what, round, contender, course, &mut measure) {
                    Err(failure) if !contender.is_adit() => {
                        eprintln!("{} has failed: {failure:#}", contender.name);
                    }
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// Has one run once.
    fn once(
        &self,
        what: &str,
        round: u32,
        contender: &Contender,
        course: &Course<'_>,
        measure: &mut impl FnMut(&Contender, &Path) -> Result<()>,
    ) -> Result<()> {
        eprintln!("{what}, round {round}: {}", contender.name);
        let mut path = contender.start(&self.rig, course)?;
        measure(contender, &path)?;
        path.check_alive()
    }

    /// Builds of adit among those who run.
    fn builds(&self) -> impl Iterator<Item = &Contender> {
        self.contenders.iter().filter(|one| one.is_adit())
    }
}
