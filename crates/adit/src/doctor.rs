//! `adit doctor`: goes the way of a request, from where it runs outwards, and names the first hop that is broken.
//!
//! A file for each place it runs at, which has the order of its checks, and below it a file for each hop or check; what several
//! share is beside them. Each check ends as a [`Finding`](finding::Finding) in the [`Report`]. The invariants: it changes nothing,
//! no token is printed, and a check that could not run is told as such.

mod agent;
mod clock;
mod finding;
mod job;
mod network;
mod print;
mod relay;
mod when;

use adit_identity::{BadLabel, Label};
use adit_process::Exit;
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use tokio::runtime::Builder;

pub(crate) use self::agent::lacking;
use self::finding::Report;
use crate::failure::{Ends, Failure};

/// Find the hop that is broken between a CI job and the API server, and say how to mend it
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct DoctorArgs {
    /// Print a JSON object with all findings
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    place: Place,
}

/// As a flag names one.
fn namespace(text: &str) -> Result<String, BadLabel> {
    text.parse::<Label>().map(|label| label.to_string())
}

/// Where it runs.
#[derive(Debug, Subcommand)]
enum Place {
    Job(job::JobArgs),
    Agent(agent::BesideAgentArgs),
    Relay(relay::RelayArgs),
}

pub(crate) fn run(args: DoctorArgs) -> Result<(), Failure> {
    let DoctorArgs { json, place } = args;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .ends(Exit::Failed)?;
    let mut report = Report::default();
    runtime.block_on(async {
        match place {
            Place::Job(args) => job::examine(args, &mut report).await,
            Place::Agent(args) => agent::examine(args, &mut report).await,
            Place::Relay(args) => relay::examine(args, &mut report).await,
        }
    });
    // Not `drop`, which would wait for blocking calls such as a name lookup.
    runtime.shutdown_background();
    if json {
        print::json(&report)?;
    } else {
        print::text(&report)?;
    }
    match report.broken() {
        None => Ok(()),
        Some(finding) => {
            let broken = anyhow!("broken at {}: {}", finding.hop, finding.check);
            Err(Failure::new(finding.hop.exit(), broken))
        }
    }
}

const AFTER_HELP: &str = "\
Each finding is `ok`, `warning`, `failed`, or `not run` when an earlier one stands in its way; its hop says where. \
docs/doctor.md has all of them.

Exit codes, by the hop of the first finding that failed:
   0  nothing is broken
  10  client: the job's settings, its token, its clock
  11  network: the way to the relay
  12  relay
  13  agent
  14  api-server: the API server, or the way from the agent to it
  15  authority: who vouches for jobs, an issuer or GitLab";
