//! `adit man`: manual pages, one for each command, from what `--help` says.

use std::path::PathBuf;

use adit_process::Exit;
use anyhow::Context;
use clap::{Args, CommandFactory};

use crate::cli::Cli;
use crate::failure::{Ends, Failure};

/// Write the manual pages of adit and its commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  adit man /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder they go into, which exists; one file each, such as `adit-relay.1`
    folder: PathBuf,
}

pub(crate) fn run(args: &ManArgs) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .with_context(|| format!("cannot write to {}", args.folder.display()))
        .ends(if args.folder.is_dir() {
            Exit::Failed
        } else {
            Exit::BadConfig
        })
}
