//! `gitlab-bench`: what adit asks of GitLab, how soon a job's end is the end of its access, and how adit does while GitLab is in
//! trouble or strangers invent tokens. `cargo xtask bench gitlab` builds and calls it; `benches/README.md` says how to read it.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program that measures and prints"
)]

mod calls;
mod ends;
mod flood;
mod outage;
mod place;
mod times;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

/// Measures the relay before a double of GitLab: processes of its own for relay and agent, all else in this one.
#[derive(Debug, Parser)]
struct Args {
    /// Only these.
    #[arg(value_enum)]
    only: Vec<Theme>,
    /// How long GitLab is in trouble, and how long calls are counted.
    #[arg(long, default_value_t = 15)]
    minutes: u64,
    /// How long strangers invent tokens, some 1,667 a second.
    #[arg(long, default_value_t = 60)]
    flood_seconds: u64,
    /// The program. Default: `adit` beside this one.
    #[arg(long)]
    adit: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Theme {
    /// Calls to GitLab for one job.
    Calls,
    /// From a job's end to the end of its streams.
    Ends,
    /// GitLab in trouble.
    Outage,
    /// Invented tokens.
    Flood,
}

/// What was measured, and what came of it.
type Row = (String, String);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let beside = || Ok(std::env::current_exe()?.with_file_name("adit"));
    let adit = args.adit.map_or_else(beside, Ok::<_, anyhow::Error>)?;
    // The processes run in folders of their own.
    let adit = &adit
        .canonicalize()
        .with_context(|| format!("there is no {}", adit.display()))?;
    let minutes = Duration::from_secs(60 * args.minutes);
    let flood = Duration::from_secs(args.flood_seconds);
    for theme in Theme::value_variants() {
        if !args.only.is_empty() && !args.only.contains(theme) {
            continue;
        }
        let rows = match theme {
            Theme::Calls => Box::pin(calls::measure(adit, minutes)).await?,
            Theme::Ends => Box::pin(ends::measure(adit)).await?,
            Theme::Outage => Box::pin(outage::measure(adit, minutes)).await?,
            Theme::Flood => Box::pin(flood::measure(adit, flood)).await?,
        };
        for (what, figure) in rows {
            println!("| {what} | {figure} |");
        }
    }
    Ok(())
}
