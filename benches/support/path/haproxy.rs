//! Two HAProxy hops, HTTP/2 between them and to the backend, one thread each.

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
    let impersonate = "http-request set-header impersonate-user gitlab:ci_job:1";
    let inner = hop(rig, "haproxy-inner", middle, course.backend, impersonate)?;
    let outer = hop(rig, "haproxy-outer", front, course.middle(middle), "")?;
    Ok(Path {
        hops: vec![outer, inner],
        front: Front::bare(rig, front)?,
        _aside: None,
    })
}

fn hop(rig: &Rig, name: &str, port: u16, to: u16, rule: &str) -> Result<Process> {
    let root = rig.folder().display();
    let config = format!(
        "global
  nbthread 1
  maxconn 4000
  tune.h2.initial-window-size 1048576
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend front
  bind 127.0.0.1:{port} ssl crt {root}/tls.pem alpn h2,http/1.1
  {rule}
  default_backend back
backend back
  server next 127.0.0.1:{to} ssl verify required ca-file {root}/ca.crt sni str(localhost) alpn h2
"
    );
    let path = rig.write(&format!("{name}.cfg"), &config)?;
    let process = Process::start(
        name,
        Command::new("haproxy").arg("-db").arg("-f").arg(path),
        &rig.logs(),
    )?;
    until(&format!("{name} listens"), || listens(port))?;
    Ok(process)
}
