//! The network of a real node: one bridge. It gives the node an address that is not loopback, which a kubelet wants, and
//! by it the pods reach the API server and the relay. Nothing is routed beyond this machine.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::super::record::Record;
use crate::command;

/// The node's address, and the host's for its pods.
pub(in super::super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 213, 7, 1);
pub(super) const BRIDGE: &str = "adit0";
/// What CNI calls the network; its cache files begin with it.
pub(super) const NETWORK: &str = "adit-pods";
const PODS: &str = "10.213.7.0/24";

pub(super) fn set_up() -> Result<()> {
    // One that is there lost its record, or else it would be swept.
    delete(BRIDGE);
    ip(&["link", "add", BRIDGE, "type", "bridge"])
        .and_then(|()| ip(&["address", "add", &format!("{ADDRESS}/24"), "dev", BRIDGE]))
        .and_then(|()| ip(&["link", "set", BRIDGE, "up"]))
        .context("cannot make the bridge of the pods")
}

pub(super) fn take_down() {
    let listed = Command::new("ip")
        .args(["-o", "link", "show", "master", BRIDGE])
        .output();
    let members = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    for line in members.unwrap_or_default().lines() {
        // Such as `7: veth1a2b@if2: <BROADCAST...`
        let name = line
            .split(": ")
            .nth(1)
            .and_then(|name| name.split('@').next());
        name.into_iter().for_each(delete);
    }
    delete(BRIDGE);
}

fn delete(link: &str) {
    command::quietly(Command::new("ip").args(["link", "delete", link]));
}

/// What the CNI plugins are told.
pub(super) fn cni_config(record: &Record) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": NETWORK,
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": record.path("addresses"),
                "ranges": [[{ "subnet": PODS }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
    .to_string()
}

fn ip(args: &[&str]) -> Result<()> {
    command::text(Command::new("ip").args(args)).map(drop)
}
