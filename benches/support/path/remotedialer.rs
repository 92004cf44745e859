//! remotedialer, by the server and the client that come with it as samples. They have no TLS before the API server, ask nobody for a
//! token, take GETs, and send none of their header fields on.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::Result;

use super::{Front, Path};
use crate::{
    course::Course,
    job::FIRST_JOB,
    load,
    process::{Process, until, until_within},
    rig::{Rig, free_port, listens},
};

pub(super) const VARIABLES: [&str; 2] = ["REMOTEDIALER_SERVER_BIN", "REMOTEDIALER_CLIENT_BIN"];

pub(super) fn start(
    rig: &Rig,
    [server, client]: &[PathBuf; 2],
    course: &Course<'_>,
) -> Result<Path> {
    let front = free_port()?;
    let mut outer = Command::new(server);
    outer
        .args(["-listen", &format!("127.0.0.1:{front}")])
        // It is the server that speaks TLS with the API server.
        .env("SSL_CERT_FILE", rig.file("ca.crt"));
    let outer = hop(rig, "remotedialer-server", outer)?;
    until("remotedialer's server listens", || listens(front))?;
    let mut inner = Command::new(client);
    inner
        .args(["-connect", &format!("ws://127.0.0.1:{front}/connect")])
        .args(["-id", "bench", "-debug=false"]);
    let inner = hop(rig, "remotedialer-client", inner)?;
    let path = Path {
        hops: vec![outer, inner],
        front: Front {
            scheme: "http",
            port: front,
            prefix: format!("/client/bench/https/127.0.0.1:{}", course.backend),
            authorization: rig.jobs.authorization(FIRST_JOB)?,
        },
        _aside: None,
    };
    until_within(
        Duration::from_secs(30),
        "remotedialer's client serves",
        || load::download(&path.target("small")).is_ok(),
    )?;
    Ok(path)
}

fn hop(rig: &Rig, name: &str, mut command: Command) -> Result<Process> {
    Process::start(name, command.env("GOMAXPROCS", "1"), &rig.logs())
}
