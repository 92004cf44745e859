//! `adit doctor job`: in a CI job, from the job's own settings to the API server.
//!
//! It asks what `adit kubeconfig` and kubectl ask, with the job's token, and looks at each answer.

mod access;
mod cluster;
mod grant;
mod kubeconfig;
mod relay;
mod stream;
mod token;
mod version;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use adit_identity::mistakes::duration;
use clap::Args;
use secrecy::ExposeSecret;

use self::access::{SETTINGS, Wanted};
use self::cluster::{API_SERVER, IDENTITY, TUNNEL};
use self::grant::GRANT;
use self::relay::{CLOCK, RELAY};
use self::stream::{IDLE, UPGRADE};
use self::token::TOKEN;
use self::version::VERSION;
use super::finding::{Check, Report};
use super::namespace;
use super::network::{CONNECT, HTTP, NAME, PROXY, TLS};
use crate::cli::ca_file;
use crate::kubeconfig::RelayUrl;

/// In a CI job: the way from the job to the API server
#[derive(Debug, Args)]
#[command(after_help = "\
With a relay's URL it takes the job's ID token as `adit kubeconfig` does, from the variable ADIT_ID_TOKEN or --id-token-file; \
without one, what the kubeconfig has that KUBECONFIG names, a user's personal access token (pat:<agent id>:<token>), too.

Examples, in .gitlab-ci.yml:
  script:
    - adit doctor job
    - adit doctor job --namespace shop --idle 75s --json")]
pub(crate) struct JobArgs {
    /// The relay [default: the one in the kubeconfig that KUBECONFIG names]
    #[arg(long, value_name = "URL", env = "ADIT_RELAY_URL")]
    relay: Option<RelayUrl>,
    /// Read the ID token from this file instead of the variable ADIT_ID_TOKEN
    #[arg(long, value_name = "FILE", env = "ADIT_ID_TOKEN_FILE")]
    id_token_file: Option<PathBuf>,
    /// Believe this CA for the relay instead of the system's (PEM)
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CA", value_parser = ca_file("ADIT_RELAY_CA"))]
    ca: Option<PathBuf>,
    /// Which context to look at, such as `group/app:demo` [default: the current one, else all that the job may use]
    #[arg(long, value_name = "NAME", env = "KUBE_CONTEXT")]
    context: Option<String>,
    /// A namespace in which the job may watch pods: the upgrade is tried on that [default: the context's]
    #[arg(long, short, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// Let a watch and an upgraded connection be silent for so long, and see whether they live, such as 75s [default: not tried]
    #[arg(long, value_name = "TIME", value_parser = silence)]
    idle: Option<Duration>,
}

fn silence(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(Duration::ZERO) => {
            Err("nothing is tried in no time: leave it out, or give such as 75s".to_owned())
        }
        Ok(time) => Ok(time),
        Err(bad) => Err(bad.to_string()),
    }
}

/// In the order in which a request meets them.
const CHECKS: [Check; 16] = [
    SETTINGS, TOKEN, NAME, CONNECT, PROXY, TLS, HTTP, CLOCK, RELAY, GRANT, VERSION, TUNNEL,
    API_SERVER, IDENTITY, UPGRADE, IDLE,
];

pub(super) async fn examine(args: JobArgs, report: &mut Report) {
    // What stands in the way has been told.
    let _: Option<()> = Box::pin(walk(args, report)).await;
    report.complete(&CHECKS);
}

async fn walk(args: JobArgs, report: &mut Report) -> Option<()> {
    let access = access::read(&args, report)?;
    // A token that has ended does not hide what else is wrong.
    let token = access.token.expose_secret();
    token::check(token, access.holder, SystemTime::now(), report);
    let dialled = access.way.walk(report).await?;
    relay::check(&access, dialled, report).await?;
    let agents = grant::check(&access, report).await?;
    let (mut reached, mut others) = (None, Vec::new());
    for agent in &agents {
        let mut found = Report::default();
        if cluster::check(&access, agent, &mut found).await.is_some() {
            reached = reached.or(Some(agent));
            report.append(found);
        } else {
            others.push(found);
        }
    }
    for mut found in others {
        // One that the job may use, and nobody asked for: it may never have to.
        if reached.is_some() && access.agent == Wanted::All {
            found.soften();
        }
        report.append(found);
    }
    stream::check(&access, reached?, args.idle, report).await;
    Some(())
}
