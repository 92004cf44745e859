//! `adit dev`: relay, agent and issuer in one process, in front of a cluster the user is logged in
//! to. The ten-second try.
//!
//! Relay and agent are the real ones, with real config and TLS; only the issuer is pretended. All
//! state lies in a temporary folder that goes with the process. The invariant: nothing listens
//! beyond loopback, and only this user can read the folder.

mod announcement;
mod certificates;
mod job;
mod settings;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use adit_agent::{Agent, NoAnswer, Trial};
use adit_authority::issuer::{Issuer, KeyKind};
use adit_authority::token;
use adit_identity::{AgentId, FullPath, JobIdentity, ProjectId};
use adit_process::{Exit, Stop};
use adit_relay::Relay;
use anyhow::{Context, anyhow};
use clap::Args;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use self::announcement::Announcement;
use self::certificates::Certificates;
use self::settings::Settings;
use crate::agent;
use crate::doctor::lacking;
use crate::failure::{Ends, Failure};
use crate::kubeconfig::{Destination, Document, Reachable, RelayUrl};
use crate::relay;
use crate::serving::run_until_stopped;

/// Try adit: a relay, an agent and an issuer in one process, in front of your current cluster
#[derive(Debug, Args)]
#[command(after_help = "\
It prints the line that points kubectl at the relay, the identity a job has in the cluster, and the \
RBAC to give it. Your own kubeconfig needs the right to impersonate; a cluster's admin has it. Nothing \
is installed in the cluster, and everything else goes with Ctrl-C.

Examples:
  adit dev
  adit dev --context kind-demo --project group/app")]
pub(crate) struct DevArgs {
    /// The kubeconfig of the cluster [default: what kubectl would take]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context in it [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The project whose job to be, as its path
    #[arg(long, value_name = "PATH", default_value = "group/app", value_parser = FullPath::of_project)]
    project: FullPath,
    /// Where the relay listens, on loopback; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = address)]
    listen: SocketAddr,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "an address and a port are wanted, such as 127.0.0.1:18150")
}

pub(crate) fn run(args: DevArgs) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        let error = anyhow!(
            "{} is not on loopback: the pretended issuer is for this machine alone",
            args.listen
        );
        return Err(Failure::new(Exit::BadConfig, error));
    }
    run_until_stopped(|stop| serve(args, stop))
}

async fn serve(args: DevArgs, stop: Stop) -> Result<(), Failure> {
    let world = World::make(&args)?;
    let relay = relay::start(world.settings.relay()?, Relay::start_here)?;
    let url: RelayUrl = format!("https://{}", relay.public_addr())
        .parse()
        .ends(Exit::Internal)?;
    let config = world.settings.agent(&url, args.kubeconfig, args.context)?;
    let untold = Box::pin(may_impersonate(&config)).await?;
    let agent = agent::start(config).await?;

    let outcome = tokio::select! {
        biased;
        () = stop.draining() => Ok(()),
        outcome = world.play(&url, &agent, untold.as_ref()) => outcome,
    };
    tokio::join!(relay.drain(GRACE), agent.drain(GRACE));
    outcome
}

/// Whether the user's kubeconfig lets it act for a job; of an API server that does not tell, why.
async fn may_impersonate(config: &adit_agent::Config) -> Result<Option<NoAnswer>, Failure> {
    let Ok(cluster) = Trial::of(config.clone()).cluster().await else {
        // The agent's start tells why.
        return Ok(None);
    };
    match lacking(&cluster).await {
        Ok(missing) if !missing.is_empty() => {
            let error = anyhow!(
                "your kubeconfig may not act for a job in its cluster: {} is missing",
                missing.join(", ")
            );
            let advice = "take one that may impersonate, such as a cluster's admin's, by --kubeconfig or --context: docs/rbac.md";
            Err(Failure::new(Exit::NotPermitted, error).advising(advice))
        }
        Ok(_) => Ok(None),
        Err(error) => Ok(Some(error)),
    }
}

/// All that one run is made of, beside what runs.
struct World {
    folder: TempDir,
    issuer: Issuer,
    job: JobIdentity,
    context: String,
    settings: Settings,
}

impl World {
    fn make(args: &DevArgs) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("adit-dev-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot make a temporary folder")
            .ends(Exit::Failed)?;
        let certificates = Certificates::make(folder.path()).ends(Exit::Failed)?;
        let issuer = Issuer::new(ISSUER, KeyKind::EcP256).ends(Exit::Failed)?;
        let keys = folder.path().join("keys.json");
        fs::write(&keys, issuer.jwks())
            .context("cannot write the issuer's keys")
            .ends(Exit::Failed)?;
        let job = job::pretend(ISSUER, &args.project, &login()).ends(Exit::BadConfig)?;
        let settings = Settings {
            listen: args.listen,
            certificates,
            keys,
            project: args.project.clone(),
            token: token::new(),
        };
        let context = format!("{}:{AGENT_NAME}", args.project);
        Ok(Self {
            folder,
            issuer,
            job,
            context,
            settings,
        })
    }

    /// Waits for the tunnel, tells how to use it, and keeps the job's token fresh; never ends by itself.
    async fn play(
        &self,
        url: &RelayUrl,
        agent: &Agent,
        untold: Option<&NoAnswer>,
    ) -> Result<(), Failure> {
        timeout(CONNECT_WITHIN, agent.connected())
            .await
            .context("the agent did not reach the relay")
            .ends(Exit::Internal)?;
        let path = self.write_kubeconfig(url)?;
        let impersonation = self
            .job
            .impersonation(AGENT, Some(PROJECT))
            .context("the job has no identity")
            .ends(Exit::Internal)?;
        Announcement {
            kubeconfig: &path,
            context: &self.context,
            relay: url,
            job: &impersonation,
            untold,
        }
        .print()
        .context("cannot print")
        .ends(Exit::Failed)?;
        loop {
            sleep(TOKEN_LIFETIME / 2).await;
            self.write_kubeconfig(url)?;
        }
    }

    fn write_kubeconfig(&self, url: &RelayUrl) -> Result<PathBuf, Failure> {
        let token = self
            .issuer
            .token(&self.job, AUDIENCE, SystemTime::now(), TOKEN_LIFETIME)
            .ends(Exit::Internal)?;
        let ca = fs::read(&self.settings.certificates.ca)
            .context("the CA is gone")
            .ends(Exit::Failed)?;
        let agents = [Reachable::new(AGENT.0, &self.context, None)];
        let document = Document {
            relay: url,
            ca: Some(&ca),
            agents: &agents,
            current: Some(&self.context),
            namespace: None,
            token: &SecretString::from(token),
        };
        let path = self.folder.path().join("kubeconfig");
        let text = document.to_yaml().ends(Exit::Internal)?;
        Destination::File(path.clone())
            .write(&text)
            .ends(Exit::Failed)?;
        Ok(path)
    }
}

/// The user's own name, if it can stand in an identity.
fn login() -> String {
    let is_plain = |name: &String| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    std::env::var("USER")
        .ok()
        .filter(is_plain)
        .unwrap_or_else(|| "dev".to_owned())
}

/// What the pretended issuer is called; the name resolves nowhere (RFC 6761, section 6.4).
const ISSUER: &str = "https://adit-dev.invalid";
const AUDIENCE: &str = "adit-dev";
const AGENT: AgentId = AgentId(1);
const AGENT_NAME: &str = "dev";
const PROJECT: ProjectId = ProjectId(1);
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// Somebody waits at a terminal.
const GRACE: Duration = Duration::from_secs(2);
