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

use crate::demo::{self, DemoArgs};
use crate::{docs, release};

/// The project's commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(DemoArgs),
    /// Run every check and test, with one summary
    Test,
    /// Write a container image of the released binary, without a container engine
    Image {
        /// What the image is called
        #[arg(long, default_value = release::IMAGE)]
        name: String,
        /// The file to write: a tar of an OCI image layout
        #[arg(
            long,
            short,
            value_name = "FILE",
            default_value = "target/adit-image.tar"
        )]
        output: PathBuf,
    },
    /// Write what is generated: docs/metrics.md, and the dashboards of deploy/grafana/
    Docs,
    /// Write everything that is given to others: archive, charts, image, list of components, checksums
    Dist {
        /// The folder, which is made anew
        #[arg(long, short, value_name = "FOLDER", default_value = "target/dist")]
        output: PathBuf,
    },
    /// Measure adit beside pairs of nghttpx and HAProxy hops and other tunnels; or, with `gitlab`, before a double of GitLab
    Bench {
        /// What `adit-bench` takes, or, after `gitlab`, `gitlab-bench`: see `cargo xtask bench -- --help` and `... bench gitlab --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Start a bare cluster for trying things by hand, until Ctrl-C
    Cluster {
        /// The node: `real`, `kwok` or `none` [default: real where it runs, else kwok]
        #[arg(long, value_parser = parse_node)]
        node: Option<Node>,
    },
    /// Take down what was left running, and take out of a cluster that stays what the demo put there
    Down {
        /// The folders, as they were told
        #[arg(required = true)]
        folders: Vec<PathBuf>,
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
        // Whatever else failed: what Ctrl-C ended before its time may say so in its own words.
        Err(error) if error.is::<Interrupted>() || interrupt::check().is_err() => {
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
    match &command {
        // It must outlive signals that are meant for the cluster's process; taking down should be done to its end.
        Command::Guard { .. } | Command::Down { .. } => {}
        Command::Demo(_)
        | Command::Test
        | Command::Docs
        | Command::Image { .. }
        | Command::Dist { .. }
        | Command::Bench { .. }
        | Command::Cluster { .. } => {
            interrupt::install()?;
        }
    }
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Test => test::run(),
        Command::Docs => docs::write(),
        Command::Image { name, output } => release::image(&name, &output),
        Command::Dist { output } => release::dist(&output),
        Command::Bench { args } => bench::run(&args),
        Command::Cluster { node } => bare_cluster(node),
        Command::Down { folders } => folders.iter().try_for_each(|folder| down(folder)),
        Command::Guard { folder } => cluster::clean_up_after(&folder, io::stdin()),
    }
}

fn down(folder: &Path) -> Result<()> {
    progress::step("down", || demo::take_down(folder))
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

/// A node that pods become ready on.
pub(crate) fn parse_node_with_pods(name: &str) -> Result<Node, String> {
    match parse_node(name)? {
        Node::None => Err("the demo has pods: choose real or kwok".to_owned()),
        node @ (Node::Real | Node::Kwok) => Ok(node),
    }
}

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  it failed; what it said last is why
    2  the command line is wrong
  130  interrupted, and cleaned up";
