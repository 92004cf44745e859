//! The agent where it belongs: in the cluster, from the project's own manifests, its service account, and an image of the
//! binary. Its relay shows a certificate for the address that pods reach this machine at.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    client::Client,
    harness::{Needs, trials},
    installation::{AGENT_TOKEN, Front, Relay},
    job::Job,
    until::until,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::Pods; agent_runs_in_the_cluster_from_its_manifests]
}

fn agent_runs_in_the_cluster_from_its_manifests(world: &World) {
    let folder = world.new_folder("relay");
    // A real node's API server listens where pods reach this machine.
    let address = world.cluster.address().ip();
    let relay = Relay::behind(world, Front::own(address, &folder), folder);

    let token = relay.folder().join("agent.token");
    fs::write(&token, AGENT_TOKEN).unwrap();
    world
        .admin("create secret generic adit-agent-token --namespace adit-agent")
        .arg(format!("--from-file=token={}", token.display()))
        .ok();
    world
        .admin("apply --kustomize")
        .arg(kustomization(world, &relay))
        .ok();
    world
        .admin("rollout status deployment/adit-agent --namespace adit-agent --timeout=60s")
        .ok();

    let job = Job::of_relay(world, &relay, &Client::ours(world));
    job.kubectl("get configmaps").ok();
    world.bench();
    assert_eq!(
        job.kubectl("exec -i bench -- cat")
            .input("through the pod")
            .ok(),
        "through the pod"
    );
    let me = job
        .kubectl("auth whoami --output=jsonpath={.status.userInfo.username}")
        .ok();
    assert_eq!(me, job.user());

    // It may act as others, and nothing by itself.
    let account = "--as=system:serviceaccount:adit-agent:adit-agent";
    let list = world
        .admin("auth can-i --list --no-headers")
        .arg(account)
        .ok();
    let verbs = |line: &str| line.rsplit_once('[').map(|(_, verbs)| verbs.to_owned());
    let acting = |resource: &str| {
        let mut lines = list.lines().filter(|line| line.starts_with(resource));
        lines.any(|line| verbs(line).is_some_and(|verbs| verbs.starts_with("impersonate")))
    };
    assert!(acting("users") && acting("groups"), "{list}");
    let secrets = world
        .admin("auth can-i get secrets --all-namespaces")
        .arg(account)
        .run();
    assert_eq!(secrets.text().trim(), "no");

    // A pod that goes is replaced, and nobody has to do anything.
    world.admin("delete pods --all --namespace adit-agent").ok();
    until("the agent is back", || {
        (job.kubectl("get configmaps").run().code == Some(0)).then_some(())
    });
    world
        .admin("delete deployment adit-agent --namespace adit-agent")
        .ok();
}

/// The project's kustomization with what an operator changes in it, and where this cluster differs: it has no service
/// addresses, so the pod is told where the API server is.
fn kustomization(world: &World, relay: &Relay) -> PathBuf {
    let folder = world.new_folder("kustomization");
    symlink(World::manifests(), folder.join("manifests")).unwrap();
    let own = folder.join("own");
    fs::create_dir(&own).unwrap();
    let (image, tag) = world.cluster.agent_image().rsplit_once(':').unwrap();
    let server = world.cluster.address();
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let change = |name: &str, value: &str| json!({ "op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": { "name": name, "value": value } });
    let patch = json!([
        change("KUBERNETES_SERVICE_HOST", &host),
        change("KUBERNETES_SERVICE_PORT", &port)
    ]);
    let kustomization = json!({
        "resources": ["../manifests/agent/cluster-wide"],
        "images": [{ "name": "adit", "newName": image, "newTag": tag }],
        "configMapGenerator": [{
            "name": "adit-agent", "namespace": "adit-agent", "behavior": "replace", "files": ["agent.yaml", "ca.pem"],
        }],
        "patches": [{ "target": { "kind": "Deployment" }, "patch": patch.to_string() }],
    });
    let config = fs::read_to_string(World::manifests().join("agent/workload/agent.yaml")).unwrap();
    let changed = config.replace(
        "  url: https://relay.example.com",
        &format!("  url: {}\n  ca_file: /etc/adit/config/ca.pem", relay.url()),
    );
    assert_ne!(config, changed);
    fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    fs::write(own.join("agent.yaml"), changed).unwrap();
    fs::copy(&relay.ca, own.join("ca.pem")).unwrap();
    own
}
