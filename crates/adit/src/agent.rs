//! `adit agent`: runs an agent until it is told to stop.
//!
//! What a flag or a variable says comes before the config file, so that one file serves many
//! agents. The invariant: the token comes from a file or the variable `ADIT_AGENT_TOKEN`, never
//! from a flag, which other processes can read.

use std::path::PathBuf;

use adit_agent::{Agent, Config, RawConfig, StartError};
use adit_process::{Exit, Stop};
use anyhow::Context;
use clap::Args;
use secrecy::SecretString;

use crate::failure::{Ends, Failure};
use crate::file_kind::FileKind;
use crate::input::read_text;
use crate::serving::run_until_stopped;

/// Run an agent, which dials a relay and serves one cluster's API through it
#[derive(Debug, Args)]
#[command(after_help = "\
The agent's token is taken from --token-file, or from the variable ADIT_AGENT_TOKEN. It is never a \
flag, because other processes can read those. Flags come before the config file.

In a cluster the agent calls the API server with its pod's service account, elsewhere with what \
kubectl would take. The first SIGTERM or SIGINT drains, the second ends at once.

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
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CA")]
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

pub(crate) fn run(args: AgentArgs) -> Result<(), Failure> {
    let config = config(args)?;
    run_until_stopped(|stop| serve(config, stop))
}

pub(crate) fn config(args: AgentArgs) -> Result<Config, Failure> {
    let file = args.config.clone();
    let named = || {
        file.as_ref()
            .map_or_else(|| "the flags".into(), |file| file.display().to_string())
    };
    let text = file.as_deref().map(read_text).transpose()?;
    let text = text.unwrap_or_default();
    RawConfig::from_yaml(&text)
        .map_err(anyhow::Error::from)
        .and_then(|raw| Ok(Config::try_from(args.over(raw))?))
        .with_context(|| format!("{} cannot be used", named()))
        .ends(Exit::BadConfig)
        .map_err(|failure| FileKind::Agent.not_in(&text, failure))
}

impl AgentArgs {
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
            | StartError::Webhooks(_)
            | StartError::RelayName(_) => Exit::BadConfig,
            StartError::Admin { .. } => Exit::Unavailable,
        };
        let advice = error.advice();
        let error = anyhow::Error::from(error).context("the agent cannot start");
        Failure::new(exit, error).advising(advice)
    })
}

async fn serve(config: Config, stop: Stop) -> Result<(), Failure> {
    let grace = config.drain_grace();
    let agent = start(config).await?;
    tracing::info!(admin.addr = %agent.admin_addr(), "agent started");
    stop.draining().await;
    agent.drain(grace).await;
    tracing::info!("agent stopped");
    Ok(())
}

const TOKEN: &str = "ADIT_AGENT_TOKEN";
