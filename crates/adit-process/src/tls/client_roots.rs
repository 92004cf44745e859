//! Decides whether the certificate that a client showed proves anything. The relay asks so about agents, when they call.
//!
//! The invariant: the file's CAs are those that count, all of them or, while it cannot be used, those of before; and a check is by
//! the CAs and the clock of its own moment, whenever the certificate was shown.

use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::client::add;
use super::{Certificate, ServerTls, TlsError, pem, provider};
use crate::reread::{Kept, Looks};

/// CAs that issue to clients. Clones share everything.
#[derive(Clone, Debug)]
pub struct ClientRoots {
    file: PathBuf,
    hasher: RandomState,
    used: watch::Sender<Arc<Roots>>,
    /// Where they are asked for.
    tls: ServerTls,
    looks: Looks,
}

/// Why a client proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// It showed nothing.
    #[error("no client certificate was shown")]
    NoCertificate,
    /// Somebody else issued it.
    #[error("none of the CAs that are believed has issued the client certificate")]
    UnknownCa,
    /// It, or one between it and its CA, is over.
    #[error("the client certificate has expired")]
    Expired,
    /// Likewise, from when on it holds.
    #[error("the client certificate does not hold yet")]
    NotYet,
    /// It is a server's.
    #[error("the client certificate is not for client authentication")]
    OtherUse,
    /// It is none that can be used.
    #[error("the client certificate cannot be used")]
    Unusable,
}

impl ClientRoots {
    /// Reads a file with one CA or several, and has `tls` ask clients for certificates of theirs.
    ///
    /// # Errors
    /// When it cannot be read, or holds what can vouch for nobody: neither a CA nor a client that has signed its certificate itself.
    pub fn load(file: PathBuf, tls: &ServerTls) -> Result<Self, TlsError> {
        let hasher = RandomState::new();
        let roots = Roots::read(&file, &hasher)?;
        tls.ask_for(roots.store.subjects())?;
        Ok(Self {
            file,
            hasher,
            used: watch::Sender::new(Arc::new(roots)),
            tls: tls.clone(),
            looks: Looks::default(),
        })
    }

    /// Whether they vouch for who showed this, now.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self, shown: &[CertificateDer<'_>]) -> Result<(), Unproved> {
        self.used().check(shown, UnixTime::now())
    }

    /// Waits until a change of the file leaves no CA that vouches for who showed this now; that it expires meanwhile is no change.
    /// Cancel-safe.
    pub async fn dropped(&self, shown: &[CertificateDer<'_>]) {
        // At a later time what has expired would be told before whose it is, and a chain can hold what has.
        let (mut changes, now) = (self.used.subscribe(), UnixTime::now());
        loop {
            let used = Arc::clone(&changes.borrow_and_update());
            if used.check(shown, now).is_err() {
                return;
            }
            if changes.changed().await.is_err() {
                // Never: the sender is in `self`.
                pending::<()>().await;
            }
        }
    }

    /// The CAs.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.used().certificates.clone()
    }

    /// Why the file could not be used when it was last looked at, if that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.looks.trouble()
    }

    /// The first of them that ends.
    #[must_use]
    pub fn first_to_end(&self) -> Option<Certificate> {
        let roots = self.used();
        let first = roots.certificates.iter().min_by_key(|ca| ca.not_after);
        first.cloned()
    }

    fn used(&self) -> Arc<Roots> {
        Arc::clone(&self.used.borrow())
    }
}

impl Kept for ClientRoots {
    type Content = Roots;
    type Error = TlsError;

    fn read(&self) -> Result<Option<Roots>, TlsError> {
        let roots = Roots::read(&self.file, &self.hasher)?;
        let is_used = roots.fingerprint == self.used().fingerprint;
        Ok((!is_used).then_some(roots))
    }

    fn take(&self, roots: Roots) -> Result<(), TlsError> {
        self.tls.ask_for(roots.store.subjects())?;
        self.used.send_replace(Arc::new(roots));
        Ok(())
    }

    fn looks(&self) -> &Looks {
        &self.looks
    }

    fn tell_replaced(&self) {
        let cas = self.used().certificates.len();
        tracing::info!(cas, "CAs of clients replaced");
    }

    fn tell_refused(&self, error: &str) {
        tracing::warn!(error, "CAs of clients not reloaded, the old ones stay");
    }

    fn tell_mended(&self) {
        tracing::info!("CAs of clients can be read again, and are as they were");
    }
}

/// What a file held.
#[derive(Debug)]
pub struct Roots {
    verifier: Arc<dyn ClientCertVerifier>,
    store: Arc<RootCertStore>,
    certificates: Vec<Certificate>,
    /// Of its content, for this process only.
    fingerprint: u64,
}

impl Roots {
    fn read(file: &Path, hasher: &RandomState) -> Result<Self, TlsError> {
        let content = pem::read(file)?;
        let (mut store, mut certificates) = (RootCertStore::empty(), Vec::new());
        for certificate in pem::certificates(file, &content)? {
            let unread = || TlsError::Validity {
                path: file.to_owned(),
            };
            let read = Certificate::read(&certificate).ok_or_else(unread)?;
            // rustls takes any for a root. One that is no CA's vouches for itself alone, and that only where it names itself as its issuer.
            if !read.is_ca && !read.is_self_issued {
                return Err(TlsError::NoCa {
                    path: file.to_owned(),
                    subject: read.subject,
                });
            }
            certificates.push(read);
            add(&mut store, file, certificate)?;
        }
        let store = Arc::new(store);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&store), provider()).build();
        let refused = |error: rustls::client::VerifierBuilderError| {
            TlsError::Setup(Error::General(error.to_string()))
        };
        Ok(Self {
            verifier: verifier.map_err(refused)?,
            store,
            certificates,
            fingerprint: hasher.hash_one(&content),
        })
    }

    fn check(&self, shown: &[CertificateDer<'_>], at: UnixTime) -> Result<(), Unproved> {
        let (own, between) = shown.split_first().ok_or(Unproved::NoCertificate)?;
        let verified = self.verifier.verify_client_cert(own, between, at);
        verified.map(drop).map_err(|error| why(&error))
    }
}

fn why(error: &Error) -> Unproved {
    use CertificateError as Fault;
    let Error::InvalidCertificate(fault) = error else {
        return Unproved::Unusable;
    };
    // A CA of the same name, with another key, has made a signature that is bad here.
    if matches!(fault, Fault::UnknownIssuer | Fault::BadSignature) {
        return Unproved::UnknownCa;
    }
    if matches!(fault, Fault::Expired | Fault::ExpiredContext { .. }) {
        return Unproved::Expired;
    }
    if matches!(fault, Fault::NotValidYet | Fault::NotValidYetContext { .. }) {
        return Unproved::NotYet;
    }
    if matches!(
        fault,
        Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. }
    ) {
        return Unproved::OtherUse;
    }
    Unproved::Unusable
}
