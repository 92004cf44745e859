//! A relay and its agents, each a process of the binary `adit`, configured by files as an operator would do it.

use std::{
    fmt::Display,
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use adit_authority::token::TokenHash;
use adit_identity::JobId;
use adit_tests::{Metrics, Settings, audit, pki};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use xtask::ports;

use crate::{
    process::Process,
    until::until,
    world::{AUDIENCE, ISSUER, World},
};

/// The project whose jobs the tests are, and the agent's config project.
pub const PROJECT: &str = "group/sub/app";
/// The context of the agent that serves the cluster.
pub const CONTEXT: &str = "group/sub/app:prod";
/// The token of that agent.
pub const AGENT_TOKEN: &str = "canary-agent-token-of-prod";

pub struct Installation {
    pub agents: Vec<Agent>,
    pub relay: Relay,
}

impl Installation {
    /// A relay and one agent, connected.
    pub fn start(world: &World) -> Self {
        Self::with(world, 1)
    }

    /// With several replicas of the agent.
    pub fn with(world: &World, replicas: usize) -> Self {
        let relay = Relay::start(world);
        let mut agents: Vec<_> = (0..replicas).map(|_| Agent::start(world, &relay)).collect();
        agents.iter_mut().for_each(Agent::until_connected);
        Self { agents, relay }
    }

    /// Prints the end of all logs.
    pub fn show(&self) {
        self.relay.process.show();
        self.agents.iter().for_each(|agent| agent.process.show());
    }
}

pub struct Relay {
    pub process: Process,
    pub address: SocketAddr,
    pub ca: PathBuf,
    pub admin: SocketAddr,
    audit_log: PathBuf,
    folder: PathBuf,
}

/// What became of a connection that was upgraded, as the relay has written it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// `exec` or `port_forward`.
    pub kind: String,
    pub to: String,
    pub protocol: String,
}

/// What a relay shows, and where.
pub struct Front {
    pub address: IpAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

impl Front {
    /// A certificate of the tests' authority.
    pub fn loopback(folder: &Path) -> Self {
        let (certificate, key) = pki::shared().write_server(folder);
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            certificate,
            key,
            ca: pki::shared().write_ca(folder),
        }
    }

