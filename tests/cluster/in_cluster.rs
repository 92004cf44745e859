//! The agent where it belongs: in the cluster, from the project's own manifests, its service account, and an image of the
//! binary. Its relay shows a certificate for the address that pods reach this machine at.

use std::{fs, path::Path};

use libtest_mimic::Trial;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::{
    client::Client,
    harness::{Needs, trials},
    installation::{AGENT_TOKEN, Front, Relay},
    job::Job,
    until::until,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::Node; agent_runs_in_the_cluster_from_its_manifests]
}

fn agent_runs_in_the_cluster_from_its_manifests(world: &World) {
    let node = world.cluster.node().unwrap();
    let folder = world.new_folder("relay");
    let relay = Relay::behind(world, front(node.address, &folder), folder);

    let token = relay.folder().join("agent.token");
    fs::write(&token, AGENT_TOKEN).unwrap();
    let files = [("token", token.as_path()), ("ca.pem", relay.ca.as_path())];
    let mut secret = world.admin("create secret generic adit-agent-token --namespace adit-agent");
    for (key, path) in files {
        secret = secret.arg(format!("--from-file={key}={}", path.display()));
    }
    secret.ok();
    world
        .admin("apply -f -")
        .input(manifest(world, &relay))
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

    // It may impersonate, and nothing else.
    let account = "--as=system:serviceaccount:adit-agent:adit-agent";
    let list = world
        .admin("auth can-i --list --output=name")
        .arg(account)
        .run();
    assert!(list.code.is_some());
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

/// `deploy/agent/deployment.yaml` with what an operator changes in it, and where this cluster differs: it has no cluster DNS
/// and no service addresses, so the pod is told where the API server is.
fn manifest(world: &World, relay: &Relay) -> String {
    let text = fs::read_to_string(World::deploy("agent/deployment.yaml")).unwrap();
    let (host, port) = world
        .cluster
        .server
        .trim_start_matches("https://")
        .rsplit_once(':')
        .unwrap();
    let variables = format!(
        "          env:
            - {{ name: KUBERNETES_SERVICE_HOST, value: '{host}' }}
            - {{ name: KUBERNETES_SERVICE_PORT, value: '{port}' }}"
    );
    let changes = [
        (
            "      url: https://relay.example.com",
            format!(
                "      url: {}\n      ca_file: /etc/adit/token/ca.pem",
                relay.url()
            ),
        ),
        (
            "          image: adit:latest",
            format!(
                "          image: {}",
                world.cluster.agent_image(&world.adit)
            ),
        ),
        (
            "          imagePullPolicy: IfNotPresent",
            "          imagePullPolicy: Never".to_owned(),
        ),
        ("          env:", variables),
    ];
    changes.iter().fold(text, |text, (old, new)| {
        assert_eq!(
            text.matches(old).count(),
            1,
            "{old} stands in the manifest once"
        );
        text.replace(old, new)
    })
}

/// A certificate that is its own authority.
fn front(address: std::net::IpAddr, folder: &Path) -> Front {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([address.to_string()]).unwrap();
    let (certificate, key) = (folder.join("relay.pem"), folder.join("relay.key"));
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    Front {
        address,
        ca: certificate.clone(),
        certificate,
        key,
    }
}
