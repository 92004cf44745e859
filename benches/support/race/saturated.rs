//! Small requests beside eight downloads that take all there is: how much longer the slowest of a hundred takes than alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use http_body_util::BodyExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::Race;
use crate::{
    aside::{Aside, runtime},
    caller::Caller,
    course::Course,
    job::FIRST_JOB,
    report::{Beside, Row, Sheet},
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let label = |what: &str| format!("{DOWNLOADS} downloads: {what}");
    let p99 = Row::cost(label("p99 of small requests"), "us");
    let times = Row::cost(label("the same against unloaded"), "times");
    let times = times.must(Beside::Nobody, 10.0, 4.0);
    let rate = Row::gain(label("rate of all"), "MB/s");
    let course = Course::short(&race.rig);
    let lasting = Duration::from_secs(u64::from(race.effort.seconds));
    race.in_turn(
        "downloads",
        race.effort.some_rounds(),
        &course,
        |contender, path| {
            let small = path.caller(FIRST_JOB, &race.rig)?;
            let large = path.caller(LARGE_JOB, &race.rig)?;
            let name = &contender.name;
            runtime()?.block_on(async {
                let mut probe = small.http1().await?;
                probe.probe(WARM_UP).await?;
                let unloaded = probe.probe(lasting).await?.percentile_us(0.99);
                let downloads = Downloads::start(large)?;
                sleep(WARM_UP).await;
                let (begun, before) = (Instant::now(), downloads.bytes());
                let beside = probe.probe(lasting).await?.percentile_us(0.99);
                let bytes = downloads.bytes() - before;
                sheet.add(&p99, name, beside);
                sheet.add(&times, name, beside / unloaded);
                sheet.add(
                    &rate,
                    name,
                    bytes as f64 / 1e6 / begun.elapsed().as_secs_f64(),
                );
                Ok(())
            })
        },
    )
}

/// One after the other on each connection, on a thread of their own: what reads them is not to hold up whoever probes.
struct Downloads {
    bytes: Arc<AtomicU64>,
    _aside: Aside,
}

impl Downloads {
    fn start(caller: Caller) -> Result<Self> {
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        let downloading = async move {
            let mut all = JoinSet::new();
            for _ in 0..DOWNLOADS {
                let (caller, bytes) = (caller.clone(), Arc::clone(&counted));
                all.spawn(async move { download(&caller, &bytes).await });
            }
            while let Some(ended) = all.join_next().await {
                eprintln!("a download ended: {ended:?}");
            }
        };
        Ok(Self {
            bytes,
            _aside: Aside::start("downloads", downloading)?,
        })
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn download(caller: &Caller, bytes: &AtomicU64) -> Result<()> {
    let mut connection = caller.http1().await?;
    loop {
        let mut body = connection.get("large").await?.into_body();
        while let Some(frame) = body.frame().await {
            let came = frame?.data_ref().map_or(0, |data| data.len() as u64);
            bytes.fetch_add(came, Ordering::Relaxed);
        }
    }
}

const DOWNLOADS: usize = 8;
const LARGE_JOB: u64 = FIRST_JOB + 1;
const WARM_UP: Duration = Duration::from_millis(500);
