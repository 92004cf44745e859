//! `adit cut`: ends one stream, or one tunnel, of a relay.
//!
//! It asks the relay's private port (`admin_port.rs`): first what it is, to show whoever confirms it, then to cut it. The invariant:
//! nothing is cut unless `--yes` or an answer at a terminal says so.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};

use adit_process::Exit;
use adit_relay::status::{Report, Stream, age};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use tokio::runtime::Builder;

use crate::admin_port::{AdminArgs, AdminPort, Cuttable};
use crate::failure::{Ends, Failure};
use crate::kubernetes_status::printable;

/// End a stream that lasts, or an agent's tunnel, at a relay
#[derive(Debug, Args)]
#[command(after_help = "\
Whoever may do it again does: most clients begin a watch anew at once, and an agent connects again by itself. To keep somebody out, \
take away the access. The relay's audit log, where there is one, has each cut.

Examples:
  adit status
  adit cut stream 5b0c9e7d21f4a386
  adit cut tunnel 09f31fa0c4d85e27b6a4d1930c7e5f28 --yes")]
pub(crate) struct CutArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End a watch, a followed log, an exec, a port-forward: its caller sees it break off
    Stream {
        /// The stream's request, as `adit status` shows it in its column REQUEST
        #[arg(value_name = "REQUEST", value_parser = id)]
        id: String,
        #[command(flatten)]
        how: How,
    },
    /// End a replica's tunnel and all that runs on it; the agent connects again by itself
    Tunnel {
        /// The tunnel's id, as `adit status` shows it in its column TUNNEL
        #[arg(value_name = "TUNNEL", value_parser = id)]
        id: String,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
struct How {
    #[command(flatten)]
    port: AdminArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &CutArgs) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .ends(Exit::Failed)?;
    runtime.block_on(cut(&args.what))
}

async fn cut(what: &What) -> Result<(), Failure> {
    let (What::Stream { how, .. } | What::Tunnel { how, .. }) = what;
    let port = AdminPort::of(&how.port)?;
    if !how.yes {
        let report = port.report().await?;
        let Some(told) = what.told_by(&report) else {
            let error =
                anyhow!("the relay has no {what}, or no longer: `adit status` shows what it has");
            return Err(Failure::new(Exit::Failed, error));
        };
        confirm(&told)?;
    }
    match what {
        What::Stream { id, .. } => port.cut(Cuttable::Streams, id).await?,
        What::Tunnel { id, .. } => port.cut(Cuttable::Tunnels, id).await?,
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{what} is cut")
        .context("cannot write")
        .ends(Exit::Failed)
}

/// Asks at a terminal.
fn confirm(what: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let error = anyhow!("nobody is here to confirm it: say --yes");
        return Err(Failure::new(Exit::Usage, error));
    }
    let asked = || {
        let mut terminal = io::stderr().lock();
        write!(terminal, "{}\nCut it? [y/N] ", printable(what))?;
        terminal.flush()?;
        let mut said = String::new();
        io::stdin().lock().read_line(&mut said)?;
        io::Result::Ok(said)
    };
    let said = asked().context("cannot ask").ends(Exit::Failed)?;
    match said.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, anyhow!("nothing was cut"))),
    }
}

impl What {
    /// What the relay says of it; nothing if it is not there. One that is not shown may still be: lists end after a thousand.
    fn told_by(&self, report: &Report) -> Option<String> {
        let is_cut_short = match self {
            Self::Stream { .. } => report.streams.left_out() > 0,
            Self::Tunnel { .. } => report.agents.left_out() > 0,
        };
        let told = match self {
            Self::Stream { id, .. } => {
                let mut streams = report.streams.shown.iter();
                streams.find(|stream| stream.request_id == *id).map(stream)
            }
            Self::Tunnel { id, .. } => report.agents.shown.iter().find_map(|agent| {
                let mut replicas = agent.replicas.iter();
                let replica = replicas.find(|replica| replica.tunnel == *id)?;
                let name = agent.name.as_deref().unwrap_or("known to GitLab alone");
                let (id, pod, streams) = (agent.id, &replica.replica, replica.streams);
                Some(format!(
                    "agent {id} ({name}), replica {pod}, since {}, with {streams} running",
                    replica.since
                ))
            }),
        };
        let unknown = is_cut_short.then(|| "the relay's status does not show it".to_owned());
        Some(format!("{self}: {}", told.or(unknown)?))
    }
}

fn stream(stream: &Stream) -> String {
    let by = match stream.job {
        Some(job) => format!("job {job} of {} ({})", stream.project, stream.login),
        None => stream.login.clone(),
    };
    let place = [&stream.resource, &stream.namespace, &stream.name];
    let place = place.map(String::as_str).join(" ");
    format!(
        "{} {} by {by}, at agent {}, for {}",
        stream.verb,
        place.trim_end(),
        stream.agent_name,
        age(stream.age)
    )
}

impl Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream { id, .. } => write!(f, "stream {id}"),
            Self::Tunnel { id, .. } => write!(f, "tunnel {id}"),
        }
    }
}

/// Hexadecimal digits: nothing else is an id, and nothing else belongs into a path.
fn id(text: &str) -> Result<String, &'static str> {
    let is_id = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id
        .then(|| text.to_owned())
        .ok_or("an id is hexadecimal digits, as `adit status` shows it")
}
