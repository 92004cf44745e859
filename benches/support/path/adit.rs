//! adit with everything on that production has: token check, grants, impersonation, metrics, an audit record per request. One shard, as the peers have one
//! thread per hop.

use std::process::Command;

use adit_authority::token;
use anyhow::Result;
use secrecy::ExposeSecret as _;

use crate::{
    job::ISSUER,
    path::Path,
    process::{Process, until},
    rig::{Rig, free_port, listens},
};

pub(super) fn start(rig: &Rig, binary: &std::path::Path) -> Result<Path> {
    anyhow::ensure!(binary.exists(), "there is no {}", binary.display());
    let (front, relay_admin, agent_admin) = (free_port()?, free_port()?, free_port()?);
    let agent_token = token::new();
    rig.write("agent.token", agent_token.expose_secret())?;
    rig.write("jwks.json", &rig.job.jwks())?;
    let hash = token::TokenHash::of(agent_token.expose_secret());
    let relay_config = rig.write(
        "relay.yaml",
        &relay_config(rig, front, relay_admin, &hash.to_string()),
    )?;
    let kubeconfig = rig.write("kubeconfig.yaml", &kubeconfig(rig))?;
    let agent_config = rig.write(
        "agent.yaml",
        &agent_config(rig, front, agent_admin, &kubeconfig),
    )?;

    let relay = Process::start(
        "adit-relay",
        Command::new(binary)
            .args(["relay", "--config"])
            .arg(relay_config),
        &rig.logs(),
    )?;
    until("the relay listens", || listens(front))?;
    let agent = Process::start(
        "adit-agent",
        Command::new(binary)
            .args(["agent", "--config"])
            .arg(agent_config),
        &rig.logs(),
    )?;
    let path = Path {
        hops: [relay, agent],
        base: format!("https://127.0.0.1:{front}/k8s-proxy"),
        headers: vec![rig.job.authorization()],
    };
    until("the agent serves", || {
        crate::load::download(&path.target("small")).is_ok()
    })?;
    Ok(path)
}

fn relay_config(rig: &Rig, port: u16, admin: u16, token_hash: &str) -> String {
    let root = rig.folder().display();
    format!(
        "listen: {{address: '127.0.0.1:{port}', certificate: {root}/tls.crt, key: {root}/tls.key}}
admin: {{address: '127.0.0.1:{admin}'}}
shards: 1
limits: {{opens_per_second: 1000000}}
audit: {{to: file, file: {root}/audit.log}}
authorities:
  oidc:
    issuers:
      - {{url: '{ISSUER}', audiences: [adit], jwks_file: {root}/jwks.json}}
agents:
  - id: 1
    name: bench
    project: group/agents
    tokens: ['{token_hash}']
    ci_access: {{groups: [{{id: group}}]}}
"
    )
}

fn kubeconfig(rig: &Rig) -> String {
    let (root, port) = (rig.folder().display(), rig.backend_port);
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

fn agent_config(rig: &Rig, relay: u16, admin: u16, kubeconfig: &std::path::Path) -> String {
    let root = rig.folder().display();
    format!(
        "relay: {{url: 'https://127.0.0.1:{relay}', ca_file: {root}/ca.crt, token_file: {root}/agent.token}}
kubernetes: {{kubeconfig: {}}}
admin: {{address: '127.0.0.1:{admin}'}}
",
        kubeconfig.display()
    )
}
