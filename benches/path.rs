//! `adit-bench`: what a request costs through adit, beside pairs of proxies, in one run. `cargo xtask bench` builds and calls it.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures and prints"
)]

use std::{fs, path::PathBuf};

use adit_benches::{
    load,
    path::{Kind, Path},
    report::{Measure, table},
    rig::{LARGE_BYTES, Rig},
};
use anyhow::Result;
use clap::Parser;

/// Measures adit beside nghttpx and HAProxy pairs, all legs TLS, on this machine.
#[derive(Debug, Parser)]
struct Args {
    /// How often each path is measured; medians are printed.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each load.
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// One round of one second: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only these paths: nghttpx, haproxy, adit.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let mut args = Args::parse();
    if args.quick {
        (args.rounds, args.seconds) = (1, 1);
    }
    let is_wanted = |kind: &Kind| {
        args.only.is_empty() || args.only.iter().any(|name| kind.name().starts_with(name))
    };
    let kinds: Vec<_> = Kind::ALL.into_iter().filter(is_wanted).collect();
    let rig = Rig::start()?;
    let mut sheet = Sheet::new();
    for round in 1..=args.rounds {
        for kind in &kinds {
            eprintln!("round {round} of {}: {}", args.rounds, kind.name());
            let mut path = kind.start(&rig)?;
            sheet.measure(*kind, &path, args.seconds)?;
            for hop in &mut path.hops {
                hop.check_alive()?;
            }
        }
    }
    let measures = sheet.into_measures();
    println!("{}", table(&measures, &kinds));
    println!(
        "In brackets: against the nghttpx pair. 2 KiB GET unless said; CPU is that of the two hops together."
    );
    if let Some(file) = args.json {
        fs::write(file, serde_json::to_string_pretty(&measures)?)?;
    }
    Ok(())
}

/// The measures of the race, in the order they are printed.
struct Sheet {
    closed_loops: Vec<ClosedLoop>,
    download_cpu: Measure,
    download_rate: Measure,
    memory: Measure,
}

struct ClosedLoop {
    load: Load,
    cpu: Measure,
    front_cpu: Measure,
    rate: Measure,
    p50: Measure,
    p99: Measure,
}

#[derive(Clone, Copy)]
enum Load {
    Http1 { connections: u32 },
    Http2 { connections: u32, streams: u32 },
}

impl ClosedLoop {
    fn new(load: Load) -> Self {
        let name = match load {
            Load::Http1 { connections } => format!("{connections} HTTP/1.1 connection(s)"),
            Load::Http2 {
                connections,
                streams,
            } => format!("{connections} HTTP/2 connections of {streams} streams"),
        };
        let label = |what: &str| format!("{name}: {what}");
        Self {
            load,
            cpu: Measure::cost(label("CPU per request"), "us"),
            front_cpu: Measure::cost(label("of it the outer hop"), "us"),
            rate: Measure::gain(label("requests"), "1/s"),
            p50: Measure::cost(label("p50"), "us"),
            p99: Measure::cost(label("p99"), "us"),
        }
    }

    fn measure(&mut self, kind: Kind, path: &Path, seconds: u32) -> Result<()> {
        let target = path.target("small");
        let run = |seconds: u32| match self.load {
            Load::Http1 { connections } => load::http1(&target, connections, seconds),
            Load::Http2 {
                connections,
                streams,
            } => load::http2(&target, connections, streams, 20_000 * u64::from(seconds)),
        };
        run(1)?;
        let before = path.cpu_ns();
        let seen = run(seconds)?;
        let after = path.cpu_ns();
        let spent = |hop: usize| {
            after
                .get(hop)
                .zip(before.get(hop))
                .map_or(0, |(after, before)| after - before)
        };
        let per_request = |ns: u64| ns as f64 / 1000.0 / seen.requests as f64;
        self.cpu.add(kind, per_request(spent(0) + spent(1)));
        self.front_cpu.add(kind, per_request(spent(0)));
        self.rate.add(kind, seen.requests as f64 / seen.seconds);
        self.p50.add(kind, seen.p50_us);
        self.p99.add(kind, seen.p99_us);
        Ok(())
    }
}

impl Sheet {
    fn new() -> Self {
        let loads = [
            Load::Http1 { connections: 64 },
            Load::Http1 { connections: 1 },
            Load::Http2 {
                connections: 8,
                streams: 8,
            },
        ];
        Self {
            closed_loops: loads.map(ClosedLoop::new).into(),
            download_cpu: Measure::cost(format!("download of {} MiB: CPU", LARGE_BYTES >> 20), "s"),
            download_rate: Measure::gain("the same: rate", "MB/s"),
            memory: Measure::cost("resident memory of both hops at the end", "MiB"),
        }
    }

    fn measure(&mut self, kind: Kind, path: &Path, seconds: u32) -> Result<()> {
        for closed_loop in &mut self.closed_loops {
            closed_loop.measure(kind, path, seconds)?;
        }
        let before = path.cpu_ns();
        let (bytes, took) = load::download(&path.target("large"))?;
        let spent: u64 = path
            .cpu_ns()
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .sum();
        anyhow::ensure!(
            bytes == LARGE_BYTES as u64,
            "the download was cut at {bytes} bytes"
        );
        self.download_cpu.add(kind, spent as f64 / 1e9);
        self.download_rate.add(kind, bytes as f64 / 1e6 / took);
        self.memory.add(
            kind,
            path.hops
                .iter()
                .map(|hop| hop.resident_kib() as f64 / 1024.0)
                .sum(),
        );
        Ok(())
    }

    fn into_measures(self) -> Vec<Measure> {
        let loops = self
            .closed_loops
            .into_iter()
            .flat_map(|l| [l.cpu, l.front_cpu, l.rate, l.p50, l.p99]);
        loops
            .chain([self.download_cpu, self.download_rate, self.memory])
            .collect()
    }
}