    /// A certificate for this address, for loopback and for this name, which is its own authority.
    pub fn own(address: IpAddr, name: &str, folder: &Path) -> Self {
        let loopback = Ipv4Addr::LOCALHOST.to_string();
        let names = [address.to_string(), loopback, name.to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (folder.join("relay.pem"), folder.join("relay.key"));
        fs::write(&certificate, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        Self {
            address,
            ca: certificate.clone(),
            certificate,
            key,
        }
    }
}

impl Relay {
    /// On loopback.
    pub fn start(world: &World) -> Self {
        Self::set(world, Settings::default())
    }

    /// On loopback, with settings beside those that every relay here has.
    pub fn set(world: &World, settings: Settings) -> Self {
        let folder = world.new_folder("relay");
        Self::of_issuer(world, Front::loopback(&folder), folder, settings)
    }

    pub fn behind(world: &World, front: Front, folder: PathBuf) -> Self {
        Self::of_issuer(world, front, folder, Settings::default())
    }

    /// Of the tests' issuer.
    fn of_issuer(world: &World, front: Front, folder: PathBuf, mut settings: Settings) -> Self {
        let keys = folder.join("keys.json");
        fs::write(&keys, world.jwks()).unwrap();
        let oidc = json!({ "issuers": [{
            "url": ISSUER, "audiences": [AUDIENCE], "jwks_file": keys, "leeway": "0s",
            "group_ids": { "group": 23, "group/sub": 25 },
        }] });
        settings.set("authorities", "oidc", oidc);
        Self::with(world, front, folder, settings, &agents())
    }

    /// Of whichever authority the settings name.
    pub fn with(
        world: &World,
        front: Front,
        folder: PathBuf,
        mut settings: Settings,
        agents: &Value,
    ) -> Self {
        let address = SocketAddr::new(front.address, ports::free(front.address).unwrap());
        let admin = local();
        settings.set("listen", "address", address);
        settings.set("listen", "certificate", front.certificate.display());
        settings.set("listen", "key", front.key.display());
        settings.set("admin", "address", admin);
        // An agent that is away is soon away for good, and kubectl told so instead of asked to try again.
        settings.set("route", "reconnecting", "3s");
        // Beside the logs, so that it is searched for tokens, too.
        let name = folder.file_name().expect("it is a folder of the world's");
        let audit_log = world.processes.folder().join("logs").join(name);
        let audit_log = audit_log.with_extension("audit");
        settings.set("audit", "to", "file");
        settings.set("audit", "file", audit_log.display());
        fs::write(
            folder.join("relay.yaml"),
            format!("{}agents: {agents}\n", settings.to_yaml()),
        )
        .unwrap();
        let process = Process::start(world, "relay", &folder);
        let mut relay = Self {
            process,
            address,
            ca: front.ca,
            admin,
            audit_log,
            folder,
        };
        relay.until_ready();
        relay
    }

    /// Its folder, which goes with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn url(&self) -> String {
        self.url_at(self.address.ip())
    }

    /// By another name of its host.
    pub fn url_at(&self, host: impl Display) -> String {
        format!("https://{host}:{}", self.address.port())
    }

    /// What connections of these jobs became so far, in order. Waits until there is one, and all that have a record are over.
    pub fn upgrades(&self, jobs: &[JobId]) -> Vec<Upgrade> {
        until("connections were upgraded and are over", || {
            let mut upgraded = self.recorded(jobs);
            upgraded.retain(|record| record["status"] == 101);
            let (begun, over): (Vec<_>, Vec<_>) = upgraded
                .iter()
                .partition(|record| record["event"] == "start");
            (!begun.is_empty() && begun.len() == over.len())
                .then(|| begun.into_iter().map(Upgrade::of).collect())
        })
    }

    /// Waits until something that this job did is written down, and so is what was over before it.
    pub fn until_recorded(&self, job: JobId) {
        until("a job's request is written down", || {
            (!self.recorded(&[job]).is_empty()).then_some(())
        });
    }

    /// What the audit log has of these jobs.
    pub fn recorded(&self, jobs: &[JobId]) -> Vec<Value> {
        let log = fs::read_to_string(&self.audit_log).unwrap_or_default();
        // It grows long, and is looked at often.
        let ids: Vec<_> = jobs.iter().map(|job| format!("\"id\":{}", job.0)).collect();
        let lines = log.split_inclusive('\n');
        let theirs = lines.filter(|line| ids.iter().any(|id| line.contains(id)));
        let mut records = audit::records(&theirs.collect::<String>());
        records.retain(|record| jobs.iter().any(|job| record["job"]["id"] == job.0));
        records
    }

    /// A sample of its metrics.
    ///
    /// # Panics
    ///
    /// When there is no such sample.
    pub fn metric(&self, sample: &str) -> f64 {
        Metrics(get(self.admin, "/metrics").unwrap()).value(sample)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Is there again, at the same address.
    pub fn revive(&mut self) {
        self.process.revive();
        self.until_ready();
    }

    fn until_ready(&mut self) {
        let admin = self.admin;
        self.process.until_ready(|| is_green(admin));
    }
}

impl Upgrade {
    fn of(record: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            kind: text(&record["operation"]["kind"]),
            to: text(&record["upgrade"]["to"]),
            protocol: text(&record["upgrade"]["protocol"]),
        }
    }
}

pub struct Agent {
    pub process: Process,
    admin: SocketAddr,
}

/// Where an agent connects, if not straight to its relay and its API server, and as whom.
#[derive(Default)]
pub struct Ways {
    pub to_relay: Option<SocketAddr>,
    pub to_api_server: Option<SocketAddr>,
    /// A user of the cluster's, instead of the service account.
    pub user: Option<&'static str>,
    /// Instead of the service account that all have; it says where the API server is, too.
    pub kubeconfig: Option<PathBuf>,
}

impl Agent {
    /// An agent of this relay, about to connect.
    pub fn start(world: &World, relay: &Relay) -> Self {
        Self::by(world, relay, &Ways::default())
    }

    /// An agent that takes these ways.
    pub fn by(world: &World, relay: &Relay, ways: &Ways) -> Self {
        Self::set(world, relay, ways, Settings::default())
    }

