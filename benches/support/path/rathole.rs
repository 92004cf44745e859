//! rathole: a tunnel for TCP, with Noise between its hops, one thread each. The client's TLS runs through it to the API server, on a
//! connection of its own: the hops see neither requests nor tokens, and set no header.

use std::{path::Path as File, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{Front, Path};
use crate::{
    course::Course,
    load,
    process::{Process, until, until_within},
    rig::{Rig, free_port, listens},
};

pub(super) const VARIABLES: [&str; 1] = ["RATHOLE_BIN"];

pub(super) fn start(rig: &Rig, binary: &File, course: &Course<'_>) -> Result<Path> {
    let (front, middle) = (free_port()?, free_port()?);
    let (private, public) = keys(binary)?;
    let server = format!(
        "[server]
bind_addr = '127.0.0.1:{middle}'
default_token = 'bench'
transport = {{type = 'noise', noise = {{local_private_key = '{private}'}}}}
services.kube.bind_addr = '127.0.0.1:{front}'
"
    );
    let outer = hop(rig, binary, "rathole-server", &server)?;
    until("rathole's server listens", || listens(middle))?;
    let client = format!(
        "[client]
remote_addr = '127.0.0.1:{}'
default_token = 'bench'
transport = {{type = 'noise', noise = {{remote_public_key = '{public}'}}}}
services.kube.local_addr = '127.0.0.1:{}'
",
        course.middle(middle),
        course.backend
    );
    let inner = hop(rig, binary, "rathole-client", &client)?;
    let path = Path {
        hops: vec![outer, inner],
        front: Front::bare(rig, front)?,
        _aside: None,
    };
    until_within(Duration::from_secs(30), "rathole's client serves", || {
        load::download(&path.target("small")).is_ok()
    })?;
    Ok(path)
}

fn hop(rig: &Rig, binary: &File, name: &str, config: &str) -> Result<Process> {
    let config = rig.write(&format!("{name}.toml"), config)?;
    let mut command = Command::new(binary);
    command.arg(config).env("TOKIO_WORKER_THREADS", "1");
    Process::start(name, &mut command, &rig.logs())
}

/// The server's, private and public, as rathole makes them.
fn keys(binary: &File) -> Result<(String, String)> {
    let made = Command::new(binary).arg("--genkey").output();
    let made = made.with_context(|| format!("cannot start {}", binary.display()))?;
    let text = String::from_utf8_lossy(&made.stdout);
    let key = |title: &str| {
        let mut lines = text.lines().skip_while(|line| *line != title).skip(1);
        let key = lines.next().map(str::to_owned);
        key.with_context(|| format!("rathole --genkey has no {title:?}"))
    };
    Ok((key("Private Key:")?, key("Public Key:")?))
}
