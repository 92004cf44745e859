//! Relay and agent both in the cluster, from their charts, in a namespace that enforces Pod Security: installed, upgraded and rolled
//! back while a job works through them, and taken away without a trace.

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use xtask::workspace;

use crate::{
    balancer::Balancer,
    client::Client,
    harness::{Needs, trials},
    installation::{self, AGENT_TOKEN, Front},
    job::{Call, Job},
    until::until,
    world::{AUDIENCE, ISSUER, World},
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::Pods; charts_are_installed_upgraded_rolled_back_and_uninstalled]
}

fn charts_are_installed_upgraded_rolled_back_and_uninstalled(world: &World) {
    let place = Place::new(world);
    place.install_relay();
    let balancer = Balancer::start(world, place.address, &place.name, "adit-relay");
    balancer.until_ready();
    let url = format!("https://{}", balancer.address);
    place.install_agent(&url);

    let ca = &place.front.ca;
    let job = until("the agent has a tunnel", || {
        let job = Job::at_url(world, &url, ca, &Client::ours(world));
        (job.kubectl("get configmaps").run().code == Some(0)).then_some(job)
    });
    let upgrade = |chart: &str| {
        place
            .helm("upgrade --reuse-values --set podAnnotations.again=yes --wait --timeout 120s")
            .args(chart)
            .arg(charts().join(chart))
            .ok();
    };
    let rollback = |chart: &str| {
        place
            .helm("rollback --wait --timeout 120s")
            .args(chart)
            .args("1")
            .ok();
    };
    while_working(&job, || upgrade("adit-agent"));
    while_working(&job, || upgrade("adit-relay"));
    while_working(&job, || rollback("adit-relay"));
    while_working(&job, || rollback("adit-agent"));

    for chart in ["adit-agent", "adit-relay"] {
        place
            .helm("uninstall --wait --timeout 120s")
            .args(chart)
            .ok();
    }
    // They finish what they began, after helm has gone.
    place
        .admin("wait pod --all --for=delete --timeout=55s")
        .ok();
    assert_eq!(place.left_over(), Vec::<String>::new());
}

/// A job's requests one after the other, all the while; none of them fails.
fn while_working(job: &Job, change: impl FnOnce()) {
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                job.kubectl("get configmaps --output=name").ok();
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        change();
        is_over.store(true, Ordering::Relaxed);
        working.join().unwrap();
    });
    assert!(done.into_inner() > 0);
}

/// A namespace for both.
struct Place<'a> {
    world: &'a World,
    name: String,
    address: IpAddr,
    front: Front,
    folder: PathBuf,
}

impl<'a> Place<'a> {
    fn new(world: &'a World) -> Self {
        let name = world.name("installed");
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
        });
        world.admin("apply -f -").input(namespace.to_string()).ok();
        let folder = world.new_folder("installed");
        // A real node's API server listens where pods reach this machine.
        let address = world.cluster.address().ip();
        let front = Front::own(address, &name, &folder);
        Self {
            world,
            name,
            address,
            front,
            folder,
        }
    }

    fn install_relay(&self) {
        let keys = self.folder.join("keys.json");
        fs::write(&keys, self.world.jwks()).unwrap();
        self.admin("create secret tls adit-relay-tls")
            .arg(format!("--cert={}", self.front.certificate.display()))
            .arg(format!("--key={}", self.front.key.display()))
            .ok();
        self.admin("create configmap keys")
            .arg(format!("--from-file={}", keys.display()))
            .ok();
        let issuer = json!({
            "url": ISSUER, "audiences": [AUDIENCE], "jwks_file": "/etc/adit/keys/keys.json",
            "group_ids": { "group": 23, "group/sub": 25 },
        });
        let values = json!({
            "image": self.image(),
            "service": { "type": "ClusterIP" },
            "config": {
                "authorities": { "oidc": { "issuers": [issuer] } },
                "agents": installation::agents(),
                "drain": { "grace": "30s" },
            },
            "terminationGracePeriodSeconds": 45,
            "extraVolumes": [{ "name": "keys", "configMap": { "name": "keys" } }],
            "extraVolumeMounts": [{ "name": "keys", "mountPath": "/etc/adit/keys", "readOnly": true }],
        });
        self.install("adit-relay", &values);
    }

    fn install_agent(&self, url: &str) {
        let token = self.folder.join("agent.token");
        fs::write(&token, AGENT_TOKEN).unwrap();
        self.admin("create secret generic adit-agent-token")
            .arg(format!("--from-file=token={}", token.display()))
            .ok();
        let server = self.world.cluster.address();
        let values = json!({
            "image": self.image(),
            "fullnameOverride": self.name,
            "relay": { "url": url, "ca": fs::read_to_string(&self.front.ca).unwrap() },
            "rbac": { "namespaces": ["shop"] },
            // The cluster has no service addresses.
            "extraEnv": [
                { "name": "KUBERNETES_SERVICE_HOST", "value": server.ip() },
                { "name": "KUBERNETES_SERVICE_PORT", "value": server.port().to_string() },
            ],
        });
        self.install("adit-agent", &values);
    }

    fn install(&self, chart: &str, values: &Value) {
        let file = self.folder.join(format!("{chart}.yaml"));
        fs::write(&file, values.to_string()).unwrap();
        self.helm("install --wait --timeout 120s")
            .arg("--values")
            .arg(file)
            .args(chart)
            .arg(charts().join(chart))
            .ok();
    }

    fn image(&self) -> Value {
        let image = self.world.cluster.agent_image();
        let (repository, tag) = image.rsplit_once(':').unwrap();
        json!({ "repository": repository, "tag": tag })
    }

    fn admin(&self, line: &str) -> Call {
        self.world
            .admin(line)
            .arg(format!("--namespace={}", self.name))
    }

    fn helm(&self, line: &str) -> Call {
        let mut helm = Command::new(&self.world.cluster.helm);
        helm.env_clear()
            .env("HOME", &self.folder)
            .env("KUBECONFIG", &self.world.cluster.kubeconfig);
        Call::new(helm, line).arg(format!("--namespace={}", self.name))
    }

    /// What bears the mark of a release, of any kind, wherever it is.
    fn left_over(&self) -> Vec<String> {
        let kinds = |is_namespaced: bool| {
            self.world
                .admin("api-resources --verbs=list,delete --output=name")
                .arg(format!("--namespaced={is_namespaced}"))
                .ok()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(",")
        };
        let mine = |call: Call| {
            let selector = "app.kubernetes.io/instance in (adit-agent, adit-relay),app.kubernetes.io/managed-by=Helm";
            let found = call.arg("--selector").arg(selector).ok();
            found.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut left = mine(self.admin("get --output=name").arg(kinds(true)));
        left.extend(mine(
            self.world.admin("get --output=name").arg(kinds(false)),
        ));
        left.extend(mine(
            self.world
                .admin("get rolebindings --output=name --namespace=shop"),
        ));
        let pods = self.admin("get pods --output=name").ok();
        left.extend(pods.lines().map(str::to_owned));
        left
    }
}

fn charts() -> PathBuf {
    workspace::root().join("deploy/charts")
}
