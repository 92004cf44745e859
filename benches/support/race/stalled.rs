//! Small requests beside readers that asked for 64 MiB each and have stopped: who lets those hold a shared connection up answers
//! nobody any more.

use std::{future::pending, time::Duration};

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::Race;
use crate::{
    aside::runtime,
    caller::{Caller, PATIENCE},
    course::Course,
    job::FIRST_JOB,
    latency::Latencies,
    path::Path,
    report::{Beside, Row, Sheet},
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    for readers in [1, 16, 256] {
        let rows = Rows::beside(readers);
        let what = format!("{readers} stalled readers");
        let course = Course::short(&race.rig);
        let rounds = race.effort.some_rounds();
        race.in_turn(&what, rounds, &course, |contender, path| {
            let small = path.caller(FIRST_JOB, &race.rig)?;
            let stalled = path.caller(STALLED_JOB, &race.rig)?;
            let lasting = Duration::from_secs(u64::from(race.effort.seconds)) / 2;
            let seen = runtime()?.block_on(look(path, &small, &stalled, readers, lasting))?;
            seen.fill(&rows, &contender.name, sheet);
            Ok(())
        })?;
    }
    Ok(())
}

struct Rows {
    answered: Row,
    times: Row,
    memory: Row,
}

impl Rows {
    fn beside(readers: usize) -> Self {
        let label = |what: &str| format!("beside {readers} stalled: {what}");
        Self {
            answered: Row::gain(label("small requests answered"), "of 12").must(
                Beside::Nobody,
                SMALL as f64,
                SMALL as f64,
            ),
            times: Row::cost(label("their p99 against unloaded"), "times").must(
                Beside::Nobody,
                3.0,
                1.5,
            ),
            memory: Row::cost(label("memory of both hops"), "MiB"),
        }
    }
}

struct Seen {
    unloaded: Latencies,
    answered: usize,
    /// Nothing unless all were answered.
    beside: Option<Latencies>,
    memory_mib: f64,
}

impl Seen {
    fn fill(&self, rows: &Rows, contender: &str, sheet: &mut Sheet) {
        sheet.add(&rows.answered, contender, self.answered as f64);
        if let Some(beside) = &self.beside {
            let times = beside.percentile_us(0.99) / self.unloaded.percentile_us(0.99);
            sheet.add(&rows.times, contender, times);
        }
        sheet.add(&rows.memory, contender, self.memory_mib);
    }
}

async fn look(
    path: &Path,
    small: &Caller,
    stalled: &Caller,
    readers: usize,
    lasting: Duration,
) -> Result<Seen> {
    let mut probe = small.http1().await?;
    probe.probe(WARM_UP).await?;
    let unloaded = probe.probe(lasting).await?;
    // Connected beforehand: only the answers are in question.
    let waiting = try_join_all((0..SMALL).map(|_| small.http1())).await?;
    let _readers = stop_reading(stalled, readers).await?;
    until_still(path).await;
    let asked = waiting.into_iter().map(async |mut one| {
        let answer = timeout(PATIENCE, one.small()).await;
        matches!(answer, Ok(Ok(_)))
    });
    let answered = join_all(asked).await.into_iter().filter(|is| *is).count();
    let beside = match answered {
        SMALL => probe.probe(lasting).await.ok(),
        _ => None,
    };
    Ok(Seen {
        unloaded,
        answered,
        beside,
        memory_mib: path.resident_kib() as f64 / 1024.0,
    })
}

/// So many who ask and read nothing of the answer, or wait for its head for ever.
async fn stop_reading(caller: &Caller, readers: usize) -> Result<JoinSet<()>> {
    let connections = try_join_all((0..readers).map(|_| caller.http1())).await?;
    let mut stopped = JoinSet::new();
    for mut connection in connections {
        stopped.spawn(async move {
            let _answer = connection.get("medium").await;
            pending().await
        });
    }
    Ok(stopped)
}

/// Waits until what has room for the readers' bytes has been filled, sockets above all (4 MiB for each), and nothing moves any more.
async fn until_still(path: &Path) {
    const LOOK: Duration = Duration::from_millis(250);
    for _ in 0..240 {
        let before = path.cpu_ns();
        sleep(LOOK).await;
        let spent: u64 = path.cpu_ns_since(&before).iter().sum();
        if u128::from(spent) < LOOK.as_nanos() / 100 {
            return;
        }
    }
    eprintln!("after a minute something moves that should stand still");
}

const SMALL: usize = 12;
const STALLED_JOB: u64 = FIRST_JOB + 1;
const WARM_UP: Duration = Duration::from_millis(300);
