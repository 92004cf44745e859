//! How often GitLab is asked about one job, whatever the job does.

use std::{path::Path, time::Duration};

use adit_tests::{Endpoint, caller::get};
use anyhow::{Result, ensure};
use futures_util::future::join_all;
use tokio::time::{Instant, interval};

use crate::{Row, place::Place};

/// Streams of one connection.
const PER_CONNECTION: usize = 10;

pub(crate) async fn measure(adit: &Path, time: Duration) -> Result<Vec<Row>> {
    let (one, many) = tokio::try_join!(of_a_job(adit, 1, time), of_a_job(adit, 500, time))?;
    Ok(vec![one, many])
}

/// A job with so many watches, begun in one moment, and requests beside them.
async fn of_a_job(adit: &Path, parallel: usize, time: Duration) -> Result<Row> {
    let place = Place::start(adit, "").await?;
    let (_, job) = place.job();
    let connections = join_all((0..parallel.div_ceil(PER_CONNECTION)).map(|_| job.http2())).await;
    let each = parallel.min(PER_CONNECTION);
    let watches = connections
        .iter()
        .flat_map(|connection| (0..each).map(|_| connection.send(get("/watch"))));
    let watches = join_all(watches).await;
    let began = Instant::now();
    let mut requests = watches.len();
    let mut seconds = interval(Duration::from_secs(1));
    while began.elapsed() < time {
        seconds.tick().await;
        let answers = join_all(connections.iter().map(|connection| connection.get("/api"))).await;
        ensure!(
            answers.iter().all(|answer| answer.status == 200),
            "{answers:?}"
        );
        requests += answers.len();
        place.kube.forget();
    }
    let calls = place.gitlab.calls().to(Endpoint::AllowedAgents);
    let what = format!(
        "calls to GitLab for a job with {parallel} watch(es) and {requests} requests in {time:?}"
    );
    drop(watches);
    Ok((
        what,
        format!(
            "{calls}: one, and {} more in {} intervals of 30 s",
            calls - 1,
            time.as_secs() / 30
        ),
    ))
}
