//! GitLab in trouble while jobs run: what becomes of their requests, what a new job is told, and what GitLab is asked meanwhile.

use std::{collections::BTreeMap, path::Path, time::Duration};

use adit_tests::{Answer, Caller, Fault, caller::Http2, caller::get};
use anyhow::Result;
use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{Row, place::Place, times::Times};

/// Each keeps a watch, and asks on a connection that it keeps and on one that it makes.
const JOBS: u32 = 50;
/// How often a job asks.
const APART: Duration = Duration::from_secs(5);
/// How often a new job turns up.
const NEW_APART: Duration = Duration::from_secs(10);
/// Before the trouble: each job was asked about again.
const QUIET: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Hangs,
    AnswersWith500,
    IsGone,
}

pub(crate) async fn measure(adit: &Path, time: Duration) -> Result<Vec<Row>> {
    let kinds = [Trouble::Hangs, Trouble::AnswersWith500, Trouble::IsGone];
    let outages = kinds.map(|kind| Box::pin(outage(adit, kind, time)));
    let rows = join_all(outages)
        .await
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

async fn outage(adit: &Path, kind: Trouble, time: Duration) -> Result<Vec<Row>> {
    let mut place = Place::start(adit, "").await?;
    let until = Instant::now() + QUIET + time;
    let jobs: Vec<_> = (0..JOBS).map(|_| place.job().1).collect();
    let known = join_all(
        (0..)
            .zip(&jobs)
            .map(|(number, job)| known(job, number, until)),
    );
    let known = Box::pin(known);
    let story = async {
        sleep(QUIET).await;
        place.kube.forget();
        let before = place.calls_tried().await;
        begin(kind, &mut place).await;
        let new = new_jobs(&place, until).await;
        (new, place.calls_tried().await - before)
    };
    let (known, (new, calls)) = tokio::join!(known, Box::pin(story));
    let back = end(kind, &mut place).await;
    let mut all = Tally::default();
    known.into_iter().for_each(|tally| all.add(tally));
    let name = format!("GitLab {kind:?} for {time:?}");
    let row = |what: &str, figure: String| (format!("{name}: {what}"), figure);
    Ok(vec![
        row("requests of known jobs", all.to_string()),
        row("watches of known jobs that were cut", all.cut.to_string()),
        row("requests of new jobs", new.to_string()),
        row("calls tried meanwhile", calls.to_string()),
        row("until a new job gets in afterwards", format!("{back:.1?}")),
    ])
}

async fn begin(kind: Trouble, place: &mut Place) {
    let faults = place.gitlab.faults();
    match kind {
        Trouble::Hangs => faults.set_everywhere(Fault::Hang),
        Trouble::AnswersWith500 => faults.set_everywhere(Fault::Status(500)),
        Trouble::IsGone => place.gitlab.be_away().await,
    }
}

/// How long it takes a job, which asks again at once whatever it is told.
async fn end(kind: Trouble, place: &mut Place) -> Duration {
    match kind {
        Trouble::Hangs | Trouble::AnswersWith500 => place.gitlab.faults().clear(),
        Trouble::IsGone => place.gitlab.be_back().await,
    }
    let (began, (_, job)) = (Instant::now(), place.job());
    while job.get("/api").await.status != 200 {
        sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

/// A job that was known before, until then.
async fn known(job: &Caller, number: u32, until: Instant) -> Tally {
    let mut tally = Tally::default();
    sleep(APART * number / JOBS).await;
    let kept = job.http2().await;
    let mut watch = Box::pin(async {
        let answer = kept.send(get("/watch")).await.unwrap();
        Answer::of(answer).await.err()
    });
    let requests = async {
        let mut turns = interval(APART);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < until {
            turns.tick().await;
            tally.ask(&kept).await;
            tally.ask(&job.http2().await).await;
        }
    };
    tokio::select! {
        _ = watch.as_mut() => tally.cut += 1,
        () = requests => {}
    }
    tally
}

async fn new_jobs(place: &Place, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut turns = interval(NEW_APART);
    while Instant::now() < until {
        turns.tick().await;
        let (_, job) = place.job();
        tally.ask(&job.http2().await).await;
        place.kube.forget();
    }
    tally
}

/// What came of requests.
#[derive(Debug, Default)]
struct Tally {
    /// By status, reason, and whether there was a `Retry-After`.
    answers: BTreeMap<String, u64>,
    times: Times,
    cut: u64,
}

impl Tally {
    async fn ask(&mut self, connection: &Http2) {
        let began = Instant::now();
        let answer = match connection.send(get("/api")).await {
            Ok(response) => Answer::of(response).await,
            Err(error) => Err(error),
        };
        self.times.add(began.elapsed());
        let came = match answer {
            Ok(answer) if answer.status == 200 => "200".to_owned(),
            Ok(answer) => {
                let refused = answer.refused();
                let retry = refused.retry_after.map_or("no", |_| "with");
                format!("{} {} {retry} Retry-After", refused.status, refused.reason)
            }
            Err(_) => "broken off".to_owned(),
        };
        *self.answers.entry(came).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        for (came, count) in other.answers {
            *self.answers.entry(came).or_default() += count;
        }
        self.times.extend(other.times);
        self.cut += other.cut;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (came, count) in &self.answers {
            write!(f, "{count} x {came}, ")?;
        }
        self.times.fmt(f)
    }
}
