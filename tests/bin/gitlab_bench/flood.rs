//! Strangers who invent tokens, beside jobs that work: what the jobs notice, what GitLab is asked, and what the relay holds.

mod held;
mod jobs;
mod strangers;

use std::{path::Path, time::Duration};

use anyhow::Result;
use tokio::time::Instant;

use self::{held::Held, jobs::JOBS, strangers::Crowd};
use crate::{Row, place::Place};

pub(crate) async fn measure(adit: &Path, time: Duration) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for crowd in Crowd::ALL {
        // Twice in one place: what a first flood leaves behind, such as room for connections, a second one must not add to.
        let place = Place::start(adit, "").await?;
        for turn in 1..=2 {
            let flood = Box::pin(flood(&place, crowd, turn, time)).await?;
            let row = |(what, figure): (&str, String)| (format!("{crowd}, {turn}: {what}"), figure);
            rows.extend(flood.into_iter().map(row));
        }
    }
    Ok(rows)
}

async fn flood(
    place: &Place,
    crowd: Crowd,
    turn: u32,
    time: Duration,
) -> Result<Vec<(&'static str, String)>> {
    let callers: Vec<_> = (0..JOBS).map(|_| place.job().1).collect();
    // They run already.
    for job in &callers {
        job.get("/api").await.echo();
    }
    let (calls, logged) = (place.calls_tried().await, place.logged());
    let until = Instant::now() + time;
    let (told, old, new, held) = tokio::join!(
        strangers::invent(crowd, turn, place.relay, until),
        jobs::work(&callers, until),
        jobs::begin(place, until),
        Held::of(place, until),
    );
    let (kept, made) = old?;
    let calls = place.calls_tried().await - calls;
    Ok(vec![
        ("requests of jobs, on their connections", kept.to_string()),
        ("requests of jobs, on new connections", made.to_string()),
        ("new jobs", new?.to_string()),
        ("strangers were told", told?.to_string()),
        ("calls tried", calls.to_string()),
        ("memory", held.to_string()),
        ("bytes logged", (place.logged() - logged).to_string()),
    ])
}
