//! `adit relay`: runs a relay until it is told to stop, by a file that may change meanwhile.

use std::path::{Path, PathBuf};

use adit_identity::mistakes::Mistakes;
use adit_process::{ConfigFile, Exit, Stop};
use adit_relay::{Config, RawConfig, Relay, StartError};
use anyhow::Context;
use clap::Args;

use crate::failure::{Ends, Failure};
use crate::file_kind::FileKind;
use crate::input::{is_standard_input, read_text};
use crate::log::Log;
use crate::serving::{keep_until_drain, run_until_stopped};

/// Run a relay, which CI jobs and agents connect to
#[derive(Debug, Args)]
#[command(after_help = "\
The first SIGTERM or SIGINT drains: nothing new is taken, what runs may finish. The second ends at once. \
The config file, certificates and secrets are read again within ten seconds of a change, and at SIGHUP. One \
that cannot be used changes nothing, and is logged.

Examples:
  adit config check relay.yaml
  adit relay --config relay.yaml
  adit relay --config relay.yaml --log info,adit_relay=debug --log-format json")]
pub(crate) struct RelayArgs {
    /// The relay's config file; `-` reads standard input
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CONFIG")]
    config: PathBuf,
}

pub(crate) fn run(args: &RelayArgs, log: Log) -> Result<(), Failure> {
    let text = read_text(&args.config)?;
    let config = check(&text, &args.config)?;
    log.follow(config.log.as_ref());
    let path = args.config.clone();
    run_until_stopped(|stop| serve(config, path, text, log, stop))
}

/// Reads and checks a relay's config.
pub(crate) fn read_config(file: &Path) -> Result<Config, Failure> {
    check(&read_text(file)?, file)
}

fn check(text: &str, file: &Path) -> Result<Config, Failure> {
    parse(text)
        .with_context(|| format!("{} cannot be used", file.display()))
        .ends(Exit::BadConfig)
        .map_err(|failure| FileKind::Relay.not_in(text, failure))
}

fn parse(text: &str) -> Result<Config, Mistakes> {
    RawConfig::from_yaml(text).and_then(Config::try_from)
}

/// Starts a relay, or says why not with the code for it.
pub(crate) fn start(
    config: Config,
    start: fn(Config) -> Result<Relay, StartError>,
) -> Result<Relay, Failure> {
    start(config).map_err(|error| {
        let exit = match &error {
            StartError::Tls { .. }
            | StartError::Secret(_)
            | StartError::Audit { .. }
            | StartError::Collector(_) => Exit::BadConfig,
            StartError::Listen { .. } | StartError::Shards(_) => Exit::Unavailable,
        };
        let advice = error.advice();
        let error = anyhow::Error::from(error).context("the relay cannot start");
        Failure::new(exit, error).advising(advice)
    })
}

async fn serve(
    config: Config,
    path: PathBuf,
    text: String,
    log: Log,
    stop: Stop,
) -> Result<(), Failure> {
    let relay = start(config, Relay::start)?;
    let configured = relay.configured().clone();
    let looks = configured.looks().clone();
    let change = move |config: Config| {
        log.follow(config.log.as_ref());
        configured.change(config);
    };
    let parse = |text: &str| parse(text).map_err(|mistakes| mistakes.to_string());
    let file =
        (!is_standard_input(&path)).then(|| ConfigFile::new(path, text, parse, change, looks));
    keep_until_drain(file, relay.reread(), &stop).await?;
    let grace = relay.configured().drain_grace();
    relay.drain(grace).await;
    Ok(())
}
