//! Twenty jobs with one request at a time beside one job that always has five hundred under way: how much longer the slowest of a
//! hundred of the twenty's takes than without it.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::{task::JoinSet, time::sleep};

use super::Race;
use crate::{
    aside::{Aside, runtime},
    caller::{Caller, Http1},
    course::Course,
    job::FIRST_JOB,
    latency::Latencies,
    path::Path,
    report::{Beside, Row, Sheet},
    rig::Rig,
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let label = |what: &str| format!("{JOBS} jobs beside one with {PARALLEL} requests: {what}");
    let p99 = Row::cost(label("their p99"), "us");
    let times = Row::cost(label("the same against alone"), "times");
    let times = times.must(Beside::Nobody, 3.0, 1.5);
    let course = Course::short(&race.rig);
    let lasting = Duration::from_secs(u64::from(race.effort.seconds));
    race.in_turn(
        "crowd",
        race.effort.some_rounds(),
        &course,
        |contender, path| {
            let name = &contender.name;
            let crowd = path.caller(FIRST_JOB + JOBS, &race.rig)?;
            runtime()?.block_on(async {
                let mut jobs = jobs(path, &race.rig).await?;
                probe(&mut jobs, WARM_UP).await?;
                let alone = probe(&mut jobs, lasting).await?.percentile_us(0.99);
                let _crowd = Aside::start("crowd", press(crowd))?;
                sleep(WARM_UP).await;
                let beside = probe(&mut jobs, lasting).await?.percentile_us(0.99);
                sheet.add(&p99, name, beside);
                sheet.add(&times, name, beside / alone);
                Ok(())
            })
        },
    )
}

/// A connection of each.
async fn jobs(path: &Path, rig: &Rig) -> Result<Vec<Http1>> {
    let callers = (0..JOBS).map(|job| path.caller(FIRST_JOB + job, rig));
    let callers = callers.collect::<Result<Vec<_>>>()?;
    try_join_all(callers.iter().map(Caller::http1)).await
}

async fn probe(jobs: &mut [Http1], lasting: Duration) -> Result<Latencies> {
    let all = try_join_all(jobs.iter_mut().map(|job| job.probe(lasting))).await?;
    Ok(all.into_iter().fold(Latencies::default(), |mut all, some| {
        all.append(some);
        all
    }))
}

/// Small requests without end, so many at a time, over a few connections.
async fn press(caller: Caller) {
    let mut all = JoinSet::new();
    for _ in 0..CONNECTIONS {
        match caller.http2().await {
            Ok(http2) => {
                let http2 = Arc::new(http2);
                for _ in 0..PARALLEL / CONNECTIONS {
                    let http2 = Arc::clone(&http2);
                    all.spawn(async move { while http2.small().await.is_ok() {} });
                }
            }
            Err(error) => eprintln!("the crowd has a connection less: {error:#}"),
        }
    }
    while all.join_next().await.is_some() {}
    eprintln!("the crowd has gone");
}

const JOBS: u64 = 20;
const PARALLEL: usize = 500;
/// 100 requests each: what a proxy may allow on one.
const CONNECTIONS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(500);
