//! A real balancer in front of a relay: Debian's nginx or HAProxy, or PyPI's Envoy, with the settings that `docs/networks.md` prints.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use tokio::net::TcpStream;
use xtask::{
    cluster::{Daemon, Processes},
    command, ports, skip,
    tools::Envoy,
};

use crate::{TestRelay, pki, within};

/// What balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Nginx,
    HaProxy,
    Envoy,
}

/// A running one. When the value goes, the process is gone.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    _daemon: Daemon,
    _processes: Processes,
}

impl Program {
    /// Whether it is installed. If not, the test of this name is noted as skipped.
    #[must_use]
    pub fn is_there(self, test: &str) -> bool {
        let found = match self {
            Self::Nginx | Self::HaProxy => command::find(self.name())
                .map(drop)
                .ok_or_else(|| format!("{} is missing", self.name())),
            Self::Envoy => Envoy::available().map_err(|why| format!("{why:#}")),
        };
        if let Err(why) = &found {
            skip::skipped(test, why);
        }
        found.is_ok()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    fn file(self) -> PathBuf {
        match self {
            Self::Nginx | Self::HaProxy => self.name().into(),
            Self::Envoy => Envoy::ready().unwrap().program().to_owned(),
        }
    }

    /// The whole file, and how it is run.
    fn command(self, folder: &Path, settings: &str) -> Command {
        // Envoy tells by the name's end what the file holds.
        let file = folder.join("balancer.yaml");
        let mut command = Command::new(self.file());
        let text = match self {
            Self::Nginx => {
                command.arg("-p").arg(folder).args(["-e", "stderr", "-c"]);
                format!("{NGINX}http {{ access_log off;\n{NGINX_FOLDERS}{settings}\n}}\n")
            }
            Self::HaProxy => {
                command.args(["-db", "-f"]);
                format!("{HAPROXY}{settings}\n")
            }
            Self::Envoy => {
                command.args(ENVOY).arg("--config-path");
                settings.to_owned()
            }
        };
        std::fs::write(&file, text).unwrap();
        command.arg(file);
        command
    }
}

impl Balancer {
    /// Starts one in front of `relay`, with the settings that stand below this heading of `docs/networks.md` and are changed by
    /// `change`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(
        program: Program,
        relay: &TestRelay,
        heading: &str,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let processes = Processes::none().unwrap();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let address = SocketAddr::new(loopback, ports::free(loopback).unwrap());
        let settings = placed(
            &change(printed(heading)),
            relay,
            address,
            processes.folder(),
        );
        let command = program.command(processes.folder(), &settings);
        let mut daemon = processes.start(program.name(), command).unwrap();
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

/// Waits until it takes connections.
pub(crate) async fn listening(daemon: &mut Daemon, address: SocketAddr) {
    let connected = async {
        while TcpStream::connect(address).await.is_err() {
            daemon.check().unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within("a daemon that listens", connected).await;
}

/// The first block of settings below a heading.
fn printed(heading: &str) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/networks.md");
    let document = std::fs::read_to_string(document).unwrap();
    let (_, below) = document.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, block) = below.split_once("\n```").unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    let (_language, settings) = block.split_once('\n').unwrap();
    settings.to_owned()
}

/// With addresses and files of this scenario in the place of an example's.
fn placed(settings: &str, relay: &TestRelay, address: SocketAddr, folder: &Path) -> String {
    let (certificate, key) = pki::shared().write_server(folder);
    let both = [&certificate, &key].map(|file| std::fs::read_to_string(file).unwrap());
    let bundle = folder.join("bundle.pem");
    std::fs::write(&bundle, both.concat()).unwrap();
    let ca = pki::shared().write_ca(folder);
    let relays = relay.address();
    let endpoint =
        |address: SocketAddr| format!("address: {}, port_value: {}", address.ip(), address.port());
    let places = [
        ("listen 443", format!("listen {address}")),
        ("bind :443", format!("bind {address}")),
        ("address: 0.0.0.0, port_value: 443", endpoint(address)),
        ("relay.internal:8150", relays.to_string()),
        (
            "address: relay.internal, port_value: 8150",
            endpoint(relays),
        ),
        ("relay.internal", "localhost".to_owned()),
        ("/etc/nginx/relay.pem", certificate.display().to_string()),
        ("/etc/nginx/relay.key", key.display().to_string()),
        ("/etc/nginx/relay-ca.pem", ca.display().to_string()),
        ("/etc/haproxy/relay.pem", bundle.display().to_string()),
        ("/etc/haproxy/relay-ca.pem", ca.display().to_string()),
        ("/etc/envoy/relay.pem", certificate.display().to_string()),
        ("/etc/envoy/relay.key", key.display().to_string()),
        ("/etc/envoy/relay-ca.pem", ca.display().to_string()),
    ];
    places
        .into_iter()
        .fold(settings.to_owned(), |text, (example, here)| {
            text.replace(example, &here)
        })
}

/// In one process, in the foreground.
const NGINX: &str = "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {}\n";
/// It makes them at its start, used or not.
const NGINX_FOLDERS: &str = "client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n";
/// Several may run on one machine, none of which takes another's place.
const ENVOY: [&str; 5] = [
    "--disable-hot-restart",
    "--concurrency",
    "1",
    "--log-level",
    "warning",
];
/// As Debian's own file has it.
const HAPROXY: &str =
    "defaults\n    timeout connect 5000\n    timeout client 50000\n    timeout server 50000\n";
