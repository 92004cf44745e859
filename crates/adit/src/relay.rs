//! `adit relay`: runs a relay until it is told to stop.

use std::path::{Path, PathBuf};

use adit_process::{Exit, Stop};
use adit_relay::{Config, RawConfig, Relay, StartError};
use anyhow::Context;
use clap::Args;

use crate::failure::{Ends, Failure};
use crate::file_kind::FileKind;
use crate::input::read_text;
use crate::serving::run_until_stopped;

/// Run a relay, which CI jobs and agents connect to
#[derive(Debug, Args)]
#[command(after_help = "\
The first SIGTERM or SIGINT drains: nothing new is taken, what runs may finish. The second ends at once.

Examples:
  adit config check relay.yaml
  adit relay --config relay.yaml
  adit relay --config relay.yaml --log info,adit_relay=debug --log-format json")]
pub(crate) struct RelayArgs {
    /// The relay's config file; `-` reads standard input
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CONFIG")]
    config: PathBuf,
}

pub(crate) fn run(args: &RelayArgs) -> Result<(), Failure> {
    let config = read_config(&args.config)?;
    run_until_stopped(|stop| serve(config, stop))
}

/// Reads and checks a relay's config.
pub(crate) fn read_config(file: &Path) -> Result<Config, Failure> {
    let text = read_text(file)?;
    RawConfig::from_yaml(&text)
        .map_err(anyhow::Error::from)
        .and_then(|raw| Ok(Config::try_from(raw)?))
        .with_context(|| format!("{} cannot be used", file.display()))
        .ends(Exit::BadConfig)
        .map_err(|failure| FileKind::Relay.not_in(&text, failure))
}

/// Starts a relay, or says why not with the code for it.
pub(crate) fn start(
    config: Config,
    start: fn(Config) -> Result<Relay, StartError>,
) -> Result<Relay, Failure> {
    start(config).map_err(|error| {
        let exit = match &error {
            StartError::Tls { .. } | StartError::Secret(_) | StartError::Audit { .. } => {
                Exit::BadConfig
            }
            StartError::Listen { .. } | StartError::Shards(_) => Exit::Unavailable,
        };
        let advice = error.advice();
        let error = anyhow::Error::from(error).context("the relay cannot start");
        Failure::new(exit, error).advising(advice)
    })
}

async fn serve(config: Config, stop: Stop) -> Result<(), Failure> {
    let grace = config.drain_grace;
    let relay = start(config, Relay::start)?;
    stop.draining().await;
    relay.drain(grace).await;
    Ok(())
}
