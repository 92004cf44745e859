//! Small requests that begin evenly at half of the pace that adit reaches in a closed loop, whoever is measured: how long the slowest
//! of a hundred takes when nobody is short of CPU.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Race, requests};
use crate::{
    aside::runtime,
    course::Course,
    job::FIRST_JOB,
    open_loop,
    path::{ADIT, NGHTTPX},
    report::{Beside, Row, Sheet},
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let per_second = pace(race, sheet)? / 2.0;
    let p50 = Row::cost("half of adit's pace, open loop: p50", "us");
    let p99 = Row::cost("half of adit's pace, open loop: p99", "us");
    let p99 = p99.must(Beside::One(NGHTTPX), 1.2, 0.9);
    let course = Course::short(&race.rig);
    let rounds = race.effort.some_rounds();
    race.in_turn("half", rounds, &course, |contender, path| {
        let caller = path.caller(FIRST_JOB, &race.rig)?;
        let lasting = Duration::from_secs(u64::from(race.effort.seconds));
        let latencies = runtime()?.block_on(async {
            open_loop::run(&caller, CONNECTIONS, per_second, Duration::from_secs(1)).await?;
            open_loop::run(&caller, CONNECTIONS, per_second, lasting).await
        })?;
        sheet.add(&p50, &contender.name, latencies.percentile_us(0.5));
        sheet.add(&p99, &contender.name, latencies.percentile_us(0.99));
        Ok(())
    })
}

/// adit's requests in a second at 64 connections: as measured already, or measured now.
fn pace(race: &Race, sheet: &mut Sheet) -> Result<f64> {
    let full = requests::full();
    if sheet.median(&full.rate, ADIT).is_none() {
        let adit = race.contenders.iter().find(|one| one.name == ADIT);
        let course = Course::short(&race.rig);
        let path = adit
            .context("adit does not run")?
            .start(&race.rig, &course)?;
        full.measure(ADIT, &path, race.effort.seconds, sheet)?;
    }
    sheet.median(&full.rate, ADIT).context("adit has no pace")
}

/// Enough that one is free whenever a request is due, unless the path stands still.
const CONNECTIONS: usize = 64;
