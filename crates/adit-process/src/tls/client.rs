//! Decides whose certificates adit believes when it dials.
//!
//! The agent dials the relay with it, the relay an issuer, the binary a relay. The invariant: a
//! [`ClientTls`] always checks certificate and name; there is no way to build one that does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::{TlsError, pem, protocols, provider};

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

/// TLS for dialling out. Clones share the session cache.
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
        let mut config = verifying(roots)?.with_no_client_auth();
        config.alpn_protocols = protocols(alpn);
        Ok(Self {
            config: Arc::new(config),
        })
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

fn verifying(roots: &TrustRoots) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let extra = match roots {
        TrustRoots::Only(path) => return Ok(builder.with_root_certificates(store(path)?)),
        TrustRoots::SystemAnd(path) => bundle(path)?,
        TrustRoots::System => Vec::new(),
    };
    let verifier =
        Verifier::new_with_extra_roots(extra, provider()).map_err(TlsError::SystemRoots)?;
    // "Dangerous" is any verifier that is not rustls's default; this one checks all that it does.
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
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

fn add(
    store: &mut RootCertStore,
    path: &Path,
    certificate: CertificateDer<'static>,
) -> Result<(), TlsError> {
    store.add(certificate).map_err(|source| TlsError::Root {
        path: path.to_owned(),
        source,
    })
}
