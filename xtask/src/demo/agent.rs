//! The demo's agent: a Deployment where pods are real and ours, else a process. Either way with the service account and the
//! roles of `deploy/manifests`, which let it act as others and nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
    place: &Place,
    processes: &Processes,
    relay: &Relay,
) -> Result<Option<Daemon>> {
    match place.real_node() {
        Some(cluster) => {
            deploy(cluster, processes.folder(), relay)?;
            Ok(None)
        }
        None => run(adit, place, processes, relay, "agent", relay.agent_token()).map(Some),
    }
}

/// Another agent comes, and is told to go. Before ours, so that no tunnel is left then.
pub(super) fn visit(
    adit: &Path,
    place: &Place,
    processes: &Processes,
    relay: &mut Relay,
) -> Result<()> {
    let mut agent = run(adit, place, processes, relay, "left", relay.token_of_left())?;
    relay.wait_for_tunnel(Some(&mut agent))?;
    agent.stop(Duration::from_secs(10))?;
    relay.wait_for_silence()
}

/// The agent's namespace, its service account, and what that may do.
pub(super) fn allow(place: &mut Place, folder: &Path) -> Result<()> {
    symlink(
        workspace::root().join("deploy/manifests"),
        folder.join("manifests"),
    )?;
    if place.constrains_impersonation()? {
        place.apply_folder(&folder.join("manifests/agent/access"))?;
        return place.apply_folder(&folder.join("manifests/agent/everywhere"));
    }
    let before = folder.join("before-1.36");
    fs::create_dir(&before)?;
    fs::write(
        before.join(KUSTOMIZATION),
        super::read(&format!("before-1.36/{KUSTOMIZATION}"))?,
    )?;
    place.apply_folder(&before)
}

fn deploy(cluster: &Cluster, folder: &Path, relay: &Relay) -> Result<()> {
    let adit = workspace::static_adit()?;
    let stripped = folder.join("adit-stripped");
    // Half of a debug binary is symbols, which the node would have to copy; without binutils it does.
    let strip = ["--strip-all", "-o"].map(AsRef::<Path>::as_ref);
    let is_stripped = command::quietly(Command::new("strip").args(strip).args([&stripped, &adit]));
    let file = folder.join("adit.tar");
    image::adit(if is_stripped { &stripped } else { &adit })?.write(
        &file,
        IMAGE,
        Packing::Plain,
    )?;
    cluster.import_image(&file)?;

    let token = folder.join("agent.token");
    fs::write(&token, relay.agent_token())?;
    command::text(
        cluster
            .kubectl()
            .args(["--namespace", "adit-agent", "create", "secret", "generic"])
            .arg("adit-agent-token")
            .arg(format!("--from-file=token={}", token.display())),
    )?;
    command::text(
        cluster
            .kubectl()
            .args(["apply", "--kustomize"])
            .arg(kustomization(cluster, folder, relay)?),
    )
    .map(drop)
}

/// The demo's own folder beside the manifests.
fn kustomization(cluster: &Cluster, folder: &Path, relay: &Relay) -> Result<std::path::PathBuf> {
    let (_, authority) = cluster
        .server()
        .split_once("//")
        .context("the API server has a URL")?;
    let (host, port) = authority
        .rsplit_once(':')
        .context("the API server has a port")?;
    let values = [
        ("RELAY_URL", relay.url()),
        ("API_HOST", host),
        ("API_PORT", port),
    ];
    let own = folder.join("agent");
    fs::create_dir(&own)?;
    for file in [KUSTOMIZATION, "agent.yaml"] {
        let filled = template::fill(&super::read(&format!("agent/{file}"))?, &values)?;
        fs::write(own.join(file), filled)?;
    }
    fs::copy(folder.join("ca.pem"), own.join("ca.pem"))?;
    Ok(own)
}

/// As a process, with this name and this token.
fn run(
    adit: &Path,
    place: &Place,
    processes: &Processes,
    relay: &Relay,
    name: &str,
    token: &str,
) -> Result<Daemon> {
    let folder = processes.folder();
    let token_file = folder.join(name).with_extension("token");
    fs::write(&token_file, token)?;
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
    let file = folder.join(name).with_extension("kubeconfig");
    fs::write(&file, kubeconfig.to_string())?;
    let mut agent = Command::new(adit);
    agent
        .args(["agent", "--relay", relay.url(), "--admin", "127.0.0.1:0"])
        .arg("--token-file")
        .arg(token_file)
        .arg("--ca")
        .arg(folder.join("ca.pem"))
        .arg("--kubeconfig")
        .arg(file);
    processes.start(name, agent)
}

/// As `kustomization.yaml` has it.
const IMAGE: &str = "adit.local/adit:demo";
const KUSTOMIZATION: &str = "kustomization.yaml";
