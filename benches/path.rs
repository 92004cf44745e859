//! `adit-bench`: what a request costs through adit, beside pairs of proxies, in one run. `cargo xtask bench` builds and calls it.
#![allow(clippy::print_stdout, reason = "a program that measures and prints")]

use std::{fs, path::PathBuf};

use adit_benches::{
    course::Course,
    gate,
    pair::Pair,
    path::{ADIT, Contender},
    process::Process,
    race::{Effort, Heat, Race},
    report::{self, Sheet},
    rig::Rig,
    shape::Shape,
};
use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum as _};

/// Measures adit beside nghttpx and HAProxy pairs and other tunnels, on this machine.
#[derive(Debug, Parser)]
struct Args {
    /// How often each path is measured; medians are printed.
    #[arg(long)]
    rounds: Option<u32>,
    /// Seconds of each load.
    #[arg(long)]
    seconds: Option<u32>,
    /// One round of one second, and a tenth of agents and watches: to see that it works.
    #[arg(long)]
    quick: bool,
    /// How many agents do nothing.
    #[arg(long)]
    agents: Option<usize>,
    /// How many watches one agent has.
    #[arg(long)]
    watches: Option<usize>,
    /// Only these paths: nghttpx, haproxy, rathole, remotedialer, kas, adit.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these heats.
    #[arg(long, value_delimiter = ',')]
    heats: Vec<Heat>,
    /// One more build of adit, to compare two.
    #[arg(long, value_name = "NAME=BINARY", value_parser = build)]
    also: Vec<(String, PathBuf)>,
    /// Compares with this older build of adit instead, and fails when more CPU is spent than noise explains.
    #[arg(long, value_name = "BINARY", conflicts_with_all = ["only", "heats", "also", "json", "picture", "hold"])]
    gate: Option<PathBuf>,
    /// Measures nothing: starts one path, prints how to load it, and keeps it until standard input ends. For profilers.
    #[arg(long)]
    hold: bool,
    /// Measures nothing: a hundred bodies go once through both ends of a session, in this thread. For what counts instructions.
    #[arg(long, conflicts_with = "hold")]
    session: bool,
    /// Where to write every run as JSON, after each heat.
    #[arg(long, value_name = "FILE", default_value = "target/race.json")]
    json: PathBuf,
    /// Where to write a picture of the medians, in SVG, after each heat.
    #[arg(long, value_name = "FILE", default_value = "target/race.svg")]
    picture: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.session {
        let shape = Shape::of("session").streams(100).body(256 << 10);
        Pair::open().uploads(&shape);
        return Ok(());
    }
    let effort = effort(&args);
    if let Some(old) = args.gate {
        return gate::run(&Rig::start()?, effort, old, Contender::built()?);
    }
    let contenders = contenders(&args)?;
    if args.hold {
        return hold(&contenders, &Rig::start()?);
    }
    let race = Race {
        rig: Rig::start()?,
        contenders,
        effort,
    };
    let heats = match args.heats.as_slice() {
        [] => Heat::value_variants(),
        some => some,
    };
    let (mut sheet, mut failed) = (Sheet::default(), Vec::new());
    for heat in heats {
        // One that fails keeps nobody from the next.
        if let Err(failure) = heat.run(&race, &mut sheet) {
            eprintln!("{heat:?} has failed: {failure:#}");
            failed.push(heat);
        }
        fs::write(&args.json, serde_json::to_string_pretty(&sheet)?)?;
        fs::write(&args.picture, report::picture::svg(&sheet))?;
    }
    print(&sheet, &race.contenders);
    ensure!(failed.is_empty(), "without a figure for all: {failed:?}");
    Ok(())
}

fn effort(args: &Args) -> Effort {
    let usual = if args.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    Effort {
        rounds: args.rounds.unwrap_or(usual.rounds),
        seconds: args.seconds.unwrap_or(usual.seconds),
        agents: args.agents.unwrap_or(usual.agents),
        watches: args.watches.unwrap_or(usual.watches),
        ..usual
    }
}

fn print(sheet: &Sheet, contenders: &[Contender]) {
    let names: Vec<_> = contenders.iter().map(|one| one.name.as_str()).collect();
    println!("{}", report::medians(sheet, &names));
    println!(
        "In brackets: against the first column. 2 KiB GET unless said; CPU is that of the two hops together."
    );
    if names.contains(&ADIT) {
        println!("\n{}", report::goals(sheet));
    }
}

/// Who is measured, in the order of the columns.
fn contenders(args: &Args) -> Result<Vec<Contender>> {
    let is_wanted = |one: &str| {
        let mut only = args.only.iter();
        args.only.is_empty() || only.any(|name| one.to_lowercase().starts_with(name))
    };
    let usual = Contender::usual()?;
    for (name, variables) in Contender::named_ones() {
        if is_wanted(name) && !usual.iter().any(|one| one.name == name) {
            eprintln!("without {name}: not named by {variables}");
        }
    }
    let usual = usual.into_iter().filter(|one| is_wanted(&one.name));
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
    let path = contender.start(rig, &Course::short(rig))?;
    let names = ["outer", "inner"].into_iter();
    for (name, id) in names.zip(path.hops.iter().map(Process::id)) {
        println!("{name}={id}");
    }
    let target = path.target("small");
    println!("url={}", target.url);
    for header in target.headers {
        println!("header={header}");
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
