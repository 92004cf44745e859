//! A simulated node: kwok plays the kubelet, so that pods become ready without anything running, and answers `logs`,
//! `exec`, `attach` and `port-forward` from files and programs on this machine.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::super::access::Access;
use super::super::certificates::Authority;
use super::super::daemon::Daemon;
use super::super::record::Record;
use super::{LOOPBACK, NAME};
use crate::tools::{Module, Tools};
use crate::{command, ports};

pub(super) fn start(
    record: &Record,
    tools: &Tools,
    access: &Access,
    authority: &Authority,
) -> Result<Daemon> {
    let port = ports::free(LOOPBACK.into())?.to_string();
    let serving = authority.server(record.folder(), "kwok", &[LOOPBACK.to_string()])?;
    fs::write(record.path("pod.log"), LOG)?;
    fs::write(record.path("kwok.yaml"), behaviour(record))?;
    let mut kwok = Command::new(tools.program(Module::Kwok, "kwok"));
    kwok.arg("--kubeconfig")
        .arg(access.admin_kubeconfig())
        .arg("--manage-all-nodes")
        .args(["--node-ip", &LOOPBACK.to_string(), "--node-port", &port])
        .args(["--server-address", &format!("{LOOPBACK}:{port}")])
        .arg("--tls-cert-file")
        .arg(serving.certificate)
        .arg("--tls-private-key-file")
        .arg(serving.key)
        .arg("--config")
        .arg(record.path("kwok.yaml"));
    let stages = fs::read_dir(tools.folder(Module::Kwok).join("stages"))
        .context("kwok's stages are missing from the cache; remove its folder there")?;
    for stage in stages {
        kwok.arg("--config").arg(stage?.path());
    }
    let daemon = Daemon::start(record, "kwok", kwok)?;
    add_node(tools, access)?;
    Ok(daemon)
}

fn add_node(tools: &Tools, access: &Access) -> Result<()> {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": NAME, "labels": { "kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux" } },
        "status": {
            "allocatable": { "cpu": "32", "memory": "256Gi", "pods": "5000" },
            "capacity": { "cpu": "32", "memory": "256Gi", "pods": "5000" },
        },
    });
    let mut kubectl = Command::new(tools.kubectl());
    kubectl
        .arg("--kubeconfig")
        .arg(access.admin_kubeconfig())
        .args(["create", "--filename", "-"]);
    command::text_of(
        &mut kubectl,
        &node.to_string(),
        std::time::Duration::from_secs(30),
    )
    .map(drop)
}

/// What every pod does: one log, commands that run here, and the web server that `PORT` names.
fn behaviour(record: &Record) -> String {
    let of = |kind: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": "all" },
            "spec": spec,
        })
        .to_string()
    };
    let log = record.path("pod.log");
    [
        of(
            "ClusterLogs",
            json!({ "logs": [{ "logsFile": log, "follow": true }] }),
        ),
        of(
            "ClusterExec",
            json!({ "execs": [{ "local": { "workDir": record.folder() } }] }),
        ),
        of(
            "ClusterAttach",
            json!({ "attaches": [{ "logsFile": log }] }),
        ),
        of(
            "ClusterPortForward",
            json!({ "forwards": [{ "command": ["sh", "-c", ANSWER] }] }),
        ),
    ]
    .join("\n---\n")
}

/// In the form in which a container runtime keeps logs.
const LOG: &str = "2026-01-01T00:00:00Z stdout F hello from a simulated pod\n";
/// A web server of one answer; kwok connects a forwarded port to its standard input and output.
const ANSWER: &str = r"read -r line; printf 'HTTP/1.0 200 OK\r\nContent-Length: 27\r\n\r\nhello from a simulated pod\n'";
