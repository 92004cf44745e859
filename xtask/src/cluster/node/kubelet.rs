//! The kubelet of a real node, with everything it writes in the cluster's folder.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::super::access::Access;
use super::super::certificates::Authority;
use super::super::daemon::Daemon;
use super::super::record::Record;
use super::bridge::ADDRESS;
use super::{Containerd, NAME, cgroup};
use crate::ports;
use crate::tools::{Module, Tools};

pub(super) fn start(
    record: &Record,
    tools: &Tools,
    access: &Access,
    authority: &Authority,
    containerd: &Containerd,
) -> Result<Daemon> {
    let names = [ADDRESS.to_string(), NAME.to_owned()];
    let serving = authority.server(record.folder(), "kubelet", &names)?;
    let (folder, root) = (record.folder(), record.path("kubelet"));
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS.to_string(),
        "port": ports::free(ADDRESS.into())?,
        "healthzPort": 0,
        "tlsCertFile": serving.certificate,
        "tlsPrivateKeyFile": serving.key,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": access.ca() },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{}", containerd.socket().display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroup::NAME),
        // Machines with the old hierarchy are still around; by default they are refused.
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "podLogsDir": folder.join("pod-logs"),
        "volumePluginDir": root.join("volume-plugins"),
        "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
        // Images cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "",
        // Nothing listens there; it silences a warning per pod.
        "clusterDNS": ["10.214.0.10"],
        "clusterDomain": "cluster.local",
    });
    let file = record.path("kubelet.json");
    fs::write(&file, config.to_string())?;
    let mut kubelet = Command::new(tools.program(Module::Kubernetes, "kubelet"));
    kubelet
        .arg("--config")
        .arg(file)
        .arg("--kubeconfig")
        .arg(access.node_kubeconfig())
        .arg("--root-dir")
        .arg(&root)
        .arg("--cert-dir")
        .arg(root.join("pki"))
        .args(["--hostname-override", NAME])
        .args(["--node-ip", &ADDRESS.to_string()]);
    Daemon::start(record, "kubelet", kubelet)
}
