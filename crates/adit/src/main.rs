//! The one binary: subcommands and flags, nothing that decides.
//!
//! `main` is the edge at which an error is printed, once and with its chain, and turned into one
//! of the exit codes of [`adit_process::Exit`]. What the commands are is told by `cli.rs`.

mod admin_port;
mod agent_file;
mod cli;
mod cluster_version;
mod exchange;
mod failure;
mod file_kind;
mod input;
mod kubernetes_status;
mod log;
mod terminal;

mod access;
mod agent;
mod completions;
mod config;
mod cut;
mod dev;
mod doctor;
mod kubeconfig;
mod man;
mod manifests;
mod relay;
mod serving;
mod status;
mod token;

use std::process::ExitCode;

use adit_process::Exit;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::log::Log;

fn main() -> ExitCode {
    match run(Cli::given().unwrap_or_else(|error| error.exit())) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let (_logging, log) = Log::start(&cli)?;
    match cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Relay(args) => relay::run(&args, log),
        Command::Agent(args) => agent::run(args, log),
        Command::Kubeconfig(args) => kubeconfig::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Status(args) => status::run(&args),
        Command::Cut(args) => cut::run(&args),
        Command::Token(token::TokenArgs { command }) => token::run(&command),
        Command::Access(access::AccessArgs { command }) => access::run(&command),
        Command::Config(config::ConfigArgs { command }) => config::run(&command),
        Command::Manifests(manifests::ManifestsArgs { command }) => manifests::run(&command),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
