//! adit with everything on that production has: token check, grants, impersonation, metrics, an audit record per request. One shard
//! unless said, as the peers have one thread per hop; and limits high enough not to be what is measured.

use std::{path::Path as File, process::Command, time::Duration};

use adit_authority::token;
use anyhow::{Result, ensure};
use secrecy::ExposeSecret as _;

use super::{Front, Path};
use crate::{
    course::Course,
    job::{FIRST_JOB, ISSUER},
    load,
    process::{Process, until_within},
    rig::{Rig, free_port, listens},
};

pub(super) fn start(rig: &Rig, binary: &File, course: &Course<'_>) -> Result<Path> {
    let front = free_port()?;
    let agent_token = token::new();
    rig.write("agent.token", agent_token.expose_secret())?;
    let hash = token::TokenHash::of(agent_token.expose_secret());
    let agents = format!(
        "agents:
  - id: 1
    name: bench
    project: group/agents
    tokens: ['{hash}']
    ci_access: {{groups: [{{id: group}}]}}
"
    );
    let relay = relay(rig, binary, front, course.shards, &agents)?;
    let agent = agent(rig, binary, course.middle(front), course.backend)?;
    let path = Path {
        hops: vec![relay, agent],
        front: Front {
            scheme: "https",
            port: front,
            prefix: "/k8s-proxy".to_owned(),
            authorization: rig.jobs.authorization(FIRST_JOB)?,
        },
        _aside: None,
    };
    until_within(PATIENCE, "the agent serves", || {
        load::download(&path.target("small")).is_ok()
    })?;
    Ok(path)
}

/// A relay on this port with these agents; up when it listens.
pub fn relay(rig: &Rig, binary: &File, port: u16, shards: u32, agents: &str) -> Result<Process> {
    ensure!(binary.exists(), "there is no {}", binary.display());
    rig.write("jwks.json", &rig.jobs.jwks())?;
    let (root, admin) = (rig.folder().display(), free_port()?);
    let limits = "{opens_per_second: 1000000, connections: 40000, connections_per_address: 40000, streams_per_tunnel: 40000}";
    let config = format!(
        "listen: {{address: '127.0.0.1:{port}', certificate: {root}/tls.crt, key: {root}/tls.key}}
admin: {{address: '127.0.0.1:{admin}'}}
shards: {shards}
limits: {limits}
audit: {{to: file, file: {root}/audit.log}}
authorities:
  oidc:
    issuers:
      - {{url: '{ISSUER}', audiences: [adit], jwks_file: {root}/jwks.json}}
{agents}"
    );
    let config = rig.write("relay.yaml", &config)?;
    let mut command = Command::new(binary);
    command.args(["relay", "--config"]).arg(config);
    let relay = Process::start("adit-relay", &mut command, &rig.logs())?;
    until_within(PATIENCE, "the relay listens", || listens(port))?;
    Ok(relay)
}

fn agent(rig: &Rig, binary: &File, relay: u16, backend: u16) -> Result<Process> {
    let kubeconfig = rig.write("kubeconfig.yaml", &kubeconfig(rig, backend))?;
    let (root, admin) = (rig.folder().display(), free_port()?);
    let config = format!(
        "relay: {{url: 'https://127.0.0.1:{relay}', ca_file: {root}/ca.crt, token_file: {root}/agent.token}}
kubernetes: {{kubeconfig: {}}}
limits: {{max_streams: 40000}}
admin: {{address: '127.0.0.1:{admin}'}}
",
        kubeconfig.display()
    );
    let config = rig.write("agent.yaml", &config)?;
    let mut command = Command::new(binary);
    command.args(["agent", "--config"]).arg(config);
    Process::start("adit-agent", &mut command, &rig.logs())
}

pub(super) fn kubeconfig(rig: &Rig, port: u16) -> String {
    let root = rig.folder().display();
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: bench, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: {root}/ca.crt}}}}]
users: [{{name: agent, user: {{token: service-account}}}}]
contexts: [{{name: bench, context: {{cluster: bench, user: agent}}}}]
current-context: bench
"
    )
}

/// On a machine that does something else, too, and under callgrind.
const PATIENCE: Duration = Duration::from_secs(120);
