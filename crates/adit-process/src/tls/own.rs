//! Decides which certificate adit shows, and when a new one takes over: a relay's to whoever calls, an agent's to its relay.
//!
//! Its owner has it kept ([`reread`](crate::reread)). The invariant: what is shown was checked, key
//! against certificate; a file that is half written or wrong changes nothing.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::{Certificate, ShownTo, TlsError, pem, provider, since_1970};
use crate::how_long;
use crate::reread::{Kept, Looks};

/// Where the certificate chain and its key lie, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, its owner's certificate first.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A certificate that is shown, and its key. Clones share everything.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    shown: Arc<Shown>,
    validity: Validity,
    looks: Looks,
}

/// Until when a certificate holds: for registries. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Validity {
    /// When it ends, in seconds since 1970.
    pub expiry: Gauge,
    /// How long it holds in all, in seconds.
    pub life: Gauge,
}

impl Validity {
    /// Of a certificate that stays.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        let validity = Self::default();
        validity.tell(certificate);
        validity
    }

    fn tell(&self, certificate: &Certificate) {
        self.expiry.set(since_1970(certificate.not_after));
        let life = i64::try_from(certificate.life().as_secs());
        self.life.set(life.unwrap_or(i64::MAX));
    }
}

impl OwnCertificate {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// When a file cannot be used or the two do not match.
    pub fn load(files: CertificateFiles) -> Result<Self, TlsError> {
        let hasher = RandomState::new();
        let material = Material::read(&files, &hasher)?;
        let validity = Validity::of(&material.own);
        let shown = Arc::new(Shown {
            files,
            hasher,
            material: ArcSwap::from_pointee(material),
            to: OnceLock::new(),
        });
        Ok(Self {
            shown,
            validity,
            looks: Looks::default(),
        })
    }

    /// When the certificate that is shown ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.shown.material.load().own.not_after
    }

    /// Until when the one holds that is shown, whichever that is.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity.clone()
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

    /// Is shown to these: tells the log when it is a CA's own and they do not believe that, now and whenever it is replaced.
    pub fn shown_to(&self, to: ShownTo) {
        // Once for each certificate.
        let _ = self.shown.to.set(to);
        self.tell_doubt();
    }

    fn tell_doubt(&self) {
        if let Some(to) = self.shown.to.get()
            && let Some(doubt) = to.doubt()
            && self.certificate().is_ca
        {
            tracing::warn!(port = to.port(), advice = to.advice(), "{doubt}");
        }
    }

    /// Registers `adit_tls_certificate_expiry_timestamp_seconds`, `adit_tls_certificate_lifetime_seconds` and
    /// `adit_tls_certificate_reloads_total{outcome}`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "When the certificate ends that is shown, by the port that shows it, or without one by an agent to its relay, in seconds since 1970";
        let Validity { expiry, life } = self.validity();
        registry.register_with_unit(
            "adit_tls_certificate_expiry_timestamp",
            help,
            Unit::Seconds,
            expiry,
        );
        let help = "How long it holds in all, from its begin to its end";
        registry.register_with_unit("adit_tls_certificate_lifetime", help, Unit::Seconds, life);
        let help = "Looks at the certificate's files that found something new, or failed";
        registry.register("adit_tls_certificate_reloads", help, self.looks.reloads());
    }

    /// For handshakes in which it answers.
    pub(super) fn at_server(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::<Shown>::clone(&self.shown)
    }

    /// Has it shown in handshakes by this. Sessions are not resumed, see [`ClientTls::showing`](super::ClientTls::showing).
    pub fn show_in(&self, tls: &mut ClientConfig) {
        tls.client_auth_cert_resolver = self.at_client();
        tls.resumption = Resumption::disabled();
    }

    /// For handshakes that it begins.
    pub(super) fn at_client(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::<Shown>::clone(&self.shown)
    }

    /// For people.
    fn remaining(&self) -> String {
        let remaining = self.not_after().duration_since(SystemTime::now());
        how_long(remaining.unwrap_or(Duration::ZERO))
    }
}

impl Kept for OwnCertificate {
    type Content = Material;
    type Error = TlsError;

    fn read(&self) -> Result<Option<Material>, TlsError> {
        let material = Material::read(&self.shown.files, &self.shown.hasher)?;
        let is_shown = material.fingerprint == self.shown.material.load().fingerprint;
        Ok((!is_shown).then_some(material))
    }

    fn take(&self, material: Material) -> Result<(), TlsError> {
        self.validity.tell(&material.own);
        self.shown.material.store(Arc::new(material));
        Ok(())
    }

    fn looks(&self) -> &Looks {
        &self.looks
    }

    fn tell_replaced(&self) {
        tracing::info!(expires_in = self.remaining(), "certificate replaced");
        self.tell_doubt();
    }

    fn tell_refused(&self, error: &str) {
        let expires_in = self.remaining();
        tracing::warn!(
            error,
            expires_in,
            "certificate not reloaded, the old one stays"
        );
    }

    fn tell_mended(&self) {
        let expires_in = self.remaining();
        tracing::info!(
            expires_in,
            "certificate can be used again, and is as it was"
        );
    }
}

/// What handshakes are answered with, or begun.
#[derive(Debug)]
struct Shown {
    files: CertificateFiles,
    hasher: RandomState,
    material: ArcSwap<Material>,
    /// Who is to believe it.
    to: OnceLock<ShownTo>,
}

impl Shown {
    fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.material.load().certified)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for Shown {
    /// Also to who asks for those of other CAs: it can say then what is wrong.
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
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
