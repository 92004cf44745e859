//! `adit agent`: runs an agent until it is told to stop.

use std::path::PathBuf;

use adit_agent::{Agent, Config, RawConfig};
use adit_process::{Exit, Stop};
use anyhow::Context;
use clap::Args;

use crate::failure::{Ends, Failure};
use crate::serving::{read_text, run_until_stopped};

/// Run an agent, which dials a relay and serves one cluster's API through it
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// The agent's config file; `-` reads standard input
    #[arg(long, value_name = "FILE", env = "ADIT_AGENT_CONFIG")]
    config: PathBuf,
}

pub(crate) fn run(args: AgentArgs) -> Result<(), Failure> {
    let raw = RawConfig::from_yaml(&read_text(&args.config)?).ends(Exit::BadConfig)?;
    let config = Config::try_from(raw).ends(Exit::BadConfig)?;
    run_until_stopped(|stop| serve(config, stop))
}

async fn serve(config: Config, stop: Stop) -> Result<(), Failure> {
    let agent = Agent::start(config)
        .await
        .context("the agent cannot start")
        .ends(Exit::Unavailable)?;
    stop.draining().await;
    agent.drain(crate::serving::GRACE).await;
    Ok(())
}
