//! `adit agent`: runs an agent until it is told to stop, by a file that may change meanwhile.
//!
//! What a flag or a variable says comes before the config file, so that one file serves many
//! agents. The invariant: the token comes from a file or the variable `ADIT_AGENT_TOKEN`, never
//! from a flag, which other processes can read.

use std::path::PathBuf;

use adit_agent::{Agent, Config, RawConfig, StartError};
use adit_identity::mistakes::says_nothing;
use adit_process::{ConfigFile, Exit, Stop};
use anyhow::Context;
use clap::Args;
use secrecy::SecretString;

use crate::cli::ca_file;
use crate::failure::{Ends, Failure};
use crate::file_kind::FileKind;
use crate::input::{is_standard_input, read_text};
use crate::log::Log;
use crate::serving::{keep_until_drain, run_until_stopped};

/// Run an agent, which dials a relay and serves one cluster's API through it
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The agent's token is taken from --token-file, or from the variable ADIT_AGENT_TOKEN. It is never a \
flag, because other processes can read those. Flags come before the config file.

In a cluster the agent calls the API server with its pod's service account, elsewhere with what \
kubectl would take. The first SIGTERM or SIGINT drains, the second ends at once. The config file is read \
again within ten seconds of a change, and at SIGHUP: ceiling, log and drain_grace change while it runs.

Examples:
  adit agent --relay https://relay.example.com --token-file agent.token
  adit agent --config agent.yaml
  adit agent --config agent.yaml --kubeconfig ~/.kube/config --context kind-demo")]
pub(crate) struct AgentArgs {
    /// The agent's config file; `-` reads standard input [default: none]
    #[arg(long, value_name = "FILE", env = "ADIT_AGENT_CONFIG")]
    config: Option<PathBuf>,
    /// The relay, instead of `relay.url` in the file
    #[arg(long, value_name = "URL", env = "ADIT_RELAY_URL")]
    relay: Option<String>,
    /// The file with the agent's token, reread on each connect, instead of `relay.token_file`
    #[arg(long, value_name = "FILE", env = "ADIT_AGENT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Believe this CA for the relay instead of the system's (PEM), instead of `relay.ca_file`
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CA", value_parser = ca_file("ADIT_RELAY_CA"))]
    ca: Option<PathBuf>,
    /// A kubeconfig for the API server, instead of `kubernetes.kubeconfig`
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig, instead of `kubernetes.context`
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Where to answer probes and metrics, instead of `admin.address`
    #[arg(long, value_name = "ADDRESS", env = "ADIT_AGENT_ADMIN")]
    admin: Option<String>,
}

pub(crate) fn run(args: AgentArgs, log: Log) -> Result<(), Failure> {
    let text = args.text()?;
    let config = args.check(text.as_deref())?;
    log.follow(config.log());
    run_until_stopped(|stop| serve(config, args, text, log, stop))
}

pub(crate) fn config(args: &AgentArgs) -> Result<Config, Failure> {
    args.check(args.text()?.as_deref())
}

impl AgentArgs {
    /// Of the config file, if there is one.
    fn text(&self) -> Result<Option<String>, Failure> {
        self.config.as_deref().map(read_text).transpose()
    }

    fn check(&self, text: Option<&str>) -> Result<Config, Failure> {
        let named = || match &self.config {
            Some(file) => file.display().to_string(),
            None => "the flags".to_owned(),
        };
        self.parse(text)
            .with_context(|| format!("{} cannot be used", named()))
            .ends(Exit::BadConfig)
            .map_err(|failure| match text {
                Some(text) if says_nothing(text) => failure.advising(NO_FILE),
                Some(_) | None => FileKind::Agent.not_in(text.unwrap_or_default(), failure),
            })
    }

    fn parse(&self, text: Option<&str>) -> Result<Config, anyhow::Error> {
        let raw = text.map_or_else(|| Ok(RawConfig::default()), RawConfig::from_yaml)?;
        Ok(Config::try_from(self.clone().over(raw))?)
    }

    /// The file's content, with what the flags and the environment say in its place.
    fn over(self, mut raw: RawConfig) -> RawConfig {
        raw.relay.url = self.relay.or(raw.relay.url);
        raw.relay.ca_file = self.ca.or(raw.relay.ca_file);
        raw.kubernetes.kubeconfig = self.kubeconfig.or(raw.kubernetes.kubeconfig);
        raw.kubernetes.context = self.context.or(raw.kubernetes.context);
        raw.admin.address = self.admin.or(raw.admin.address);
        raw.relay.token_file = self.token_file.or(raw.relay.token_file);
        let given = std::env::var(TOKEN)
            .ok()
            .map(|token| token.trim().to_owned());
        raw.token = given
            .filter(|token| !token.is_empty())
            .map(SecretString::from);
        raw
    }
}

/// Starts an agent, or says why not with the code for it.
pub(crate) async fn start(config: Config) -> Result<Agent, Failure> {
    Agent::start(config).await.map_err(|error| {
        let exit = match &error {
            StartError::Kubernetes(_)
            | StartError::Roots(_)
            | StartError::Certificate(_)
            | StartError::Webhooks(_)
            | StartError::RelayName(_)
            | StartError::Traces(_) => Exit::BadConfig,
            StartError::Admin { .. } => Exit::Unavailable,
        };
        let advice = error.advice();
        let error = anyhow::Error::from(error).context("the agent cannot start");
        Failure::new(exit, error).advising(advice)
    })
}

async fn serve(
    config: Config,
    args: AgentArgs,
    text: Option<String>,
    log: Log,
    stop: Stop,
) -> Result<(), Failure> {
    let agent = start(config).await?;
    tracing::info!(admin.addr = %agent.admin_addr(), "agent started");
    let configured = agent.configured().clone();
    let looks = configured.looks().clone();
    let change = move |config: Config| {
        log.follow(config.log());
        configured.change(config);
    };
    let path = args.config.clone().filter(|path| !is_standard_input(path));
    let parse = move |text: &str| args.parse(Some(text)).map_err(|error| format!("{error:#}"));
    let file = path
        .zip(text)
        .map(|(path, text)| ConfigFile::new(path, text, parse, change, looks));
    keep_until_drain(file, agent.reread(), &stop).await?;
    let grace = agent.configured().drain_grace();
    agent.drain(grace).await;
    tracing::info!("agent stopped");
    Ok(())
}

const TOKEN: &str = "ADIT_AGENT_TOKEN";
const NO_FILE: &str = "where flags and variables say all that the agent needs, leave out --config (ADIT_AGENT_CONFIG)";
