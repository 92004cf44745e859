//! `adit doctor agent`: beside an agent, with its configuration, to the relay on one side and to the API server on the other.
//!
//! It goes the agent's own steps ([`adit_agent::Trial`]), and asks the API server what the agent may.

mod cluster;
mod own;
mod relay;
mod rights;

use adit_agent::Trial;
use clap::Args;

use self::cluster::{ACCOUNT, API_SERVER, KUBECONFIG};
use self::own::{ADMIN, TRACES};
use self::relay::{CERTIFICATE, CLOCK, TOKEN, TUNNEL, VERSION};
pub(crate) use self::rights::lacking;
use self::rights::{IMPERSONATION, NAMESPACES};
use super::finding::{Check, Hop, Report};
use super::namespace;
use super::network::{CONNECT, HTTP, NAME, PROXY, TLS};
use crate::agent;

/// Beside an agent: its way to the relay and to the API server, and its rights there
#[derive(Debug, Args)]
#[command(after_help = "\
It takes what `adit agent` takes: flags, variables, the config file. Give it those of the agent that is in trouble.

Examples:
  adit doctor agent --config agent.yaml --namespace shop
  kubectl --namespace adit-agent exec deploy/adit-agent -- \\
    /bin/adit doctor agent --namespace shop")]
pub(crate) struct BesideAgentArgs {
    #[command(flatten)]
    agent: agent::AgentArgs,
    /// A namespace in which it is to act for jobs; repeat it [default: the whole cluster]
    #[arg(long = "namespace", short, value_name = "NAME", value_parser = namespace)]
    namespaces: Vec<String>,
}

const SETTINGS: Check = Check::new("settings", Hop::Agent);

/// First what is the agent's own, then what is on the way to the relay, and then what is on the way to the API server.
const CHECKS: [Check; 18] = [
    SETTINGS,
    ADMIN,
    TRACES,
    TOKEN,
    CERTIFICATE,
    NAME,
    CONNECT,
    PROXY,
    TLS,
    HTTP,
    CLOCK,
    TUNNEL,
    VERSION,
    KUBECONFIG,
    API_SERVER,
    ACCOUNT,
    IMPERSONATION,
    NAMESPACES,
];

pub(super) async fn examine(args: BesideAgentArgs, report: &mut Report) {
    let BesideAgentArgs { agent, namespaces } = args;
    match agent::config(&agent).map(Trial::of) {
        Ok(trial) => {
            own::check(&trial, report).await;
            // What stands in the way has been told.
            let _: Option<()> = Box::pin(relay::walk(&trial, report)).await;
            let _: Option<()> = Box::pin(cluster::walk(&trial, &namespaces, report)).await;
        }
        Err(failure) => {
            let mend = "mend what is named: docs/agent.md has every key";
            let advice = failure.advice().unwrap_or(mend);
            report.failed(SETTINGS, failure.lines(), advice);
        }
    }
    report.complete(&CHECKS);
}
