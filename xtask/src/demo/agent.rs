//! The demo's agent: a Deployment where pods are real and ours, else a process. Either way with the service account and the
//! role of `deploy/agent`, which may impersonate and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use xtask::cluster::{Cluster, Daemon, Processes};
use xtask::image::{self, Packing};
use xtask::{command, template, workspace};

use super::place::Place;
use super::relay::Relay;

/// Starts it; a process is given back, a Deployment is the cluster's.
pub(super) fn start(
    adit: &Path,
    place: &mut Place,
    processes: &Processes,
    relay: &Relay,
) -> Result<Option<Daemon>> {
    let folder = processes.folder();
    fs::write(folder.join("agent.token"), relay.agent_token())?;
    for file in [
        "namespace.yaml",
        "service-account.yaml",
        "cluster-role.yaml",
    ] {
        place.apply(fs::read_to_string(manifests().join(file))?)?;
    }
    match place.real_node() {
        Some(cluster) => {
            deploy(adit, cluster, folder, relay)?;
            Ok(None)
        }
        None => run(adit, place, processes, relay).map(Some),
    }
}

fn deploy(adit: &Path, cluster: &Cluster, folder: &Path, relay: &Relay) -> Result<()> {
    let stripped = folder.join("adit-stripped");
    // Half of a debug binary is symbols, which the node would have to copy; without binutils it does.
    let strip = ["--strip-all", "-o"].map(AsRef::<Path>::as_ref);
    let is_stripped = command::quietly(Command::new("strip").args(strip).args([&stripped, adit]));
    let file = folder.join("adit.tar");
    image::adit(if is_stripped { &stripped } else { adit })?.write(&file, IMAGE, Packing::Plain)?;
    cluster.import_image(&file)?;

    let secret = [
        "--namespace",
        "adit-agent",
        "create",
        "secret",
        "generic",
        "adit-agent-token",
    ];
    command::text(
        cluster
            .kubectl()
            .args(secret)
            .arg(format!(
                "--from-file=token={}",
                folder.join("agent.token").display()
            ))
            .arg(format!(
                "--from-file=ca.pem={}",
                folder.join("ca.pem").display()
            )),
    )?;
    let together = folder.join("agent");
    fs::create_dir_all(&together)?;
    for entry in fs::read_dir(manifests())? {
        let entry = entry?;
        fs::copy(entry.path(), together.join(entry.file_name()))?;
    }
    let (_, authority) = cluster
        .server()
        .split_once("//")
        .context("the API server has a URL")?;
    let (host, port) = authority
        .rsplit_once(':')
        .context("the API server has a port")?;
    let kustomization = template::fill(
        &super::read("agent/kustomization.yaml")?,
        &[
            ("RELAY_URL", relay.url()),
            ("API_HOST", host),
            ("API_PORT", port),
        ],
    )?;
    fs::write(together.join("kustomization.yaml"), kustomization)?;
    command::text(
        cluster
            .kubectl()
            .args(["apply", "--kustomize"])
            .arg(&together),
    )
    .map(drop)
}

fn run(adit: &Path, place: &Place, processes: &Processes, relay: &Relay) -> Result<Daemon> {
    let folder = processes.folder();
    let make = [
        "--namespace",
        "adit-agent",
        "create",
        "token",
        "adit-agent",
        "--duration=12h",
    ];
    let token = command::text(place.kubectl().args(make))?;
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "it", "cluster": place.api_server()? }],
        "users": [{ "name": "agent", "user": { "token": token.trim() } }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "agent" } }],
        "current-context": "it",
    });
    let file = folder.join("agent.kubeconfig");
    fs::write(&file, kubeconfig.to_string())?;
    let mut agent = Command::new(adit);
    agent
        .args(["agent", "--relay", relay.url(), "--admin", "127.0.0.1:0"])
        .arg("--token-file")
        .arg(folder.join("agent.token"))
        .arg("--ca")
        .arg(folder.join("ca.pem"))
        .arg("--kubeconfig")
        .arg(file);
    processes.start("agent", agent)
}

fn manifests() -> std::path::PathBuf {
    workspace::root().join("deploy/agent")
}

/// As `kustomization.yaml` has it.
const IMAGE: &str = "adit.local/adit:demo";
