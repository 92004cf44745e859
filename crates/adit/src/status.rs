//! `adit status`: what a relay is doing now, at a terminal or as JSON.
//!
//! It asks the relay's private port (`admin_port.rs`) and lays the answer out ([`table`]). The invariant: what agents and callers named
//! reaches the terminal without control characters.

mod table;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use adit_process::Exit;
use anyhow::Context;
use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::ctrl_c;

use crate::admin_port::{AdminArgs, AdminPort};
use crate::failure::{Ends, Failure};

/// Show what a relay is doing: its agents, what runs, what was refused, what is wrong
#[derive(Debug, Args)]
#[command(after_help = "\
It asks the relay's private port (`admin.address`), so it runs where that is reached: on the relay's machine, in its pod, or \
through `kubectl port-forward`.

Examples:
  adit status
  adit status --watch
  adit status --json | jq '.agents.shown[] | select(.replicas == [])'
  adit status --admin https://relay.example.com:8151 --token-file admin.token --ca ca.pem")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    port: AdminArgs,
    /// Ask again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print the whole answer as JSON, in one line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let port = AdminPort::of(&args.port)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .ends(Exit::Failed)?;
    runtime.block_on(async {
        if !args.watch {
            return tell(&port, args).await;
        }
        let watching = async {
            loop {
                tell(&port, args).await?;
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            biased;
            // Also where a shell has its background jobs ignore it.
            _ = ctrl_c() => Ok(()),
            failed = watching => failed,
        }
    })
}

/// Asks once.
async fn tell(port: &AdminPort, args: &StatusArgs) -> Result<(), Failure> {
    let (report, said) = port.said().await?;
    let text = if args.json {
        // One that is newer says more than is known here.
        format!("{said}\n")
    } else {
        table::of(&report)
    };
    show(&text, args).context("cannot write").ends(Exit::Failed)
}

fn show(text: &str, args: &StatusArgs) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.watch && !args.json && out.is_terminal() {
        out.write_all(HOME_AND_CLEAR)?;
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

const EVERY: Duration = Duration::from_secs(2);
/// For terminals (ECMA-48): the cursor to the first line, and nothing below it.
const HOME_AND_CLEAR: &[u8] = b"\x1b[H\x1b[J";
