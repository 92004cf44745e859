//! The command line, and the exit codes: 0 done, 1 failed, 2 wrong usage, 130 after Ctrl-C.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use xtask::cluster::{self, Cluster, Node, Options};
use xtask::interrupt::{self, Interrupted};
use xtask::progress::{self, Tone, line, paint};
use xtask::{bench, test};

/// The project's commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check and test, with one summary
    Test,
    /// Measure adit beside pairs of nghttpx and HAProxy hops
    Bench {
        /// What `adit-bench` takes: see `cargo xtask bench -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Start a bare cluster for trying things by hand, until Ctrl-C
    Cluster {
        /// The node: `real`, `kwok` or `none` [default: real where it runs, else kwok]
        #[arg(long, value_parser = parse_node)]
        node: Option<Node>,
    },
    /// Take down a cluster that was left running
    Down {
        /// The cluster's folder, as it was told
        folder: PathBuf,
    },
    /// Clean up behind a cluster's process once standard input ends; started by the cluster itself
    #[command(hide = true)]
    Guard {
        /// The cluster's folder
        folder: PathBuf,
    },
}

pub(crate) fn run() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            line("interrupted; nothing is left behind");
            ExitCode::from(130)
        }
        Err(error) => {
            line(paint(Tone::Bad, format_args!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        // It must outlive signals that are meant for the cluster's process.
        Command::Guard { folder } => return cluster::clean_up_after(&folder, io::stdin()),
        Command::Down { folder } => return down(&folder),
        Command::Test | Command::Bench { .. } | Command::Cluster { .. } => interrupt::install()?,
    }
    match command {
        Command::Test => test::run(),
        Command::Bench { args } => bench::run(&args),
        Command::Cluster { node } => bare_cluster(node),
        Command::Down { .. } | Command::Guard { .. } => Ok(()),
    }
}

fn down(folder: &Path) -> Result<()> {
    progress::step("the cluster is down", || cluster::take_down(folder))
}

fn bare_cluster(node: Option<Node>) -> Result<()> {
    let node = node.unwrap_or_else(Node::best);
    let begin = Instant::now();
    let options = Options {
        node,
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).context("the cluster does not start")?;
    line(format_args!(
        "ready after {}: {} and {node}\n\n    export KUBECONFIG={}\n    alias kubectl={}\n\nCtrl-C ends it.",
        progress::took(begin.elapsed()),
        cluster.server(),
        cluster.kubeconfig("admin")?.display(),
        cluster.tools().kubectl().display(),
    ));
    loop {
        interrupt::check()?;
        cluster.check()?;
        thread::sleep(Duration::from_millis(200));
    }
}

fn parse_node(name: &str) -> Result<Node, String> {
    match name {
        "real" => Ok(Node::Real),
        "kwok" => Ok(Node::Kwok),
        "none" => Ok(Node::None),
        _ => Err("choose real, kwok or none".to_owned()),
    }
}
