//! `adit manifests`: prints what a cluster's owner applies, with secrets and rules in their places.
//!
//! The files of `deploy/manifests` are built in and changed, so that there is one home for them. Nothing is asked of a
//! cluster, and nothing is applied. Invariant: what is printed gives the agent no right of its own but those
//! that Flux needs, where that is asked for.

/// A file of `deploy/manifests`.
macro_rules! built_in {
    ($path:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../deploy/manifests/",
            $path
        ))
    };
}

mod agent;
mod document;
mod names;
mod relay;
mod resources;
mod rule;

use std::io::{self, Write};
use std::path::Path;

use adit_process::Exit;
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::agent::AgentArgs;
use self::relay::RelayArgs;
use crate::failure::{Ends, Failure};
use crate::input::read_text;

/// Print the manifests of an agent or a relay, ready for `kubectl apply`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct ManifestsArgs {
    #[command(subcommand)]
    pub(crate) command: ManifestsCommand,
}

/// Whose manifests.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestsCommand {
    Agent(Box<AgentArgs>),
    Relay(RelayArgs),
}

pub(crate) fn run(command: &ManifestsCommand) -> Result<(), Failure> {
    let text = match command {
        ManifestsCommand::Agent(args) => agent::print(args)?,
        ManifestsCommand::Relay(args) => relay::print(args)?,
    };
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot print")
        .ends(Exit::Failed)
}

/// A pod's annotation that changes with its configuration, so that a change of that is a rollout.
fn checksum(data: &Value) -> Value {
    let hash = Sha256::digest(data.to_string());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "checksum/config": hex })
}

/// The PEM file of a flag, with that in it, such as a `CERTIFICATE`.
fn read_pem(file: &Path, flag: &str, what: &str) -> Result<String, Failure> {
    let text = read_text(file)?;
    let holds = |what: &str| {
        let mut begins = text.lines().filter(|line| line.starts_with("-----BEGIN "));
        begins.any(|line| line.trim_end().ends_with(&format!("{what}-----")))
    };
    if holds(what) {
        return Ok(text);
    }
    let instead = match PEM.into_iter().find(|what| holds(what)) {
        Some(other) => format!("holds a {other}, and no {what}"),
        None => format!("is no PEM: it has no line `-----BEGIN {what}-----`"),
    };
    let error = anyhow!("{}, which {flag} names, {instead}", file.display());
    let advice = "see that each flag names its own file: a certificate's has the line `-----BEGIN CERTIFICATE-----`, a key's one that ends with `PRIVATE KEY-----`";
    Err(Failure::new(Exit::BadConfig, error).advising(advice))
}

/// What is mistaken for one another.
const PEM: [&str; 3] = ["PRIVATE KEY", "CERTIFICATE", "CERTIFICATE REQUEST"];
