//! `adit-bench`: what a request costs through adit, beside pairs of proxies, in one run. `cargo xtask bench` builds and calls it.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures and prints"
)]

use std::{fs, path::PathBuf};

use adit_benches::{
    load,
    path::{Contender, Path},
    process::Process,
    report::{Measure, table},
    rig::{LARGE_BYTES, Rig},
};
use anyhow::{Context as _, Result};
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
    /// One more build of adit, to compare two.
    #[arg(long, value_name = "NAME=BINARY", value_parser = build)]
    also: Vec<(String, PathBuf)>,
    /// Measures nothing: starts one path, prints how to load it, and keeps it until standard input ends. For profilers.
    #[arg(long)]
    hold: bool,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let mut args = Args::parse();
    if args.quick {
        (args.rounds, args.seconds) = (1, 1);
    }
    let contenders = contenders(&args)?;
    let rig = Rig::start()?;
    if args.hold {
        return hold(&contenders, &rig);
    }
    let mut sheet = Sheet::new();
    for round in 1..=args.rounds {
        for contender in &contenders {
            let name = &contender.name;
            eprintln!("round {round} of {}: {name}", args.rounds);
            let mut path = contender.start(&rig)?;
            sheet.measure(name, &path, args.seconds)?;
            for hop in &mut path.hops {
                hop.check_alive()?;
            }
        }
    }
    let measures = sheet.into_measures();
    let names: Vec<_> = contenders.iter().map(|one| one.name.as_str()).collect();
    println!("{}", table(&measures, &names));
    println!(
        "In brackets: against the first column. 2 KiB GET unless said; CPU is that of the two hops together."
    );
    if let Some(file) = args.json {
        fs::write(file, serde_json::to_string_pretty(&measures)?)?;
    }
    Ok(())
}

/// Who is measured, in the order of the columns.
fn contenders(args: &Args) -> Result<Vec<Contender>> {
    let is_wanted = |one: &Contender| {
        args.only.is_empty()
            || args
                .only
                .iter()
                .any(|name| one.name.to_lowercase().starts_with(name))
    };
    let usual = Contender::usual()?.into_iter().filter(is_wanted);
    let also = args.also.iter();
    Ok(usual
        .chain(also.map(|(name, binary)| Contender::adit(name, binary.clone())))
        .collect())
}

fn build(text: &str) -> Result<(String, PathBuf)> {
    let (name, binary) = text.split_once('=').context("it is NAME=BINARY")?;
    Ok((name.to_owned(), binary.into()))
}

/// Keeps a path up for whoever wants to look into its processes.
fn hold(contenders: &[Contender], rig: &Rig) -> Result<()> {
    let [contender] = contenders else {
        anyhow::bail!("--hold is for one path: name it with --only");
    };
    let path = contender.start(rig)?;
    let [outer, inner] = path.hops.each_ref().map(Process::id);
    println!("outer={outer}\ninner={inner}");
    let target = path.target("small");
    println!("url={}", target.url);
    for header in target.headers {
        println!("header={header}");
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
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

    fn measure(&mut self, contender: &str, path: &Path, seconds: u32) -> Result<()> {
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
        self.cpu.add(contender, per_request(spent(0) + spent(1)));
        self.front_cpu.add(contender, per_request(spent(0)));
        self.rate
            .add(contender, seen.requests as f64 / seen.seconds);
        self.p50.add(contender, seen.p50_us);
        self.p99.add(contender, seen.p99_us);
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

    fn measure(&mut self, contender: &str, path: &Path, seconds: u32) -> Result<()> {
        for closed_loop in &mut self.closed_loops {
            closed_loop.measure(contender, path, seconds)?;
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
        self.download_cpu.add(contender, spent as f64 / 1e9);
        self.download_rate.add(contender, bytes as f64 / 1e6 / took);
        self.memory.add(
            contender,
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
