//! All that a test needs, started: the double, an API server, Redis, the official agent server and its agent.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::Duration,
};

use adit_proto::gitlab::entity::{GitalyInfo, GitalyRepository};
use adit_tests::{Endpoint, GitLab, Kube, Role, gitlab, gitlab::KasCaller, kube};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use xtask::ports;

use crate::{Peers, ask::Asked, process::Process};

/// The name of the agent's pod.
pub const POD: &str = "agentk-0";
/// Programs in Go start quickly, but on two cores among compilers.
const PATIENCE: Duration = Duration::from_secs(50);

pub struct Place {
    pub gitlab: GitLab,
    pub kube: Kube,
    pub agent: u64,
    ports: Ports,
    _processes: [Process; 3],
    _folder: TempDir,
}

/// Where the agent server listens.
struct Ports {
    agents: SocketAddr,
    front_door: SocketAddr,
    api: SocketAddr,
    private_api: SocketAddr,
    observability: SocketAddr,
    agentk: SocketAddr,
}

impl Place {
    /// With the agent `prod` of `group/config`, which has this configuration file. Returns when the file has come round: from
    /// Gitaly to the agent server to GitLab.
    pub async fn start(peers: &Peers, configuration: &str) -> Self {
        let gitlab = gitlab().plain().start().await;
        let kube = kube().route("/api/v1/pods", "{}").start().await;
        let (agent, token) = {
            let mut world = gitlab.world();
            let project = world.project("group/config");
            for path in ["group/app", "group/other"] {
                world.project(path);
            }
            world.member("jobs", "group", Role::Maintainer);
            let agent = world.agent("group/config", "prod");
            world
                .repository(project)
                .commit(&[(".gitlab/agents/prod/config.yaml", configuration)]);
            (agent, world.agent_token(agent).unwrap())
        };
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::free();
        // Each gives up, or waits for long, when the one before it is not there.
        let redis = redis(folder.path());
        let socket = folder.path().join("redis");
        until("Redis is there", || UnixStream::connect(&socket).is_ok()).await;
        let kas = kas(peers, &gitlab, &ports, folder.path());
        until("kas is there", || TcpStream::connect(ports.agents).is_ok()).await;
        let agentk = agentk(peers, &kube, &token, &ports, folder.path());
        let processes = [agentk, kas, redis];
        let place = Self {
            gitlab,
            kube,
            agent,
            ports,
            _processes: processes,
            _folder: folder,
        };
        place
            .until("the configuration is posted", |gitlab| {
                gitlab.calls().to(Endpoint::AgentConfiguration) > 0
            })
            .await;
        place
    }

    pub async fn ask(&self, headers: &[(&str, &str)]) -> Asked {
        Asked::of(self.ports.front_door, "/k8s-proxy/api/v1/pods", headers).await
    }

    /// A running job of a project: its id and token.
    pub fn job(&self, project: &str, environment: Option<&str>) -> (u64, String) {
        let mut world = self.gitlab.world();
        let mut job = world.job(project);
        if let Some(environment) = environment {
            job = job.environment(environment);
        }
        let id = job.run();
        (id, world.job_of(id).token().to_owned())
    }

    /// Of `group/app` and of its group.
    pub fn ids(&self) -> (u64, u64) {
        let world = self.gitlab.world();
        let group = world.find_namespace("group").unwrap().id;
        (world.find_project("group/app").unwrap().id, group)
    }

    pub fn config_project(&self) -> (u64, (GitalyRepository, GitalyInfo)) {
        let id = self.gitlab.world().find_project("group/config").unwrap().id;
        (id, self.gitlab.repository_info(id))
    }

    /// GitLab's own connection to the agent server.
    pub async fn pages(&self) -> KasCaller {
        self.gitlab.connect_to_kas(self.ports.api).await
    }

    pub async fn until(&self, what: &str, is_so: impl Fn(&GitLab) -> bool) {
        until(what, || is_so(&self.gitlab)).await;
    }

    /// The processes first: they hold connections to the rest.
    pub async fn stop(self) {
        drop(self._processes);
        self.kube.stop().await;
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

impl Ports {
    /// The programs cannot choose their own and say which.
    fn free() -> Self {
        let free = || {
            let port = ports::free(Ipv4Addr::LOCALHOST.into()).unwrap();
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        };
        Self {
            agents: free(),
            front_door: free(),
            api: free(),
            private_api: free(),
            observability: free(),
            agentk: free(),
        }
    }
}

fn redis(folder: &Path) -> Process {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(folder.join("redis"))
        .current_dir(folder);
    Process::start("redis-server", &mut command, folder)
}

fn kas(peers: &Peers, gitlab: &GitLab, ports: &Ports, folder: &Path) -> Process {
    let settings = format!(
        "
gitlab:
  address: {gitlab}
  external_url: {gitlab}
  authentication_secret_file: {secret}
agent:
  listen: {{ address: '{agents}' }}
  kubernetes_api:
    listen: {{ address: '{front_door}' }}
    url_path_prefix: /k8s-proxy/
api:
  listen: {{ address: '{api}', authentication_secret_file: {secret} }}
private_api:
  listen: {{ address: '{private_api}', authentication_secret_file: {secret} }}
observability:
  listen: {{ address: '{observability}' }}
  usage_reporting_period: 1s
redis:
  network: unix
  server: {{ address: {redis} }}
",
        gitlab = gitlab.url(),
        secret = gitlab.secret_file().display(),
        agents = ports.agents,
        front_door = ports.front_door,
        api = ports.api,
        private_api = ports.private_api,
        observability = ports.observability,
        redis = folder.join("redis").display(),
    );
    let file = folder.join("kas.yaml");
    fs::write(&file, settings).unwrap();
    let mut command = Command::new(&peers.kas);
    command
        .arg(format!("--configuration-file={}", file.display()))
        .env(
            "OWN_PRIVATE_API_URL",
            format!("grpc://{}", ports.private_api),
        )
        .env("POD_NAME", "kas-0")
        .env("POD_NAMESPACE", "gitlab");
    Process::start("kas", &mut command, folder)
}

fn agentk(peers: &Peers, kube: &Kube, token: &str, ports: &Ports, folder: &Path) -> Process {
    let mut command = Command::new(&peers.agentk);
    command
        .arg(format!("--kas-address=grpc://{}", ports.agents))
        .arg(format!("--kubeconfig={}", kube.kubeconfig().display()))
        .arg(format!("--observability-listen-address={}", ports.agentk))
        .args(["--observability-listen-network=tcp", "--namespace=agents"])
        .env("AGENTK_TOKEN", token)
        .env("POD_NAME", POD)
        .env("POD_NAMESPACE", "agents");
    Process::start("agentk", &mut command, folder)
}
