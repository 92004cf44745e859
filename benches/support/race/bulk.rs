//! One large body at a time, down and up: what it costs, and how fast it is.

use anyhow::{Result, ensure};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::Race;
use crate::{
    aside::runtime,
    body::{self, Body},
    caller::Http1,
    course::Course,
    job::FIRST_JOB,
    kube::Kube,
    load,
    path::{Contender, Path},
    report::{Beside, Row, Sheet},
    rig::{LARGE_BYTES, Rig},
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let course = Course::short(&race.rig);
    race.in_turn(
        "download",
        race.effort.rounds,
        &course,
        |contender, path| download(contender, path, sheet),
    )?;
    // nginx takes no uploads.
    let kube = Kube::start(&race.rig)?;
    let course = Course::to(kube.port);
    race.in_turn("upload", race.effort.rounds, &course, |contender, path| {
        upload(contender, path, &race.rig, sheet)
    })
}

#[must_use]
pub fn download_cpu() -> Row {
    cpu("download")
}

#[must_use]
pub fn upload_cpu() -> Row {
    cpu("upload")
}

fn cpu(way: &str) -> Row {
    let name = format!("{way} of {} MiB: CPU", LARGE_BYTES >> 20);
    Row::cost(name, "s").must(Beside::BetterPair, 0.9, 0.75)
}

pub fn download(contender: &Contender, path: &Path, sheet: &mut Sheet) -> Result<()> {
    let before = path.cpu_ns();
    let (bytes, took) = load::download(&path.target("large"))?;
    let spent: u64 = path.cpu_ns_since(&before).iter().sum();
    ensure!(bytes == LARGE_BYTES as u64, "it was cut at {bytes} bytes");
    let name = &contender.name;
    sheet.add(&download_cpu(), name, spent as f64 / 1e9);
    let rate = Row::gain("download: rate", "MB/s");
    sheet.add(&rate, name, bytes as f64 / 1e6 / took);
    Ok(())
}

pub fn upload(contender: &Contender, path: &Path, rig: &Rig, sheet: &mut Sheet) -> Result<()> {
    let caller = path.caller(FIRST_JOB, rig)?;
    let before = path.cpu_ns();
    let (bytes, took) = runtime()?.block_on(async {
        let mut connection = caller.http1().await?;
        send(&mut connection, body::pieces(LARGE_BYTES)).await
    })?;
    let spent: u64 = path.cpu_ns_since(&before).iter().sum();
    ensure!(bytes == LARGE_BYTES as u64, "it was cut at {bytes} bytes");
    let name = &contender.name;
    sheet.add(&upload_cpu(), name, spent as f64 / 1e9);
    let rate = Row::gain("upload: rate", "MB/s");
    sheet.add(&rate, name, bytes as f64 / 1e6 / took);
    Ok(())
}

/// Sends a body; says how many bytes of it arrived, by what the API server says, and in how many seconds.
pub(super) async fn send(connection: &mut Http1, body: Body) -> Result<(u64, f64)> {
    let begun = Instant::now();
    let answer = connection.put("sink", body).await?.into_body();
    let said = answer.collect().await?.to_bytes();
    let bytes = String::from_utf8_lossy(&said).parse()?;
    Ok((bytes, begun.elapsed().as_secs_f64()))
}
