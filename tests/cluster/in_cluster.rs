//! The agent where it belongs: in the cluster, from the project's own manifests, its service account, and an image of the
//! binary. Its relay shows a certificate for the address that pods reach this machine at, and for a name that the pod looks up.

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
    let relay = Relay::behind(world, Front::own(address, RELAY_HOST, &folder), folder);

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

    // It may act as others, and nothing by itself but what everybody may.
    let rights = |account: &str| {
        let list = world
            .admin("auth can-i --list --no-headers")
            .arg(format!("--as=system:serviceaccount:{account}"))
            .ok();
        let of_line = |line: &str| {
            let (what, verbs) = line.trim_end_matches(']').rsplit_once('[').unwrap();
            // Columns are as wide as what is in them.
            let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
            let verbs = verbs.split(' ').map(str::to_owned);
            verbs.map(|verb| (what.clone(), verb)).collect::<Vec<_>>()
        };
        list.lines().flat_map(of_line).collect::<Vec<_>>()
    };
    let everybodys = rights("default:default");
    let mut own = rights("adit-agent:adit-agent");
    own.retain(|right| !everybodys.contains(right));
    let acts = |(_, verb): &(String, String)| verb.starts_with("impersonate");
    assert!(own.iter().all(acts), "{own:#?}");
    for resource in ["users", "groups"] {
        assert!(
            own.iter().any(|(what, _)| what.starts_with(resource)),
            "{own:#?}"
        );
    }

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
    let image = world.cluster.image();
    let server = world.cluster.address();
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let change = |name: &str, value: &str| json!({ "op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": { "name": name, "value": value } });
    let patch = json!([
        change("KUBERNETES_SERVICE_HOST", &host),
        change("KUBERNETES_SERVICE_PORT", &port),
        // And no DNS: the pod finds the relay's name in its hosts file.
        {
            "op": "add", "path": "/spec/template/spec/hostAliases",
            "value": [{ "ip": host, "hostnames": [RELAY_HOST] }],
        },
    ]);
    let kustomization = json!({
        "resources": ["../manifests/agent/cluster-wide"],
        "images": [{ "name": "adit", "newName": image }],
        "configMapGenerator": [{
            "name": "adit-agent", "namespace": "adit-agent", "behavior": "replace", "files": ["agent.yaml", "ca.pem"],
        }],
        "patches": [{ "target": { "kind": "Deployment" }, "patch": patch.to_string() }],
    });
    let config = fs::read_to_string(World::manifests().join("agent/workload/agent.yaml")).unwrap();
    let changed = config.replace(
        "  url: https://relay.example.com",
        &format!(
            "  url: {}\n  ca_file: /etc/adit/config/ca.pem",
            relay.url_at(RELAY_HOST)
        ),
    );
    assert_ne!(config, changed);
    fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    fs::write(own.join("agent.yaml"), changed).unwrap();
    fs::copy(&relay.ca, own.join("ca.pem")).unwrap();
    own
}

/// The relay's name in the pod; nothing else knows it.
const RELAY_HOST: &str = "relay.test";
