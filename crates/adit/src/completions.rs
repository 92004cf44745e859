//! `adit completions`: a script that lets a shell complete adit's command line.

use std::io::{self, Write};

use adit_process::Exit;
use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::{Ends, Failure};

/// Print a script that lets a shell complete adit's commands and flags
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  adit completions bash > /etc/bash_completion.d/adit
  adit completions zsh  > \"${fpath[1]}/_adit\"
  adit completions fish > ~/.config/fish/completions/adit.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    // Into memory first: the generator panics when it cannot write, as into a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "adit", &mut script);
    io::stdout()
        .lock()
        .write_all(&script)
        .context("cannot print the script")
        .ends(Exit::Failed)
}
