//! Two nghttpx hops, HTTP/2 between them and to the backend, one thread each. It knows nothing of tunnels, identities or audit.

use std::process::Command;

use anyhow::Result;

use super::{Front, Path};
use crate::{
    course::Course,
    process::{Process, until},
    rig::{Rig, free_port, listens},
};

pub(super) fn start(rig: &Rig, course: &Course<'_>) -> Result<Path> {
    let (front, middle) = (free_port()?, free_port()?);
    let inner = hop(
        rig,
        "nghttpx-inner",
        middle,
        course.backend,
        &["--add-request-header=impersonate-user: gitlab:ci_job:1"],
    )?;
    let outer = hop(
        rig,
        "nghttpx-outer",
        front,
        course.middle(middle),
        &["--backend-connections-per-host=8"],
    )?;
    Ok(Path {
        hops: vec![outer, inner],
        front: Front::bare(rig, front)?,
        _aside: None,
    })
}

fn hop(rig: &Rig, name: &str, port: u16, to: u16, more: &[&str]) -> Result<Process> {
    let mut command = Command::new("nghttpx");
    command
        .args([
            "--conf=/dev/null",
            "--single-process",
            "--workers=1",
            "--no-ocsp",
        ])
        .arg(format!("--frontend=127.0.0.1,{port}"))
        .arg(format!(
            "--backend=127.0.0.1,{to};;proto=h2;tls;sni=localhost"
        ))
        .args([
            "--frontend-http2-window-size=1048576",
            "--backend-http2-window-size=1048576",
        ])
        .args([
            "--frontend-http2-connection-window-size=16777216",
            "--frontend-http2-max-concurrent-streams=10000",
        ])
        .arg(format!("--cacert={}", rig.file("ca.crt").display()))
        .args(more)
        .args([rig.file("tls.key"), rig.file("tls.crt")]);
    let process = Process::start(name, &mut command, &rig.logs())?;
    until(&format!("{name} listens"), || listens(port))?;
    Ok(process)
}
