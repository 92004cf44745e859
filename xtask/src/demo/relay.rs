//! The demo's relay: an ordinary one, from the binary and a config file.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::cluster::{Authority, Daemon, Processes};
use xtask::wait::{self, Look};
use xtask::{command, ports, template};

use super::voucher::Voucher;

/// A running relay.
pub(super) struct Relay {
    daemon: Daemon,
    url: String,
    admin: SocketAddr,
    token: String,
    token_of_left: String,
}

impl Relay {
    /// Ready to be asked.
    pub(super) fn start(
        adit: &Path,
        processes: &Processes,
        authority: &Authority,
        address: IpAddr,
        voucher: &Voucher,
    ) -> Result<Self> {
        let folder = processes.folder();
        authority.server(folder, "relay", &[address.to_string()])?;
        let listen = SocketAddr::new(address, ports::free(address)?);
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let admin = SocketAddr::new(loopback, ports::free(loopback)?);
        let (token, hash) = new_token(adit)?;
        let (_, offline) = new_token(adit)?;
        let (token_of_left, left) = new_token(adit)?;
        let config = template::fill(
            &super::read(voucher.relay_file())?,
            &[
                ("RELAY_ADDRESS", &listen.to_string()),
                ("ADMIN_ADDRESS", &admin.to_string()),
                ("FOLDER", &folder.to_string_lossy()),
                ("GITLAB_URL", &voucher.gitlab_url()),
                ("DEMO_HASH", &hash),
                ("OFFLINE_HASH", &offline),
                ("LEFT_HASH", &left),
            ],
        )?;
        let file = folder.join("relay.yaml");
        fs::write(&file, config)?;
        command::text(Command::new(adit).args(["config", "check"]).arg(&file))?;
        let mut run = Command::new(adit);
        run.args(["relay", "--config"]).arg(&file);
        let daemon = processes.start("relay", run)?;
        let mut relay = Self {
            daemon,
            url: format!("https://{listen}"),
            admin,
            token,
            token_of_left,
        };
        wait::until(Duration::from_secs(20), "the relay to be ready", || {
            relay.daemon.check()?;
            Ok(Look::from(get(relay.admin, "/readyz").ok()))
        })?;
        Ok(relay)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its private port.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The token of the agent `demo`.
    pub(super) fn agent_token(&self) -> &str {
        &self.token
    }

    /// The token of the agent `left`.
    pub(super) fn token_of_left(&self) -> &str {
        &self.token_of_left
    }

    /// Until an agent's tunnel is there. An agent that is a process here may have ended instead.
    pub(super) fn wait_for_tunnel(&mut self, mut agent: Option<&mut Daemon>) -> Result<()> {
        self.wait("the agent's tunnel", |tunnels| {
            if let Some(agent) = agent.as_mut() {
                agent.check()?;
            }
            Ok(tunnels > 0)
        })
    }

    /// Until there is no tunnel.
    pub(super) fn wait_for_silence(&mut self) -> Result<()> {
        self.wait("the tunnel to end", |tunnels| Ok(tunnels == 0))
    }

    fn wait(&mut self, what: &str, mut is_so: impl FnMut(usize) -> Result<bool>) -> Result<()> {
        wait::until(Duration::from_mins(1), what, || {
            self.daemon.check()?;
            let metrics = get(self.admin, "/metrics")?;
            let tunnels = tunnels(&metrics).context("the relay does not count its tunnels")?;
            Ok(Look::from(is_so(tunnels)?.then_some(())))
        })
    }

    pub(super) fn last_words(&self) -> String {
        command::last_lines(&self.daemon.log(), 15)
    }
}

fn tunnels(metrics: &str) -> Option<usize> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix("adit_relay_tunnels_open "))?
        .trim()
        .parse()
        .ok()
}

fn new_token(adit: &Path) -> Result<(String, String)> {
    let said = command::text(Command::new(adit).args(["token", "new", "--json"]))?;
    let pair: Value = serde_json::from_str(&said)?;
    let field = |name| pair.get(name).and_then(Value::as_str).map(str::to_owned);
    field("token")
        .zip(field("hash"))
        .context("`adit token new --json` gave no token")
}

/// A GET of an admin port: HTTP/1.0, so that the answer ends with the connection.
fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.split(' ').nth(1) != Some("200") {
        bail!("{path} is not 200");
    }
    Ok(answer)
}
