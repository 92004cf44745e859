//! Relay and agent both in the cluster, from their charts, in a namespace that enforces Pod Security: installed, upgraded and rolled
//! back while a job works through them, and taken away without a trace. The private port is probed by TLS, and the agent shows a client
//! certificate.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use adit_tests::{
    documents::commands_run_by,
    pki::{Made, Pki},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use xtask::workspace;

use crate::{
    balancer::Balancer,
    client::Client,
    cluster::{NEXT_VERSION, VERSION},
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
    let balancer = Balancer::start(world, place.address, &place.name, RELAY);
    balancer.until_ready();
    let url = format!("https://{}", balancer.address);
    place.install_agent(&url);

    let ca = &place.front.ca;
    let job = until("the agent has a tunnel", || {
        let job = Job::at_url(world, &url, ca, &Client::ours(world));
        (job.kubectl("get configmaps").run().code == Some(0)).then_some(job)
    });
    world.bench();
    // What is looked for in the end can be seen now, in either namespace.
    let there = place.left_over();
    for object in [
        format!("shop/RoleBinding/{}", place.name),
        format!("{0}/RoleBinding/{0}-flux", place.name),
        format!("{}/Deployment/adit-relay", place.name),
    ] {
        assert!(there.contains(&object), "{object} is not among {there:?}");
    }
    place.is_looked_after();
    let first = [AGENT, RELAY].map(|chart| (chart, place.running(chart)));
    for (chart, before) in &first {
        while_working(world, &job, || place.upgrade(chart));
        place.is_told(chart, NEXT_VERSION);
        assert_ne!(place.running(chart), *before, "{chart} runs as before");
    }
    for (chart, before) in first.iter().rev() {
        while_working(world, &job, || place.rollback(chart));
        place.is_told(chart, VERSION);
        assert_eq!(place.running(chart), *before, "{chart}");
    }

    for chart in [AGENT, RELAY] {
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
    // What the agent makes for Flux by itself stays, as docs/gitlab.md says, and is called so.
    let lease = format!("lease/{}-flux", place.name);
    place.admin("delete").arg(lease).ok();
}

/// A job at work all the while: it sends one request after the other, none of which fails; and what it began before the change, a watch
/// and a command, goes on beyond it to its own end.
fn while_working(world: &World, job: &Job, change: impl FnOnce()) {
    let made = || {
        let name = world.name("made");
        job.kubectl("create configmap").arg(&name).ok();
        format!("configmap/{name}\n")
    };
    let mut watch = job.kubectl("get configmaps --watch --output=name").start();
    watch.hears("configmap/");
    watch.hears(&made());
    let command = "echo begun; read line; echo $line; exit 7";
    let mut exec = job.kubectl("exec -i bench -- sh -c").arg(command).start();
    exec.hears("begun\n");

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

    watch.hears(&made());
    exec.say("over\n");
    let ended = exec.ended();
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (Some(7), "begun\nover\n"),
        "{ended}"
    );
}

