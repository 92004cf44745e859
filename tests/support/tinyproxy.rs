//! A real HTTP proxy, Debian's tinyproxy, that opens connections to one port for those with the right password.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
};

use xtask::{
    cluster::{Daemon, Processes},
    command, ports, skip,
};

use crate::balancer::listening;

/// A running one. When the value goes, the process is gone.
#[derive(Debug)]
pub struct TinyProxy {
    address: SocketAddr,
    _daemon: Daemon,
    _processes: Processes,
}

impl TinyProxy {
    /// Whether it is installed. If not, the test of this name is noted as skipped.
    #[must_use]
    pub fn is_there(test: &str) -> bool {
        let is_there = command::find(PROGRAM).is_some();
        if !is_there {
            skip::skipped(test, &format!("{PROGRAM} is missing"));
        }
        is_there
    }

    /// Starts one that connects to this port only.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(port: u16, user: &str, password: &str) -> Self {
        let processes = Processes::none().unwrap();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let address = SocketAddr::new(loopback, ports::free(loopback).unwrap());
        let file = processes.folder().join("tinyproxy.conf");
        let settings = format!(
            "Listen {}\nPort {}\nConnectPort {port}\nBasicAuth {user} {password}\n",
            address.ip(),
            address.port()
        );
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("-d").arg("-c").arg(file);
        let mut daemon = processes.start(PROGRAM, command).unwrap();
        listening(&mut daemon, address).await;
        Self {
            address,
            _daemon: daemon,
            _processes: processes,
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

const PROGRAM: &str = "tinyproxy";