    /// With settings beside those that every agent here has.
    pub fn set(world: &World, relay: &Relay, ways: &Ways, mut settings: Settings) -> Self {
        let folder = world.new_folder("agent");
        let admin = local();
        let token = folder.join("token");
        fs::write(&token, AGENT_TOKEN).unwrap();
        let front = ways.to_relay.unwrap_or(relay.address);
        settings.set("relay", "url", format!("https://{front}"));
        settings.set("relay", "ca_file", relay.ca.display());
        settings.set("relay", "token_file", token.display());
        settings.set("relay", "proxy", "none");
        let own = || kubeconfig(world, &folder, ways);
        let own = ways.kubeconfig.clone().unwrap_or_else(own);
        settings.set("kubernetes", "kubeconfig", own.display());
        settings.set("admin", "address", admin);
        // What deploy/manifests says.
        settings.set("ceiling", "agent", false);
        settings.set("ceiling", "users", "['gitlab:*']");
        settings.set("ceiling", "groups", "['gitlab:*']");
        fs::write(folder.join("agent.yaml"), settings.to_yaml()).unwrap();
        let process = Process::start(world, "agent", &folder);
        Self { process, admin }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Is there again, with a tunnel.
    pub fn revive(&mut self) {
        self.process.revive();
        self.until_connected();
    }

    /// Waits for its tunnel.
    pub fn until_connected(&mut self) {
        let admin = self.admin;
        self.process.until_ready(|| is_green(admin));
    }

    /// Waits until it has seen that its tunnel is gone.
    pub fn until_disconnected(&self) {
        until("the agent has lost its tunnel", || {
            (!is_green(self.admin)).then_some(())
        });
    }

    /// A sample of its metrics, if it runs; 0 when it does not.
    ///
    /// # Panics
    ///
    /// When it runs and there is no such sample.
    pub fn metric(&self, sample: &str) -> f64 {
        get(self.admin, "/metrics").map_or(0.0, |text| Metrics(text).value(sample))
    }
}

/// `prod` serves the cluster, `away` never connects, and `foreign` is for another project's jobs.
pub fn agents() -> Value {
    let own = |id: u64, name: &str| {
        json!({
            "id": id, "name": name, "project": PROJECT, "project_id": 150,
            "tokens": [TokenHash::of(&format!("canary-agent-token-of-{name}")).to_string()],
            "ci_access": { "projects": [{ "id": PROJECT, "default_namespace": "shop" }] },
        })
    };
    let foreign = json!({
        "id": 9, "name": "foreign", "project": "other/project", "project_id": 999,
        "tokens": [TokenHash::of("canary-agent-token-of-foreign").to_string()],
    });
    json!([own(7, "prod"), own(8, "away"), foreign])
}

/// The agent's own kubeconfig: its service account's token, which may act as others and nothing else; or that of a user.
fn kubeconfig(world: &World, folder: &Path, ways: &Ways) -> PathBuf {
    let of_account = "create token adit-agent --namespace adit-agent --duration 2h";
    let token = ways.user.map_or_else(
        || world.admin(of_account).ok(),
        |user| world.cluster.token(user),
    );
    let admins = world
        .admin("config view --raw --minify --flatten --output json")
        .ok();
    let admins: Value = serde_json::from_str(&admins).unwrap();
    let mut cluster = admins["clusters"][0]["cluster"].clone();
    if let Some(way) = ways.to_api_server {
        cluster["server"] = format!("https://{way}").into();
        cluster["tls-server-name"] = world.cluster.address().ip().to_string().into();
    }
    let own = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "agent",
        "clusters": [{ "name": "cluster", "cluster": cluster }],
        "users": [{ "name": "agent", "user": { "token": token.trim() } }],
        "contexts": [{ "name": "agent", "context": { "cluster": "cluster", "user": "agent" } }],
    });
    let path = folder.join("kubeconfig");
    fs::write(&path, own.to_string()).unwrap();
    path
}

/// A free place on loopback.
pub fn local() -> SocketAddr {
    let loopback = Ipv4Addr::LOCALHOST.into();
    SocketAddr::new(loopback, ports::free(loopback).unwrap())
}

fn is_green(admin: SocketAddr) -> bool {
    get(admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// An answer of an admin port, head and all.
fn get(admin: SocketAddr, path: &str) -> Option<String> {
    let mut socket = TcpStream::connect(admin).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}
