//! Decides whose certificates adit believes when it dials.
//!
//! The agent dials the relay with it, the relay an issuer, the binary a relay. The invariant: a
//! [`ClientTls`] always checks certificate and name; there is no way to build one that does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::{
    OwnCertificate, ServerRoots, TlsError, Witness, pem, pinned::Pinned, protocols, provider,
};

/// Which root certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustRoots {
    /// Those of the operating system; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
    #[default]
    System,
    /// Those in this PEM bundle and no others.
    Only(PathBuf),
    /// The operating system's and those in this PEM bundle.
    SystemAnd(PathBuf),
}

impl TrustRoots {
    /// The bundle.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::System => None,
            Self::Only(file) | Self::SystemAnd(file) => Some(file),
        }
    }
}

/// TLS for dialling out. Clones share the session cache, if there is one.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads the roots, once; `alpn` in order of preference, empty for none.
    ///
    /// # Errors
    /// When a bundle cannot be read, or no usable root is left.
    pub fn new(roots: &TrustRoots, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        Self::checking_by(verifier(roots)?, alpn)
    }

    /// By roots that may be replaced meanwhile. Sessions are not resumed where they may: a peer that was believed once would not be
    /// checked again.
    ///
    /// # Errors
    /// When rustls refuses the settings.
    pub fn by(roots: &ServerRoots, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let tls = Self::checking_by(roots.verifier(), alpn)?;
        Ok(match roots.file() {
            Some(_) => tls.without_resumption(),
            None => tls,
        })
    }

    /// Of roots that are read once, and what peers showed, whether they were believed or not: for whoever has to tell people why.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn witnessed(roots: &TrustRoots, alpn: &[&[u8]]) -> Result<(Self, Arc<Witness>), TlsError> {
        let witness = Arc::new(Witness::of(verifier(roots)?));
        let tls = Self::checking_by(Arc::<Witness>::clone(&witness), alpn)?;
        Ok((tls, witness))
    }

    /// Believes who shows the first certificate of this file, byte for byte, under whatever name; and what was shown, believed or not.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn pinned(certificate: &Path, alpn: &[&[u8]]) -> Result<(Self, Arc<Witness>), TlsError> {
        let chain = pem::certificates(certificate, &pem::read(certificate)?)?;
        let none = || TlsError::NoCertificate {
            path: certificate.to_owned(),
        };
        let own = chain.into_iter().next().ok_or_else(none)?;
        let witness = Arc::new(Witness::of(Arc::new(Pinned(own))));
        let tls = Self::checking_by(Arc::<Witness>::clone(&witness), alpn)?;
        Ok((tls, witness))
    }

    fn checking_by(
        verifier: Arc<dyn ServerCertVerifier>,
        alpn: &[&[u8]],
    ) -> Result<Self, TlsError> {
        // "Dangerous" is any verifier that is handed over; each of ours checks all that rustls's own does.
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = protocols(alpn);
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The same, and shows who asks for it this certificate, if there is one, as it is by then. Sessions are not resumed: the peer would go
    /// by the certificate that it was shown when they began.
    #[must_use]
    pub fn showing(self, own: Option<&OwnCertificate>) -> Self {
        let Some(own) = own else {
            return self;
        };
        let mut config = Arc::unwrap_or_clone(self.config);
        own.show_in(&mut config);
        Self {
            config: Arc::new(config),
        }
    }

    fn without_resumption(self) -> Self {
        let mut config = Arc::unwrap_or_clone(self.config);
        config.resumption = Resumption::disabled();
        Self {
            config: Arc::new(config),
        }
    }

    /// For libraries that take a rustls config.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// For a socket that is connected already.
    #[must_use]
    pub fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.config())
    }
}

pub(super) fn verifier(roots: &TrustRoots) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let extra = match roots {
        TrustRoots::Only(path) => {
            let roots = Arc::new(store(path)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
            let refused = |error: VerifierBuilderError| rustls::Error::General(error.to_string());
            return verifier
                .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
                .map_err(|error| TlsError::Setup(refused(error)));
        }
        TrustRoots::SystemAnd(path) => bundle(path)?,
        TrustRoots::System => Vec::new(),
    };
    let verifier =
        Verifier::new_with_extra_roots(extra, provider()).map_err(TlsError::SystemRoots)?;
    Ok(Arc::new(verifier))
}

fn store(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in bundle(path)? {
        add(&mut store, path, certificate)?;
    }
    Ok(store)
}

/// The certificates of a bundle, each tried as a root, so that the error can name the file.
fn bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = pem::certificates(path, &pem::read(path)?)?;
    for certificate in &certificates {
        add(&mut RootCertStore::empty(), path, certificate.clone())?;
    }
    Ok(certificates)
}

pub(super) fn add(
    store: &mut RootCertStore,
    path: &Path,
    certificate: CertificateDer<'static>,
) -> Result<(), TlsError> {
    store.add(certificate).map_err(|source| TlsError::Root {
        path: path.to_owned(),
        source,
    })
}
