//! A GitLab, a relay that asks it, an agent and an API server. Relay and agent are processes of their own: what they hold and log is
//! theirs alone. Each measurement has a place to itself.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::Command,
};

use adit_authority::token::TokenHash;
use adit_tests::{
    Caller, GitLab, Kube, Metrics, gitlab, gitlab::arrange, kube, pki, until, within,
};
use anyhow::Result;
use xtask::{
    cluster::{Daemon, Processes},
    ports,
};

/// The project whose jobs may use the agent.
pub(crate) const PROJECT: &str = "group/sub/app";
const AGENT_TOKEN: &str = "token-of-the-agent";

pub(crate) struct Place {
    pub(crate) gitlab: GitLab,
    pub(crate) kube: Kube,
    pub(crate) relay: SocketAddr,
    admin: SocketAddr,
    relay_process: Daemon,
    _processes: Processes,
}

impl Place {
    /// `keys` are more of the relay's section `authorities.gitlab`.
    pub(crate) async fn start(adit: &Path, keys: &str) -> Result<Self> {
        let (gitlab, kube) = (gitlab().start().await, kube().start().await);
        arrange(&gitlab);
        let processes = Processes::none()?;
        let folder = processes.folder();
        let ca = pki::shared().write_ca(folder);
        let (certificate, key) = pki::shared().write_server(folder);
        let (relay, admin) = (free_address()?, free_address()?);
        let token_file = folder.join("agent.token");
        fs::write(&token_file, AGENT_TOKEN)?;
        let relay_config = format!(
            "listen: {{address: '{relay}', certificate: '{certificate}', key: '{key}'}}
admin: {{address: '{admin}'}}
authorities: {{ca_file: '{ca}', gitlab: {{url: '{url}', {keys}}}}}
agents: [{{id: 1, name: prod, project: {PROJECT}, project_id: 150, tokens: ['{hash}']}}]
",
            certificate = certificate.display(),
            key = key.display(),
            ca = ca.display(),
            url = gitlab.url(),
            hash = TokenHash::of(AGENT_TOKEN),
        );
        let agent_config = format!(
            "relay: {{url: 'https://{relay}', ca_file: '{ca}', token_file: '{token_file}', proxy: none}}
kubernetes: {{kubeconfig: '{kubeconfig}'}}
admin: {{address: '{admin}'}}
",
            ca = ca.display(),
            token_file = token_file.display(),
            kubeconfig = kube.kubeconfig().display(),
            admin = free_address()?,
        );
        let relay_process = process(adit, "relay", &processes, &relay_config)?;
        process(adit, "agent", &processes, &agent_config)?;
        let place = Self {
            gitlab,
            kube,
            relay,
            admin,
            relay_process,
            _processes: processes,
        };
        place.until_it_serves().await;
        Ok(place)
    }

    /// A job that runs: its id, and itself as a caller.
    pub(crate) fn job(&self) -> (u64, Caller) {
        let mut world = self.gitlab.world();
        let id = world.job(PROJECT).run();
        let token = world.job_of(id).token().to_owned();
        drop(world);
        (id, self.showing(&token))
    }

    /// Whoever shows this token.
    pub(crate) fn showing(&self, token: &str) -> Caller {
        Caller::new(self.relay, &format!("Bearer ci:1:{token}"))
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::read(self.admin).await
    }

    /// Calls about jobs that the relay has tried to make.
    pub(crate) async fn calls_tried(&self) -> f64 {
        let calls = "adit_relay_gitlab_calls_total";
        let metrics = self.metrics().await;
        metrics.sum(calls) - metrics.sum_where(calls, r#"outcome="left_alone""#)
    }

    /// What the relay has logged so far, in bytes.
    pub(crate) fn logged(&self) -> usize {
        self.relay_process.log().len()
    }

    async fn until_it_serves(&self) {
        until("the relay listens", || {
            TcpStream::connect(self.relay).is_ok()
        })
        .await;
        let (_, probe) = self.job();
        within("the agent serves", async {
            while probe.get("/api").await.status != 200 {}
        })
        .await;
        self.gitlab.calls().forget();
    }
}

fn process(adit: &Path, subcommand: &str, processes: &Processes, config: &str) -> Result<Daemon> {
    let config_file = processes.folder().join(subcommand).with_extension("yaml");
    fs::write(&config_file, config)?;
    let mut command = Command::new(adit);
    command.args([subcommand, "--config"]).arg(config_file);
    processes.start(subcommand, command)
}

fn free_address() -> Result<SocketAddr> {
    let loopback = Ipv4Addr::LOCALHOST.into();
    Ok(SocketAddr::new(loopback, ports::free(loopback)?))
}
