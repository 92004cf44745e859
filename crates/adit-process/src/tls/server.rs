//! Decides which certificate is shown.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::registry::Registry;
use tokio_rustls::TlsAcceptor;

use super::TlsError;

/// Where the certificate chain and its key lie, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The files hold what is in use.
    Unchanged,
    /// New content is in use for handshakes that begin from now on.
    Replaced,
}

/// TLS for accepting. Clones share everything.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<rustls::ServerConfig>,
}

impl ServerTls {
    /// Reads and checks the files; `alpn` in order of preference.
    ///
    /// # Errors
    /// When a file cannot be used or the two do not match.
    pub fn load(files: CertificateFiles, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let _ = (files, alpn);
        todo!()
    }

    /// For connections that are accepted.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }

    /// For libraries that take a rustls config.
    #[must_use]
    pub fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads the files now. On an error the old certificate stays.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        todo!()
    }

    /// Looks at the files every 10 s, for ever; the owner runs it.
    pub fn watch(&self) -> impl Future<Output = ()> + Send + use<> {
        let this = self.clone();
        async move {
            let _ = this;
            todo!()
        }
    }

    /// When the certificate that is shown ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        todo!()
    }

    /// Registers `adit_tls_certificate_expiry_seconds` and `adit_tls_certificate_reloads_total`.
    pub fn register(&self, registry: &mut Registry) {
        let _ = registry;
        todo!()
    }
}
