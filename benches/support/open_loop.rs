//! An open loop: requests begin at their time, whether or not those before them have been answered, and take as long as from then to
//! the end of their answer. So a path that stands still for a moment pays for all that should have begun meanwhile, and not only for
//! those that happened to be under way (wrk and h2load leave them out: "coordinated omission").

use std::{sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender},
    },
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    caller::{Caller, Http1, PATIENCE},
    latency::Latencies,
};

/// So many small requests a second for so long, evenly, over so many connections.
pub async fn run(
    caller: &Caller,
    connections: usize,
    per_second: f64,
    lasting: Duration,
) -> Result<Latencies> {
    let count = (per_second * lasting.as_secs_f64()) as usize;
    let (due, dues) = mpsc::channel(count.max(1));
    let dues = Arc::new(Mutex::new(dues));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let connection = caller.http1().await?;
        workers.spawn(work(connection, Arc::clone(&dues)));
    }
    // A thread keeps better time than tokio, whose clock ticks by the millisecond.
    let pacing = thread::Builder::new()
        .name("pace".to_owned())
        .spawn(move || pace(&due, per_second, count))?;
    let mut all = Latencies::default();
    while let Some(latencies) = workers.join_next().await {
        all.append(latencies??);
    }
    pacing.join().ok().context("the pacing thread panicked")?;
    ensure!(all.len() == count, "{} of {count} were answered", all.len());
    Ok(all)
}

fn pace(due: &Sender<Instant>, per_second: f64, count: usize) {
    let begin = Instant::now();
    for at in 0..count {
        let then = begin + Duration::from_secs_f64(at as f64 / per_second);
        thread::sleep(then.saturating_duration_since(Instant::now()));
        if due.blocking_send(then).is_err() {
            return;
        }
    }
}

/// Whoever is free takes the next.
async fn work(mut connection: Http1, dues: Arc<Mutex<Receiver<Instant>>>) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    loop {
        let due = dues.lock().await.recv().await;
        let Some(due) = due else {
            return Ok(latencies);
        };
        timeout(PATIENCE, connection.small()).await??;
        latencies.add(due.elapsed());
    }
}
