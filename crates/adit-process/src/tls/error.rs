//! The ways in which TLS material can be wrong: each names the file, none shows what is in it.

use std::path::PathBuf;

use crate::told::whole;

/// Why TLS material could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", whole(path).display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not PEM, or holds no private key where there should be one.
    #[error("{} is not the PEM it should be", path.display())]
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
    /// The key is not that of the first certificate, or one of the two cannot be used.
    #[error("the key in {} cannot be used with the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file with the certificate chain.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The end of the first certificate's validity cannot be read.
    #[error("the certificate in {} has no readable end of validity", path.display())]
    Validity {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in a bundle cannot be used as a root.
    #[error("{} holds a certificate that cannot be a root", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A certificate in a file with CAs of clients is none's, nor does it vouch for itself.
    #[error("{} holds a certificate of `{subject}`, which is no CA's, and which another has issued, so that it vouches for nobody: put that of the CA there which has issued those of the clients", path.display())]
    NoCa {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        subject: String,
    },
    /// The system's roots cannot be used.
    #[error("the system's root certificates cannot be used")]
    SystemRoots(#[source] rustls::Error),
    /// rustls refuses the settings: a defect of this crate.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}
