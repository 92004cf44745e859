//! `cargo xtask`: the project's commands. `cargo xtask --help` lists them.

#![allow(
    clippy::disallowed_types,
    reason = "no tokio here, and so no clock of tokio's"
)]

mod cli;
mod demo;
mod docs;
mod release;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
