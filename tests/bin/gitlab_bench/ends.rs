//! From a job's end to the end of its streams: the relay asks again, or GitLab tells it.

use std::{fs, path::Path, time::Duration};

use adit_tests::{Answer, Caller, JobStatus, caller::get, gitlab::Hook};
use anyhow::{Result, ensure};
use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Row,
    place::{PROJECT, Place},
    times::Times,
};

const JOBS: u32 = 50;
/// Each on a connection of its own, as those of four kubectls.
const STREAMS: usize = 4;
/// How often the relay asks, by default.
const INTERVAL: Duration = Duration::from_secs(30);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) async fn measure(adit: &Path) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let secrets = folder.path().join("secrets");
    fs::write(&secrets, SECRET)?;
    let asking = async { of_jobs(&Place::start(adit, "").await?).await };
    let told = async {
        let keys = format!("webhook_secret_file: '{}'", secrets.display());
        let place = Place::start(adit, &keys).await?;
        let hook = Hook {
            url: format!("https://{}/webhooks/gitlab", place.relay),
            secret: SECRET.to_owned(),
        };
        place.gitlab.world().project_mut(PROJECT).hooks = vec![hook];
        of_jobs(&place).await
    };
    let (asking, told) = tokio::try_join!(asking, told)?;
    let row = |how: &str, times: &Times| {
        let what = format!("from a job's end to the end of its streams, {how}");
        (what, times.to_string())
    };
    Ok(vec![row("by asking", &asking), row("by webhook", &told)])
}

/// Jobs that begin and end apart from each other.
async fn of_jobs(place: &Place) -> Result<Times> {
    let jobs = (0..JOBS).map(|number| async move {
        sleep(INTERVAL * number / JOBS).await;
        let (id, job) = place.job();
        let streams = join_all((0..STREAMS).map(|_| watch(&job))).await;
        // As likely in any part of the interval.
        sleep(INTERVAL + INTERVAL * (number * 17 % JOBS) / JOBS).await;
        let ended = Instant::now();
        let tell = place.gitlab.end_job(id, JobStatus::Success);
        let cuts = try_join_all(streams.into_iter().map(|stream| cut(stream, ended)));
        let (_, cuts) = tokio::join!(tell, cuts);
        cuts
    });
    let mut times = Times::default();
    for cuts in try_join_all(jobs).await? {
        times.extend(cuts);
    }
    Ok(times)
}

struct Watch {
    _connection: adit_tests::caller::Http2,
    answer: http::Response<hyper::body::Incoming>,
}

async fn watch(job: &Caller) -> Watch {
    let connection = job.http2().await;
    let answer = connection.send(get("/watch")).await.unwrap();
    Watch {
        _connection: connection,
        answer,
    }
}

async fn cut(watch: Watch, ended: Instant) -> Result<Duration> {
    let end = timeout(2 * INTERVAL, Answer::of(watch.answer)).await?;
    ensure!(end.is_err(), "it must not look complete");
    Ok(ended.elapsed())
}
