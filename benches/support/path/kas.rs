//! GitLab's own: kas and agentk, with Redis, and the tests' double of GitLab for its internal API. Without TLS, which `KAS_BIN` and
//! `AGENTK_BIN` of the public source do not need among themselves; the way to the API server has it, as for everybody.

use std::{env, fs, net::TcpStream, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Front, Path, adit, named};
use crate::{
    course::Course,
    load,
    process::{Process, until, until_within},
    rig::{Rig, free_port, listens},
};

pub(super) const VARIABLES: [&str; 2] = ["KAS_BIN", "AGENTK_BIN"];

/// The programs, as the environment names them.
#[derive(Clone, Debug)]
pub struct Programs {
    kas: PathBuf,
    agentk: PathBuf,
    gitlab: PathBuf,
}

impl Programs {
    /// None unless both variables are set.
    pub fn named() -> Result<Option<Self>> {
        let Some([kas, agentk]) = named(VARIABLES) else {
            return Ok(None);
        };
        let gitlab = env::current_exe()?.with_file_name("gitlab-double");
        ensure!(gitlab.exists(), "there is no {}", gitlab.display());
        Ok(Some(Self {
            kas,
            agentk,
            gitlab,
        }))
    }
}

pub(super) fn start(rig: &Rig, programs: &Programs, course: &Course<'_>) -> Result<Path> {
    let (gitlab, facts) = gitlab(rig, programs)?;
    let redis_port = free_port()?;
    let redis = redis(rig, redis_port)?;
    let (agents, front) = (free_port()?, free_port()?);
    let kas = kas(rig, programs, &facts, [agents, front, redis_port])?;
    let agentk = agentk(rig, programs, &facts, agents, course.backend)?;
    let text = |pointer: &str| {
        let value = facts.pointer(pointer).and_then(Value::as_str);
        value.with_context(|| format!("the double does not tell {pointer}"))
    };
    let path = Path {
        hops: vec![kas, agentk, redis],
        front: Front {
            scheme: "http",
            port: front,
            prefix: "/k8s-proxy".to_owned(),
            authorization: format!("Authorization: Bearer ci:1:{}", text("/jobs/0/token")?),
        },
        _aside: Some(gitlab),
    };
    until_within(Duration::from_secs(60), "agentk serves", || {
        load::download(&path.target("small")).is_ok()
    })?;
    Ok(path)
}

/// The double, and what it says of itself.
fn gitlab(rig: &Rig, programs: &Programs) -> Result<(Process, Value)> {
    let world = rig.write("world.yaml", WORLD)?;
    let mut command = Command::new(&programs.gitlab);
    command.args(["--plain", "--world"]).arg(world);
    let process = Process::start("gitlab-double", &mut command, &rig.logs())?;
    let said = || fs::read_to_string(rig.logs().join("gitlab-double.log")).unwrap_or_default();
    until("the double of GitLab is there", || said().ends_with('\n'))?;
    let facts = serde_json::from_str(said().lines().next().unwrap_or_default());
    Ok((process, facts.context("the double printed something else")?))
}

const WORLD: &str = "
groups:
- {path: group, id: 25}
projects:
- {path: group/app, id: 150}
agents:
- project: group/app
  name: bench
  id: 1
  tokens: 1
  configuration: {ci_access: {groups: [{id: group, access_as: {ci_job: {}}}]}}
jobs:
- {project: group/app, id: 9001}
";

fn redis(rig: &Rig, port: u16) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command
        .args(["--save", "", "--bind", "127.0.0.1", "--port"])
        .arg(port.to_string())
        .current_dir(rig.folder());
    let redis = Process::start("redis", &mut command, &rig.logs())?;
    until("Redis listens", || listens(port))?;
    Ok(redis)
}

fn kas(
    rig: &Rig,
    programs: &Programs,
    facts: &Value,
    [agents, front, redis]: [u16; 3],
) -> Result<Process> {
    let (url, secret) = (
        facts["url"].as_str().context("no URL")?,
        facts["secret_file"].as_str().context("no secret")?,
    );
    let (api, private_api, observability) = (free_port()?, free_port()?, free_port()?);
    let config = format!(
        "gitlab: {{address: '{url}', external_url: '{url}', authentication_secret_file: {secret}}}
agent:
  listen: {{address: '127.0.0.1:{agents}', connections_per_token_per_minute: 100000000}}
  kubernetes_api: {{listen: {{address: '127.0.0.1:{front}'}}, url_path_prefix: /k8s-proxy/}}
api: {{listen: {{address: '127.0.0.1:{api}', authentication_secret_file: {secret}}}}}
private_api: {{listen: {{address: '127.0.0.1:{private_api}', authentication_secret_file: {secret}}}}}
observability: {{listen: {{address: '127.0.0.1:{observability}'}}}}
redis: {{server: {{address: '127.0.0.1:{redis}'}}}}
"
    );
    let config = rig.write("kas.yaml", &config)?;
    let mut command = Command::new(&programs.kas);
    command
        .arg(format!("--configuration-file={}", config.display()))
        .env(
            "OWN_PRIVATE_API_URL",
            format!("grpc://127.0.0.1:{private_api}"),
        )
        .envs([("POD_NAME", "kas-0"), ("POD_NAMESPACE", "gitlab")]);
    let kas = Process::start("kas", &mut command, &rig.logs())?;
    let is_there = || TcpStream::connect(("127.0.0.1", agents)).is_ok();
    until_within(Duration::from_secs(60), "kas listens", is_there)?;
    Ok(kas)
}

fn agentk(
    rig: &Rig,
    programs: &Programs,
    facts: &Value,
    agents: u16,
    backend: u16,
) -> Result<Process> {
    let token = facts.pointer("/agents/0/tokens/0").and_then(Value::as_str);
    let kubeconfig = rig.write("kubeconfig.yaml", &adit::kubeconfig(rig, backend))?;
    let mut command = Command::new(&programs.agentk);
    command
        .arg(format!("--kas-address=grpc://127.0.0.1:{agents}"))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!(
            "--observability-listen-address=127.0.0.1:{}",
            free_port()?
        ))
        .args(["--observability-listen-network=tcp", "--namespace=agents"])
        .env("AGENTK_TOKEN", token.context("no agent token")?)
        .envs([("POD_NAME", "agentk-0"), ("POD_NAMESPACE", "agents")]);
    Process::start("agentk", &mut command, &rig.logs())
}
