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
    let course = Course::short(&race.rig).through(&line);
    share(race, &course, "download", receive, sheet)?;
    // nginx takes no uploads.
    let kube = Kube::start(&race.rig)?;
    let course = Course::to(kube.port).through(&line);
    share(race, &course, "upload", send, sheet)
}

/// Moves one body until it is late; `moved` says how many bytes of it there were, and in how many seconds.
fn share(
    race: &Race,
    course: &Course<'_>,
    way: &str,
    moved: impl AsyncFn(&mut Http1, Instant) -> Result<(u64, f64)>,
    sheet: &mut Sheet,
) -> Result<()> {
    let name = format!("{way}, 50 ms round trip: share of 1 Gbit/s");
    let row = Row::gain(name, "%").must(Beside::Nobody, 80.0, 95.0);
    let at_most = Duration::from_secs(2 * u64::from(race.effort.seconds));
    race.in_turn(way, race.effort.some_rounds(), course, |contender, path| {
        let caller = path.caller(FIRST_JOB, &race.rig)?;
        let (bytes, took) = runtime()?.block_on(async {
            let mut connection = caller.http1().await?;
            // Whatever is set up once is set up.
            connection.small().await?;
            moved(&mut connection, Instant::now() + at_most).await
        })?;
        let share = bytes as f64 / took / BYTES_PER_SECOND * 100.0;
        sheet.add(&row, &contender.name, share);
        Ok(())
    })
}

async fn receive(connection: &mut Http1, late: Instant) -> Result<(u64, f64)> {
    let begun = Instant::now();
    let mut body = connection.get("large").await?.into_body();
    let mut bytes = 0;
    while let Ok(Some(frame)) = timeout_at(late, body.frame()).await {
        bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok((bytes, begun.elapsed().as_secs_f64()))
}

async fn send(connection: &mut Http1, late: Instant) -> Result<(u64, f64)> {
    bulk::send(connection, body::pieces_until(LARGE_BYTES, late)).await
}
