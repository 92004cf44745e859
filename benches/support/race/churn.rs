//! Very many requests, one after the other on a few connections: no memory may stay of them.

use anyhow::Result;

use super::Race;
use crate::{
    course::Course,
    load,
    report::{Beside, Row, Sheet},
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let count = race.effort.churn;
    let row = Row::cost(
        format!("memory after {count} requests, against before"),
        "times",
    );
    let row = row.must(Beside::Nobody, 1.05, 1.01);
    race.in_turn("churn", 1, &Course::short(&race.rig), |contender, path| {
        let target = path.target("small");
        let run = |requests| load::http2(&target, 8, 8, requests);
        // As many as were ever at once, and whatever is kept for the next.
        run(count / 5)?;
        let before = path.resident_kib();
        run(count)?;
        let times = path.resident_kib() as f64 / before as f64;
        sheet.add(&row, &contender.name, times);
        Ok(())
    })
}
