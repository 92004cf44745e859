//! Decides which certificate adit shows, and when a new one takes over.
//!
//! The relay loads it at the start and has it kept ([`reread`](crate::reread)). The invariant: what
//! is shown was checked, key against certificate; a file that is half written or wrong changes
//! nothing.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsAcceptor;

use super::{Certificate, TlsError, pem, protocols, provider};
use crate::reread::{Kept, Looks};

/// Where the certificate chain and its key lie, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// TLS for accepting. Clones share everything.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    shown: Arc<Shown>,
    /// When what is shown ends.
    expiry: Gauge,
    looks: Looks,
}

impl ServerTls {
    /// Reads and checks the files; `alpn` in order of preference.
    ///
    /// # Errors
    /// When a file cannot be used or the two do not match.
    pub fn load(files: CertificateFiles, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let hasher = RandomState::new();
        let material = Material::read(&files, &hasher)?;
        let expiry = Gauge::default();
        expiry.set(end_of(&material));
        let shown = Arc::new(Shown {
            files,
            hasher,
            material: ArcSwap::from_pointee(material),
        });
        let resolver = Arc::<Shown>::clone(&shown);
        Ok(Self {
            config: Arc::new(server_config(resolver, alpn)?),
            shown,
            expiry,
            looks: Looks::default(),
        })
    }

    /// For connections that are accepted.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }

    /// For libraries that take a rustls config.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// When the certificate that is shown ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.shown.material.load().own.not_after
    }

    /// The certificate that is shown.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.shown.material.load().own.clone()
    }

    /// Why the files could not be used when they were last looked at, if that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.looks.trouble()
    }

    /// Registers `adit_tls_certificate_expiry_timestamp_seconds` and
    /// `adit_tls_certificate_reloads_total{outcome}`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "When the certificate that is shown ends, in seconds since 1970";
        let expiry = self.expiry.clone();
        registry.register_with_unit(
            "adit_tls_certificate_expiry_timestamp",
            help,
            Unit::Seconds,
            expiry,
        );
        let help = "Looks at the certificate's files that found something new, or failed";
        registry.register("adit_tls_certificate_reloads", help, self.looks.reloads());
    }

    fn remaining(&self) -> Duration {
        self.not_after()
            .duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO)
    }
}

impl Kept for ServerTls {
    type Content = Material;
    type Error = TlsError;

    fn read(&self) -> Result<Option<Material>, TlsError> {
        let material = Material::read(&self.shown.files, &self.shown.hasher)?;
        let is_shown = material.fingerprint == self.shown.material.load().fingerprint;
        Ok((!is_shown).then_some(material))
    }

    fn take(&self, material: Material) -> Result<(), TlsError> {
        self.expiry.set(end_of(&material));
        self.shown.material.store(Arc::new(material));
        Ok(())
    }

    fn looks(&self) -> &Looks {
        &self.looks
    }

    fn tell_replaced(&self) {
        tracing::info!(expires_in = ?self.remaining(), "certificate replaced");
    }

    fn tell_refused(&self, error: &str) {
        tracing::warn!(error, expires_in = ?self.remaining(), "certificate not reloaded, the old one stays");
    }
}

fn server_config(resolver: Arc<Shown>, alpn: &[&[u8]]) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = protocols(alpn);
    // Agents that all come back at once, after a restart of what lies between, resume instead of
    // paying a whole handshake each: with tickets, and by session id in TLS 1.2.
    config.ticketer = Ticketer::new().map_err(TlsError::Setup)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

/// What handshakes are answered with.
#[derive(Debug)]
struct Shown {
    files: CertificateFiles,
    hasher: RandomState,
    material: ArcSwap<Material>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.material.load().certified))
    }
}

/// A certificate chain and its key, checked against each other.
#[derive(Debug)]
pub struct Material {
    certified: Arc<CertifiedKey>,
    own: Certificate,
    /// Of both files' content, for this process only.
    fingerprint: u64,
}

impl Material {
    fn read(files: &CertificateFiles, hasher: &RandomState) -> Result<Self, TlsError> {
        let CertificateFiles {
            certificate: certificate_path,
            key: key_path,
        } = files;
        let (certificate, key) = (pem::read(certificate_path)?, pem::read(key_path)?);
        let fingerprint = hasher.hash_one((&certificate, &key));

        let chain = pem::certificates(certificate_path, &certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|source| TlsError::Pem {
            path: key_path.clone(),
            source,
        })?;
        let own = chain
            .first()
            .and_then(|own| Certificate::read(own))
            .ok_or_else(|| TlsError::Validity {
                path: certificate_path.clone(),
            })?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| {
            TlsError::Mismatch {
                certificate: certificate_path.clone(),
                key: key_path.clone(),
                source,
            }
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            own,
            fingerprint,
        })
    }
}

/// In seconds since 1970.
fn end_of(material: &Material) -> i64 {
    let end = material
        .own
        .not_after
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(end.as_secs()).unwrap_or(i64::MAX)
}

/// Sessions that TLS 1.2 clients may resume by id; each costs about 200 bytes.
const SESSIONS: usize = 16 * 1024;
