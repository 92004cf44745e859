//! A relay on two threads against the same on one, with the load generator on the same cores.

use anyhow::Result;

use super::{Race, requests};
use crate::{
    course::Course,
    report::{Beside, Row, Sheet},
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let row = Row::gain("two shards against one: requests in a second", "times");
    let row = row.must(Beside::Nobody, 1.1, 1.3);
    let full = requests::full();
    for round in 1..=race.effort.some_rounds() {
        for build in race.builds() {
            let rate = |shards| {
                eprintln!("shards, round {round}: {} with {shards}", build.name);
                let course = Course::short(&race.rig).on_shards(shards);
                let path = build.start(&race.rig, &course)?;
                let (seen, _) = full.run(&path, race.effort.seconds)?;
                anyhow::Ok(seen.rate())
            };
            let (one, two) = (rate(1)?, rate(2)?);
            sheet.add(&row, &build.name, two / one);
        }
    }
    Ok(())
}
