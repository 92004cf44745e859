//! TEMPORARY stand-in while `xtask::cluster` is being written.
use std::{net::IpAddr, path::{Path, PathBuf}};

pub struct Cluster { kubeconfig: PathBuf, node: Result<Node, String> }

pub struct Node { pub address: IpAddr }

impl Node {
    pub fn image(&self, tag: u32) -> String { format!("node.local/bb:{tag}") }
    pub fn agent_image(&self) -> String { "node.local/adit:1".into() }
}

impl Cluster {
    pub fn start() -> Result<Self, String> {
        Ok(Self { kubeconfig: std::env::var_os("DEV_KC").unwrap().into(), node: Ok(Node { address: "10.88.9.1".parse().unwrap() }) })
    }
    pub fn kubeconfig(&self) -> &Path { &self.kubeconfig }
    pub fn server(&self) -> String { "https://10.88.9.1:26543".into() }
    pub fn kubectl(&self) -> PathBuf { "/tmp/gobin/kubectl".into() }
    pub fn helm(&self) -> PathBuf { "/tmp/gobin/helm".into() }
    pub fn node(&self) -> Result<&Node, &str> { self.node.as_ref().map_err(String::as_str) }
    pub fn restart_api_server(&self) {
        let done = std::process::Command::new("bash").arg("/tmp/clusterdev/restart-api.sh").status().unwrap();
        assert!(done.success());
    }
}

pub fn skipped(test: &str, why: &str) { eprintln!("skipped {test}: {why}"); }
pub fn on_path(program: &str) -> Option<PathBuf> { Some(Path::new("/usr/bin").join(program)) }
pub fn adit() -> Result<PathBuf, String> { Ok("/tmp/clusterdev/adit".into()) }
pub fn free_port() -> u16 { use std::sync::atomic::*; static N: AtomicU16 = AtomicU16::new(21000); N.fetch_add(1, Ordering::Relaxed) }
pub fn repository() -> &'static Path { Path::new("/work/main") }
