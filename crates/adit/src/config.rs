//! `adit config`: checks config files, of a relay with the files that it names, and of agents at GitLab, without starting or asking anybody.

mod gitlab;
mod relay;

use std::io::{self, Write};
use std::path::PathBuf;

use adit_process::Exit;
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use crate::agent_file::{AT_GITLAB, AgentName, HomeArgs, Oddities};
use crate::failure::{Ends, Failure};

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
    Check(CheckArgs),
}

/// Check a relay's config file, or an agent's at GitLab, and list every mistake in it; the exit code is 64 if there is one
#[derive(Debug, Args)]
#[command(after_help = "\
Of a relay's file: certificates, keys, secrets and other files that it names are read as the relay reads them \
when it starts. One that cannot be used is a mistake; one that is not on this machine, or that this user may not \
read, is warned of, or refused with --strict. The file of `adit agent` is checked by `adit doctor agent --config`.

Of an agent's file at GitLab: each grant is listed, and whether GitLab would take it; keys that GitLab does \
not know are warned of, or refused with --strict.

Examples:
  adit config check relay.yaml && systemctl restart adit-relay
  adit config check --gitlab .gitlab/agents/prod/config.yaml")]
pub(crate) struct CheckArgs {
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// It is not a relay's: it is an agent's at GitLab, `.gitlab/agents/<name>/config.yaml`
    #[arg(long)]
    gitlab: bool,
    /// What is only warned of, such as a key that GitLab does not know, is a mistake
    #[arg(long)]
    strict: bool,
    /// The agent, such as `group/agents:prod` [default: any of the project that CI_PROJECT_PATH names]
    #[arg(long, value_name = "PROJECT:NAME", help_heading = AT_GITLAB)]
    agent: Option<AgentName>,
    #[command(flatten)]
    home: HomeArgs,
}

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Check(args) = command;
    let oddities = if args.strict {
        Oddities::Refused
    } else {
        Oddities::Warned
    };
    if args.gitlab {
        return gitlab::check(&args.file, oddities, &args.home.home(args.agent.as_ref())?);
    }
    if args.agent.is_some() || args.home.is_given() {
        let error = anyhow!(
            "`--agent`, `--personal` and `--instance-authorization` are for an agent's file at GitLab: add `--gitlab`"
        );
        return Err(Failure::new(Exit::Usage, error));
    }
    relay::check(&args.file, oddities)?;
    writeln!(io::stdout(), "{}: no mistakes", args.file.display())
        .context("cannot print")
        .ends(Exit::Failed)
}
