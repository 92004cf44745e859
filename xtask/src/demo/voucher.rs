//! Who vouches for the demo's jobs: an issuer of ID tokens, or GitLab.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::cluster::{Daemon, Processes};
use xtask::wait::{self, Look};
use xtask::{ports, workspace};

use super::issuer::{Issuer, Whose};
use super::relay::Relay;

/// Before the relay, which is told of it.
pub(super) enum Voucher {
    /// Its keys are in a file.
    Issuer(Issuer),
    /// A double of GitLab, which the tests bring along.
    GitLab {
        program: PathBuf,
        /// Where it will listen.
        address: SocketAddr,
    },
}

/// What jobs are known by, once all is there.
pub(super) struct Vouched {
    /// The variable that has the token.
    pub(super) variable: &'static str,
    pub(super) tokens: [(Whose, String); 2],
    /// More of the job's variables.
    pub(super) variables: Vec<(&'static str, String)>,
    /// The kubeconfig that GitLab puts into our job.
    pub(super) kubeconfig: Option<String>,
    /// GitLab, if it is that.
    pub(super) _daemon: Option<Daemon>,
}

impl Voucher {
    pub(super) fn issuer(folder: &Path) -> Result<Self> {
        let issuer = Issuer::new()?;
        fs::write(folder.join("keys.json"), issuer.keys())?;
        Ok(Self::Issuer(issuer))
    }

    /// Builds it, which takes minutes the first time.
    pub(super) fn gitlab() -> Result<Self> {
        let program = workspace::gitlab_double()?;
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        Ok(Self::GitLab {
            program,
            address: SocketAddr::new(loopback, ports::free(loopback)?),
        })
    }

    /// For the line that says so.
    pub(super) fn begins(&self) -> &'static str {
        match self {
            Self::Issuer(_) => "jobs have ID tokens",
            Self::GitLab { .. } => "GitLab started, and two jobs in it",
        }
    }

    /// The relay's configuration.
    pub(super) fn relay_file(&self) -> &'static str {
        match self {
            Self::Issuer(_) => "relay.yaml",
            Self::GitLab { .. } => "relay.gitlab.yaml",
        }
    }

    /// Where GitLab is, for the blank in that; of an issuer there is none.
    pub(super) fn gitlab_url(&self) -> String {
        match self {
            Self::Issuer(_) => String::new(),
            Self::GitLab { address, .. } => format!("http://{address}"),
        }
    }

    /// The jobs begin.
    pub(super) fn vouch(self, processes: &Processes, relay: &Relay) -> Result<Vouched> {
        match self {
            Self::Issuer(issuer) => Ok(Vouched {
                variable: "ADIT_ID_TOKEN",
                tokens: [
                    (Whose::Ours, issuer.token(Whose::Ours)?),
                    (Whose::Others, issuer.token(Whose::Others)?),
                ],
                variables: Vec::new(),
                kubeconfig: None,
                _daemon: None,
            }),
            Self::GitLab { program, address } => gitlab(&program, address, processes, relay),
        }
    }
}

fn gitlab(
    program: &Path,
    address: SocketAddr,
    processes: &Processes,
    relay: &Relay,
) -> Result<Vouched> {
    let world = workspace::root().join("deploy/demo/gitlab.yaml");
    let mut run = Command::new(program);
    run.args(["--plain", "--listen", &address.to_string()])
        .args(["--control", "127.0.0.1:0"])
        .args(["--k8s-proxy-url", &format!("{}/k8s-proxy", relay.url())])
        .arg("--world")
        .arg(world);
    let mut daemon = processes.start("gitlab", run)?;
    // What it prints first.
    let facts: Value = wait::until(Duration::from_secs(20), "GitLab to be there", || {
        daemon.check()?;
        let log = daemon.log();
        let line = log.lines().find(|line| line.starts_with('{'));
        Ok(Look::from(
            line.and_then(|line| serde_json::from_str(line).ok()),
        ))
    })?;
    let text = |pointer: &str| {
        let found = facts.pointer(pointer).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .with_context(|| format!("GitLab does not tell {pointer}"))
    };
    Ok(Vouched {
        variable: "CI_JOB_TOKEN",
        tokens: [
            (Whose::Ours, text("/jobs/0/token")?),
            (Whose::Others, text("/jobs/1/token")?),
        ],
        variables: vec![("GITLAB_CONTROL", text("/control")?)],
        kubeconfig: Some(text("/jobs/0/kubeconfig")?),
        _daemon: Some(daemon),
    })
}
