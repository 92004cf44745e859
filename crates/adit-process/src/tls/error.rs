//! The ways in which TLS material can be wrong; every variant names the file, none shows its content.

use std::path::PathBuf;

/// Why TLS material could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not the PEM that it should be.
    #[error("{} is not valid PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: rustls_pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The first certificate's key is not the key given, or either cannot be used.
    #[error("the key in {} cannot be used with the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file with the certificate chain.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The first certificate's end of validity cannot be read.
    #[error("the certificate in {} has no readable end of validity", path.display())]
    Validity {
        /// The file.
        path: PathBuf,
    },
    /// No usable root certificate, or the verifier cannot be built from them.
    #[error("cannot build a verifier from the trusted roots")]
    Roots(#[source] rustls::Error),
    /// rustls refuses the settings; a defect of this crate.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}
