//! Small requests in closed loops: what each costs, how many there are in a second, and how long they take.

use anyhow::Result;

use super::Race;
use crate::{
    course::Course,
    load::{self, Seen},
    path::{Contender, KAS, NGHTTPX, Path},
    report::{Beside, Row, Sheet},
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    let loops = [full(), alone(), multiplexed()];
    let (course, effort) = (Course::short(&race.rig), race.effort);
    race.in_turn("requests", effort.rounds, &course, |contender, path| {
        for closed_loop in &loops {
            closed_loop.measure(&contender.name, path, effort.seconds, sheet)?;
        }
        let memory = Row::cost("resident memory of both hops afterwards", "MiB");
        sheet.add(
            &memory,
            &contender.name,
            path.resident_kib() as f64 / 1024.0,
        );
        Ok(())
    })?;
    race.some_in_turn(
        Contender::is_in_clear,
        "requests",
        effort.some_rounds(),
        &course,
        |one, path| full().measure(&one.name, path, effort.seconds, sheet),
    )
}

/// A closed loop, and the rows that it fills.
#[derive(Debug)]
pub struct ClosedLoop {
    load: Load,
    pub cpu: Row,
    outer_cpu: Row,
    pub rate: Row,
    p50: Row,
    p99: Row,
}

#[derive(Clone, Copy, Debug)]
enum Load {
    Http1 { connections: u32 },
    Http2 { connections: u32, streams: u32 },
}

/// So many that nobody has nothing to do.
#[must_use]
pub fn full() -> ClosedLoop {
    let mut full = ClosedLoop::new(Load::Http1 { connections: 64 });
    full.cpu = full.cpu.must(Beside::One(NGHTTPX), 0.75, 0.55).must(
        Beside::One(KAS),
        1.0 / 50.0,
        1.0 / 80.0,
    );
    full.rate = full.rate.must(Beside::One(NGHTTPX), 1.3, 1.7);
    full
}

/// One after the other.
#[must_use]
pub fn alone() -> ClosedLoop {
    let mut alone = ClosedLoop::new(Load::Http1 { connections: 1 });
    alone.p50 = alone.p50.must(Beside::One(NGHTTPX), 1.0, 0.8);
    alone
}

/// As kubectl asks.
#[must_use]
pub fn multiplexed() -> ClosedLoop {
    let mut multiplexed = ClosedLoop::new(Load::Http2 {
        connections: 8,
        streams: 8,
    });
    multiplexed.cpu = multiplexed.cpu.must(Beside::One(NGHTTPX), 0.9, 0.7);
    multiplexed
}

impl ClosedLoop {
    fn new(load: Load) -> Self {
        let name = match load {
            Load::Http1 { connections: 1 } => "1 HTTP/1.1 connection".to_owned(),
            Load::Http1 { connections } => format!("{connections} HTTP/1.1 connections"),
            Load::Http2 {
                connections,
                streams,
            } => format!("{connections} HTTP/2 connections of {streams} streams"),
        };
        let label = |what: &str| format!("{name}: {what}");
        Self {
            load,
            cpu: Row::cost(label("CPU per request"), "us"),
            outer_cpu: Row::cost(label("of it the outer hop"), "us"),
            rate: Row::gain(label("requests"), "1/s"),
            p50: Row::cost(label("p50"), "us"),
            p99: Row::cost(label("p99"), "us"),
        }
    }

    /// Runs it, and fills its rows.
    pub fn measure(
        &self,
        contender: &str,
        path: &Path,
        seconds: u32,
        sheet: &mut Sheet,
    ) -> Result<()> {
        let (seen, spent) = self.run(path, seconds)?;
        let per_request = |ns: u64| ns as f64 / 1000.0 / seen.requests as f64;
        let figures = [
            (&self.cpu, per_request(spent.iter().sum())),
            (&self.outer_cpu, per_request(spent[0])),
            (&self.rate, seen.rate()),
            (&self.p50, seen.p50_us),
            (&self.p99, seen.p99_us),
        ];
        for (row, figure) in figures {
            sheet.add(row, contender, figure);
        }
        Ok(())
    }

    /// Runs it after a warm-up: what was seen, and CPU of each hop in nanoseconds.
    pub fn run(&self, path: &Path, seconds: u32) -> Result<(Seen, Vec<u64>)> {
        self.load.run(path, 1)?;
        let before = path.cpu_ns();
        let seen = self.load.run(path, seconds)?;
        Ok((seen, path.cpu_ns_since(&before)))
    }
}

impl Load {
    fn run(self, path: &Path, seconds: u32) -> Result<Seen> {
        let target = path.target("small");
        match self {
            Self::Http1 { connections } => load::http1(&target, connections, seconds),
            Self::Http2 {
                connections,
                streams,
            } => load::http2(&target, connections, streams, A_SECOND * u64::from(seconds)),
        }
    }
}

/// Requests that take about so long on two cores.
const A_SECOND: u64 = 10_000;
