//! Jobs that work while strangers invent tokens. All that they ask for must be answered.

use std::time::Duration;

use adit_tests::{Answer, Caller, caller::Http2, caller::get};
use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{place::Place, times::Times};

/// Those that are known.
pub(super) const JOBS: u32 = 20;
/// How often each asks, by turns on the connection that it keeps and on one that it makes.
const APART: Duration = Duration::from_millis(200);
/// How often a new job turns up.
const NEW_APART: Duration = Duration::from_secs(2);
/// Where new jobs come from: nobody else does.
const ELSEWHERE: &str = "127.1.0.1";

/// Jobs that are known, until then: their times, on the connections that they keep and on new ones.
pub(super) async fn work(jobs: &[Caller], until: Instant) -> Result<(Times, Times)> {
    let jobs = (0..).zip(jobs).map(|(number, job)| async move {
        sleep(APART * number / JOBS).await;
        of_a_job(job, until).await
    });
    let (mut kept, mut made) = <(Times, Times)>::default();
    for (on_kept, on_made) in try_join_all(jobs).await? {
        kept.extend(on_kept);
        made.extend(on_made);
    }
    Ok((kept, made))
}

async fn of_a_job(job: &Caller, until: Instant) -> Result<(Times, Times)> {
    let (mut kept, mut made) = <(Times, Times)>::default();
    let connection = job.http2().await;
    let mut turns = interval(APART);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        turns.tick().await;
        kept.add(answered(&connection).await?);
        turns.tick().await;
        made.add(answered(&job.http2().await).await?);
    }
    Ok((kept, made))
}

async fn answered(connection: &Http2) -> Result<Duration> {
    let began = Instant::now();
    let answer = Answer::of(connection.send(get("/api")).await?).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(began.elapsed())
}

/// Jobs that begin until then: the time that each takes to get in, having asked as often as it must.
pub(super) async fn begin(place: &Place, until: Instant) -> Result<Times> {
    let mut times = Times::default();
    let mut turns = interval(NEW_APART);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        turns.tick().await;
        let (_, job) = place.job();
        let (job, began) = (job.coming_from(ELSEWHERE, b""), Instant::now());
        let connection = job.http2().await;
        while connection.send(get("/api")).await?.status() != 200 {
            sleep(Duration::from_millis(100)).await;
        }
        times.add(began.elapsed());
        place.kube.forget();
    }
    Ok(times)
}
