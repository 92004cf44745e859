//! One large body, down and up, when relay and agent are 50 ms apart on a line of 1 Gbit/s: what share of the line is used, from the
//! request to the last byte. Whoever is slow is stopped early.

use std::time::Duration;

use anyhow::Result;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::{Race, bulk};
use crate::{
    aside::runtime,
    body,
    caller::Http1,
    course::Course,
    job::FIRST_JOB,
    kube::Kube,
    line::Line,
    report::{Beside, Row, Sheet},
    rig::LARGE_BYTES,
};

const ROUND_TRIP: Duration = Duration::from_millis(50);
const BYTES_PER_SECOND: f64 = 125e6;

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let line = Line::start(ROUND_TRIP, BYTES_PER_SECOND)?;
    let kube = Kube::start(&race.rig)?;
    let rounds = race.effort.some_rounds();
    let at_most = Duration::from_secs(2 * u64::from(race.effort.seconds));
    let courses = [
        ("download", Course::short(&race.rig).through(&line)),
        ("upload", Course::to(kube.port).through(&line)),
    ];
    for (way, course) in courses {
        let name = format!("{way}, 50 ms round trip: share of 1 Gbit/s");
        let row = Row::gain(name, "%").must(Beside::Nobody, 80.0, 95.0);
        race.in_turn(way, rounds, &course, |contender, path| {
            let caller = path.caller(FIRST_JOB, &race.rig)?;
            let (bytes, took) = runtime()?.block_on(async {
                let mut connection = caller.http1().await?;
                // Whatever is set up once is set up.
                connection.small().await?;
                let late = Instant::now() + at_most;
                match way {
                    "download" => receive(&mut connection, late).await,
                    _ => bulk::send(&mut connection, body::pieces_until(LARGE_BYTES, late)).await,
                }
            })?;
            let share = bytes as f64 / took / BYTES_PER_SECOND * 100.0;
            sheet.add(&row, &contender.name, share);
            Ok(())
        })?;
    }
    Ok(())
}

/// Reads until it is late; says how many bytes came, and in how many seconds.
async fn receive(connection: &mut Http1, late: Instant) -> Result<(u64, f64)> {
    let begun = Instant::now();
    let mut body = connection.get("large").await?.into_body();
    let mut bytes = 0;
    while let Ok(Some(frame)) = timeout_at(late, body.frame()).await {
        bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok((bytes, begun.elapsed().as_secs_f64()))
}
