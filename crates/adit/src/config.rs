//! `adit config`: checks a relay's config file without starting a relay.

use std::io::{self, Write};
use std::path::PathBuf;

use adit_process::Exit;
use anyhow::Context;
use clap::{Args, Subcommand};

use crate::failure::{Ends, Failure};
use crate::relay;

/// Check config files
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What can be done with config files.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a relay's config file and list every mistake in it; the exit code is 64 if there is one
    #[command(after_help = "\
The certificate, its key and other files that it names are not looked at: the relay does that when it \
starts. An agent's file is checked by the agent itself.

Examples:
  adit config check relay.yaml && systemctl restart adit-relay")]
    Check {
        /// The file; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Check { file } = command;
    relay::read_config(file)?;
    writeln!(io::stdout(), "{}: no mistakes", file.display())
        .context("cannot print")
        .ends(Exit::Failed)
}
