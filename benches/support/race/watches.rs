//! Very many watches of one agent: what each costs in memory while nothing happens, and how long an event takes to reach them all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::Race;
use crate::{
    aside::runtime,
    caller::Http2,
    course::Course,
    job::FIRST_JOB,
    kube::Kube,
    path::Path,
    process::Process,
    report::{Beside, Row, Sheet},
    rig::Rig,
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let kube = Kube::start(&race.rig)?;
    let count = race.effort.watches;
    let memory = |who: &str| Row::cost(format!("memory per idle watch: {who}"), "KiB");
    let memory = [
        memory("relay").must(Beside::Nobody, 6.0, 3.0),
        memory("agent").must(Beside::Nobody, 8.0, 4.0),
    ];
    let last = Row::cost(
        format!("an event for {count} watches of one agent: until all have it"),
        "s",
    );
    // The aim is three times as many (`--watches 30000`).
    let last = last.must(Beside::Nobody, 2.0, 2.0);
    for adit in race.builds() {
        eprintln!("watches: {}", adit.name);
        let path = adit.start(&race.rig, &Course::to(kube.port))?;
        let seen = runtime()?.block_on(look(&path, &race.rig, &kube, count))?;
        for (row, kib) in memory.iter().zip(seen.kib_each) {
            sheet.add(row, &adit.name, kib);
        }
        for took in seen.last {
            sheet.add(&last, &adit.name, took.as_secs_f64());
        }
    }
    Ok(())
}

struct Seen {
    /// Of relay and agent.
    kib_each: Vec<f64>,
    /// For each event, when the last watch had it.
    last: Vec<Duration>,
}

async fn look(path: &Path, rig: &Rig, kube: &Kube, count: usize) -> Result<Seen> {
    let callers =
        (0..count.div_ceil(PER_CONNECTION)).map(|at| path.caller(FIRST_JOB + at as u64, rig));
    let callers = callers.collect::<Result<Vec<_>>>()?;
    let mut connections = Vec::new();
    for caller in &callers {
        let connection = caller.http2().await?;
        connection.small().await?;
        connections.push(connection);
    }
    let before: Vec<_> = path.hops.iter().map(Process::resident_kib).collect();
    let bodies = open(&connections, count).await?;
    ensure!(kube.watchers() == count, "{} arrived", kube.watchers());
    let readers = Readers::start(bodies);
    sleep(SETTLING).await;
    let after = path.hops.iter().map(Process::resident_kib);
    let each = |(after, before): (u64, u64)| after.saturating_sub(before) as f64 / count as f64;
    let kib_each = after.zip(before).map(each).collect();
    let mut last = Vec::new();
    for _ in 0..EVENTS {
        let begun = Instant::now();
        kube.event();
        readers.all_have_it().await?;
        last.push(begun.elapsed());
    }
    Ok(Seen { kib_each, last })
}

/// So many, spread over the connections.
async fn open(connections: &[Http2], count: usize) -> Result<Vec<Incoming>> {
    let watches = (0..count).map(async |at| {
        let connection = &connections[at % connections.len()];
        anyhow::Ok(connection.get("watch").await?.into_body())
    });
    stream::iter(watches)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Whoever watches, on this thread.
struct Readers {
    count: usize,
    came: Arc<AtomicUsize>,
    all: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Readers {
    fn start(bodies: Vec<Incoming>) -> Self {
        let (count, came, all) = (bodies.len(), Arc::default(), Arc::new(Notify::new()));
        let mut tasks = JoinSet::new();
        for body in bodies {
            tasks.spawn(read(body, count, Arc::clone(&came), Arc::clone(&all)));
        }
        Self {
            count,
            came,
            all,
            _tasks: tasks,
        }
    }

    /// Waits until everybody had one more event.
    async fn all_have_it(&self) -> Result<()> {
        let waited = timeout(PATIENCE, self.all.notified()).await;
        let came = self.came.swap(0, Ordering::Relaxed);
        waited
            .ok()
            .with_context(|| format!("{came} of {} have the event", self.count))
    }
}

async fn read(mut body: Incoming, count: usize, came: Arc<AtomicUsize>, all: Arc<Notify>) {
    while let Some(Ok(frame)) = body.frame().await {
        let is_event = frame.data_ref().is_some_and(|data| !data.is_empty());
        if is_event && came.fetch_add(1, Ordering::Relaxed) + 1 == count {
            all.notify_one();
        }
    }
}

const EVENTS: usize = 3;
/// Watches of one job over one connection.
const PER_CONNECTION: usize = 500;
/// Watches that are being opened.
const AT_ONCE: usize = 200;
/// Until what was needed for the opening has been let go of.
const SETTLING: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
