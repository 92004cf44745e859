//! Decides whose certificates adit believes when it dials.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsConnector;

use super::TlsError;

/// Which root certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustRoots {
    /// Those of the operating system (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    #[default]
    System,
    /// Those in this PEM bundle only.
    Only(PathBuf),
    /// The operating system's, and those in this PEM bundle.
    SystemAnd(PathBuf),
}

/// TLS for dialling out. Clones share the session cache.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<rustls::ClientConfig>,
}

impl ClientTls {
    /// Reads the roots once; `alpn` in order of preference, empty for none.
    ///
    /// # Errors
    /// When the bundle cannot be read, or no usable root is left.
    pub fn new(roots: &TrustRoots, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let _ = (roots, alpn);
        todo!()
    }

    /// For libraries that take a rustls config.
    #[must_use]
    pub fn config(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.config)
    }

    /// For a socket that is connected already.
    #[must_use]
    pub fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.config())
    }
}