/// A namespace for both.
struct Place<'a> {
    world: &'a World,
    name: String,
    address: IpAddr,
    front: Front,
    folder: PathBuf,
    /// The charts of a later version.
    next: PathBuf,
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
        let next = folder.join("charts");
        later(&next);
        Self {
            world,
            name,
            address,
            front,
            folder,
            next,
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
        let agents = Pki::new("agents' CA");
        self.admin("create configmap adit-relay-client-ca")
            .arg(format!(
                "--from-file=ca.crt={}",
                agents.write_ca(&self.folder).display()
            ))
            .ok();
        let (certificate, key) = agents.write_client(&self.folder, Made::default());
        self.admin("create secret tls adit-agent-client")
            .arg(format!("--cert={}", certificate.display()))
            .arg(format!("--key={}", key.display()))
            .ok();
        let token = self.folder.join("admin-token");
        fs::write(&token, "canary-of-the-operators").unwrap();
        self.admin("create secret generic adit-relay-secrets")
            .arg(format!("--from-file={}", token.display()))
            .ok();
        let issuer = json!({
            "url": ISSUER, "audiences": [AUDIENCE], "jwks_file": "/etc/adit/keys/keys.json",
            "group_ids": { "group": 23, "group/sub": 25 },
        });
        let values = json!({
            "image": { "repository": self.world.cluster.image() },
            "service": { "type": "ClusterIP" },
            "clientCa": { "configMapName": "adit-relay-client-ca" },
            "config": {
                "authorities": { "oidc": { "issuers": [issuer] } },
                "agents": installation::agents(),
                "drain": { "grace": "60s" },
                "admin": {
                    "certificate": SHOWN, "key": "/etc/adit/tls/tls.key",
                    "token_file": "/etc/adit/secrets/admin-token",
                },
            },
            "extraVolumes": [
                { "name": "keys", "configMap": { "name": "keys" } },
                { "name": "secrets", "secret": { "secretName": "adit-relay-secrets" } },
            ],
            "extraVolumeMounts": [
                { "name": "keys", "mountPath": "/etc/adit/keys", "readOnly": true },
                { "name": "secrets", "mountPath": "/etc/adit/secrets", "readOnly": true },
            ],
        });
        self.install(RELAY, &values);
    }

    /// By the commands that an operator reads.
    fn is_looked_after(&self) {
        let test = "charts_are_installed_upgraded_rolled_back_and_uninstalled";
        let said = |document: &str, more: &str| {
            let line = commands_run_by(document, test).concat();
            let (before, after) = line.split_once(" --namespace adit-relay ").unwrap();
            assert_eq!(before, "kubectl");
            self.admin("").args(after).args(more).ok()
        };
        let found = said("docs/doctor.md", "");
        assert!(found.contains("ok       relay      ready "), "{found}");
        // As is said there of a port that has a certificate.
        let by_tls = format!("--admin https://127.0.0.1:8151 --ca {SHOWN}");
        let status = said("docs/status.md", &by_tls);
        assert!(status.contains(installation::CONTEXT), "{status}");
    }

    fn install_agent(&self, url: &str) {
        let token = self.folder.join("agent.token");
        fs::write(&token, AGENT_TOKEN).unwrap();
        self.admin("create secret generic adit-agent-token")
            .arg(format!("--from-file=token={}", token.display()))
            .ok();
        let server = self.world.cluster.address();
        let values = json!({
            "image": { "repository": self.world.cluster.image() },
            "fullnameOverride": self.name,
            "relay": {
                "url": url, "ca": fs::read_to_string(&self.front.ca).unwrap(),
                "clientCertificate": { "secretName": "adit-agent-client" },
            },
            "rbac": { "namespaces": ["shop"] },
            // There need be no Flux for roles, nor for a Lease.
            "flux": { "gitlabUrl": "https://gitlab.example.com", "namespaces": [self.name] },
            "config": { "drain_grace": "50s" },
            // The cluster has no service addresses.
            "extraEnv": [
                { "name": "KUBERNETES_SERVICE_HOST", "value": server.ip() },
                { "name": "KUBERNETES_SERVICE_PORT", "value": server.port().to_string() },
            ],
        });
        self.install(AGENT, &values);
    }

    fn install(&self, chart: &str, values: &Value) {
        fs::write(self.values(chart), values.to_string()).unwrap();
        self.helm("install --wait --timeout 120s")
            .arg("--values")
            .arg(self.values(chart))
            .args(chart)
            .arg(charts().join(chart))
            .ok();
    }

    /// As docs/upgrade.md says: with the same values, to the image that the later chart has.
    fn upgrade(&self, chart: &str) {
        self.helm("upgrade")
            .arg("--values")
            .arg(self.values(chart))
            .args(chart)
            .arg(self.next.join(chart))
            .ok();
        self.until_rolled_out(chart);
    }

    fn rollback(&self, chart: &str) {
        self.helm("rollback").args(chart).ok();
        self.until_rolled_out(chart);
    }

    fn until_rolled_out(&self, chart: &str) {
        self.admin("rollout status --timeout=55s")
            .arg(format!("deployment/{}", self.deployment(chart)))
            .ok();
    }

    /// The image that the node says its pods run, by its digest. Those that are about to end do not count.
    fn running(&self, chart: &str) -> String {
        let pods = self
            .admin("get pods --output=json")
            .arg(format!("--selector=app.kubernetes.io/name={chart}"))
            .ok();
        let pods: Value = serde_json::from_str(&pods).unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        let stay = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let images = stay.map(|pod| &pod["status"]["containerStatuses"][0]["imageID"]);
        let images: BTreeSet<_> = images.map(|image| image.as_str().unwrap()).collect();
        assert_eq!(images.len(), 1, "{images:?}");
        images.into_iter().collect()
    }

    /// The deployment is labelled with this version, and names its image.
    fn is_told(&self, chart: &str, version: &str) {
        let deployment = self
            .admin("get deployment --output=json")
            .arg(self.deployment(chart))
            .ok();
        let deployment: Value = serde_json::from_str(&deployment).unwrap();
        let label = &deployment["metadata"]["labels"]["app.kubernetes.io/version"];
        assert_eq!(label, version);
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        let named = format!("{}:{version}", self.world.cluster.image());
        assert_eq!(*image, named.as_str());
    }

    fn deployment<'n>(&'n self, chart: &'n str) -> &'n str {
        if chart == AGENT { &self.name } else { chart }
    }

    fn values(&self, chart: &str) -> PathBuf {
        self.folder.join(format!("{chart}.yaml"))
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

    /// What bears the mark of a release, and pods.
    fn left_over(&self) -> Vec<String> {
        let releases = "app.kubernetes.io/instance in (adit-agent, adit-relay)";
        let selector = format!("{releases},app.kubernetes.io/managed-by=Helm");
        // Other trials have other releases of these names elsewhere. In the namespaces of `rbac.namespaces` objects are called after this
        // one.
        let mut left = self.world.marked(&selector);
        left.retain(|object| object.contains(&self.name) || object.starts_with('/'));
        let pods = self.admin("get pods --output=name").ok();
        left.extend(pods.lines().map(str::to_owned));
        left
    }
}

/// The charts as they would be of the version after this one.
fn later(folder: &Path) {
    let mut copy = Command::new("cp");
    copy.args(["--recursive", "--dereference"]);
    Call::new(copy, "").arg(charts()).arg(folder).ok();
    for chart in [AGENT, RELAY] {
        let file = folder.join(chart).join("Chart.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let later = text.replace(
            &format!("ersion: {VERSION}"),
            &format!("ersion: {NEXT_VERSION}"),
        );
        assert_ne!(text, later);
        fs::write(file, later).unwrap();
    }
}

fn charts() -> PathBuf {
    workspace::root().join("deploy/charts")
}

/// By the private port, too.
const SHOWN: &str = "/etc/adit/tls/tls.crt";
const AGENT: &str = "adit-agent";
const RELAY: &str = "adit-relay";
