//! `adit access`: says who gets in, without asking anybody.

mod explain;
mod print;
mod unknown;

use clap::{Args, Subcommand};

use self::explain::ExplainArgs;
use crate::failure::Failure;

/// Explain who may use an agent
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct AccessArgs {
    #[command(subcommand)]
    pub(crate) command: AccessCommand,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    Explain(Box<ExplainArgs>),
}

pub(crate) fn run(command: &AccessCommand) -> Result<(), Failure> {
    let AccessCommand::Explain(args) = command;
    explain::run(args)
}
