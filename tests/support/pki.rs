//! Certificates: one authority for the whole test process, and certificates it signs for loopback.
//! Servers here and callers use it in memory; relay and agent read the files it writes, as in production.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, ServerConfig,
    client::WantsClientCert,
    pki_types::{PrivateKeyDer, ServerName},
    server::{WantsServerCert, WebPkiClientVerifier},
};

pub const HTTP1: &[u8] = b"http/1.1";
pub const HTTP2: &[u8] = b"h2";
/// The file of a server's certificate.
pub(crate) const CERTIFICATE: &str = "server.pem";
/// The file of its key.
pub(crate) const KEY: &str = "server.key";

static SHARED: LazyLock<Pki> = LazyLock::new(|| Pki::new("adit test CA"));

/// The authority that relays, agents, API servers and callers of the tests believe.
#[must_use]
pub fn shared() -> &'static Pki {
    &SHARED
}

/// A certificate authority.
pub struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// Another authority, which nobody believes.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { ca }
    }

    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    /// Writes `ca.pem` and returns its path.
    #[must_use]
    pub fn write_ca(&self, folder: &Path) -> PathBuf {
        write(folder, "ca.pem", &self.ca_pem())
    }

    /// Writes a certificate for loopback and its key.
    #[must_use]
    pub fn write_server(&self, folder: &Path) -> (PathBuf, PathBuf) {
        self.write_server_until(folder, None)
    }

    /// The same, valid until then.
    #[must_use]
    pub fn write_server_until(&self, folder: &Path, end: Option<SystemTime>) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign(end);
        (
            write(folder, CERTIFICATE, &certificate.pem()),
            write(folder, KEY, &key.serialize_pem()),
        )
    }

    /// Writes its own certificate and key, for one that shows them as they are.
    #[must_use]
    pub fn write_as_own(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let key = self.ca.key().serialize_pem();
        (
            write(folder, "as-own.pem", &self.ca.pem()),
            write(folder, "as-own.key", &key),
        )
    }

    /// Writes a certificate for an agent and its key, over whatever was there.
    pub fn write_client(&self, folder: &Path, made: Made) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign_client(made);
        (
            write(folder, "client.pem", &certificate.pem()),
            write(folder, "client.key", &key.serialize_pem()),
        )
    }

    /// TLS for a server of the tests' own.
    #[must_use]
    pub fn server(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        self.serving(ServerConfig::builder().with_no_client_auth(), alpn)
    }

    /// The same, for one that wants a certificate of this authority.
    #[must_use]
    pub fn server_of_certified(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let clients = WebPkiClientVerifier::builder(Arc::new(self.roots()));
        let clients = clients.build().unwrap();
        self.serving(
            ServerConfig::builder().with_client_cert_verifier(clients),
            alpn,
        )
    }

    fn serving(
        &self,
        config: ConfigBuilder<ServerConfig, WantsServerCert>,
        alpn: &[&[u8]],
    ) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(None);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = config
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// TLS for a client that believes this authority only.
    #[must_use]
    pub fn client(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = self.believed().with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// The same, for one that shows a certificate which `ca` has issued.
    #[must_use]
    pub fn client_showing(&self, ca: &Self, made: Made, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let (certificate, key) = ca.sign_client(made);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let believed = self.believed();
        let mut config = believed
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    fn believed(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        ClientConfig::builder().with_root_certificates(self.roots())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        roots
    }

    fn sign_client(&self, made: Made) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "agent");
        params.extended_key_usages = vec![made.usage];
        if let Some(start) = made.start {
            params.not_before = start.into();
        }
        if let Some(end) = made.end {
            params.not_after = end.into();
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap(), key)
    }

    fn sign(&self, end: Option<SystemTime>) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        if let Some(end) = end {
            params.not_after = end.into();
        }
        params
            .subject_alt_names
            .push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap(), key)
    }
}

/// How a certificate for an agent is made.
#[derive(Clone)]
pub struct Made {
    pub usage: ExtendedKeyUsagePurpose,
    pub start: Option<SystemTime>,
    pub end: Option<SystemTime>,
}

impl Default for Made {
    /// As it should be.
    fn default() -> Self {
        Self {
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            start: None,
            end: None,
        }
    }
}

/// The name that all certificates are for.
#[must_use]
pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}
