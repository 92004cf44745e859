//! What every path needs: certificates, bodies, and nginx as the API server.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{
    job::Jobs,
    process::{Process, until},
};

/// Sizes of the bodies, in bytes.
pub const SMALL_BYTES: usize = 2 << 10;
pub const MEDIUM_BYTES: usize = 64 << 20;
pub const LARGE_BYTES: usize = 256 << 20;

/// Certificates, bodies, who calls, and the backend.
#[derive(Debug)]
pub struct Rig {
    folder: TempDir,
    pub jobs: Jobs,
    pub backend_port: u16,
    _backend: Process,
}

impl Rig {
    pub fn start() -> Result<Self> {
        let mut folder = tempfile::Builder::new().prefix("adit-bench-").tempdir()?;
        // What went wrong stands in the logs.
        folder.disable_cleanup(std::env::var_os("ADIT_BENCH_KEEP").is_some());
        write_certificates(folder.path())?;
        write_bodies(&folder.path().join("www"))?;
        fs::create_dir_all(folder.path().join("logs"))?;
        let backend_port = free_port()?;
        let backend = start_backend(folder.path(), backend_port)?;
        Ok(Self {
            folder,
            jobs: Jobs::new()?,
            backend_port,
            _backend: backend,
        })
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.file("logs")
    }

    /// Writes a file into the rig's folder and says where it is.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A free port that the system gives to nobody who connects: those who connect to a port over and over while nobody listens there
/// would be given it themselves one day, and be connected to themselves.
pub fn lasting_port() -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (20_000..30_000).find(is_free).context("no port is free")
}

/// Whether something answers there.
#[must_use]
pub fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn write_certificates(folder: &Path) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new([])?;
    // Named apart from what it signs: OpenSSL takes a certificate whose issuer is its subject for self-signed.
    authority
        .distinguished_name
        .push(DnType::CommonName, "adit bench CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name
        .push(DnType::CommonName, "localhost");
    let certificate = leaf.signed_by(&key, &issuer)?;
    fs::write(folder.join("ca.crt"), authority_certificate.pem())?;
    fs::write(folder.join("tls.crt"), certificate.pem())?;
    fs::write(folder.join("tls.key"), key.serialize_pem())?;
    fs::write(
        folder.join("tls.pem"),
        certificate.pem() + &key.serialize_pem(),
    )?;
    Ok(())
}

fn write_bodies(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    // Not compressible, not random: the same in every run.
    let bytes: Vec<u8> = (0..LARGE_BYTES as u64)
        .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect();
    for (name, size) in [
        ("small", SMALL_BYTES),
        ("medium", MEDIUM_BYTES),
        ("large", LARGE_BYTES),
    ] {
        fs::write(folder.join(name), &bytes[..size])?;
    }
    Ok(())
}

fn start_backend(folder: &Path, port: u16) -> Result<Process> {
    let root = folder.display();
    let config = format!(
        "daemon off; master_process off; error_log {root}/logs/nginx.err; pid {root}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; tcp_nodelay on; http2_max_requests 100000000;
  http2_max_concurrent_streams 1000; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  open_file_cache max=16; open_file_cache_valid 600s;
  server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {root}/tls.crt; ssl_certificate_key {root}/tls.key;
            ssl_protocols TLSv1.3; root {root}/www; }}
}}
"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config)?;
    let backend = Process::start(
        "nginx",
        Command::new("nginx").arg("-c").arg(&path),
        &folder.join("logs"),
    )?;
    until("nginx listens", || listens(port))?;
    Ok(backend)
}
