//! Decides whose certificates are believed of servers that are dialled while a process runs, and when other CAs take over.
//!
//! A relay believes issuers, GitLab, Gitaly and collectors by it, an agent its relay and its collector. The invariants: while a bundle cannot be used,
//! what it held before counts; and each handshake is checked by the CAs of its own moment. A connection that is up stays.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::client::verifier;
use super::{TlsError, TrustRoots, pem};
use crate::metrics::{Each, Reload};
use crate::reread::{Kept, Looks};

/// CAs that vouch for servers. Clones share everything.
#[derive(Clone, Debug)]
pub struct ServerRoots {
    key: &'static str,
    from: TrustRoots,
    hasher: RandomState,
    used: Arc<Used>,
    looks: Looks,
}

impl ServerRoots {
    /// Reads them; `key` is what names them in the configuration.
    ///
    /// # Errors
    /// When a bundle cannot be read, or no usable root is left.
    pub fn load(key: &'static str, from: TrustRoots) -> Result<Self, TlsError> {
        let hasher = RandomState::new();
        let fingerprint = fingerprint(&from, &hasher)?;
        let used = Believed::read(&from, fingerprint)?;
        Ok(Self {
            key,
            from,
            hasher,
            used: Arc::new(Used(ArcSwap::from_pointee(used))),
            looks: Looks::default(),
        })
    }

    /// Counted with others from now on: for who keeps them.
    #[must_use]
    pub fn counted_by(self, reloads: Each<Reload, Counter>) -> Self {
        Self {
            looks: Looks::counted_by(reloads),
            ..self
        }
    }

    /// What names them in the configuration.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// The bundle, without which there is nothing to read again.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.from.file()
    }

    /// Has handshakes by this go by them, instead of what it had. Sessions are not resumed where they may be replaced, see
    /// [`ClientTls::by`](super::ClientTls::by).
    pub fn check_in(&self, tls: &mut ClientConfig) {
        tls.dangerous().set_certificate_verifier(self.verifier());
        if self.file().is_some() {
            tls.resumption = Resumption::disabled();
        }
    }

    /// For handshakes.
    pub(super) fn verifier(&self) -> Arc<dyn ServerCertVerifier> {
        Arc::<Used>::clone(&self.used)
    }
}

impl Kept for ServerRoots {
    type Content = Believed;
    type Error = TlsError;

    fn read(&self) -> Result<Option<Believed>, TlsError> {
        let fingerprint = fingerprint(&self.from, &self.hasher)?;
        let is_used = fingerprint == self.used.0.load().fingerprint;
        (!is_used)
            .then(|| Believed::read(&self.from, fingerprint))
            .transpose()
    }

    fn take(&self, content: Believed) -> Result<(), TlsError> {
        self.used.0.store(Arc::new(content));
        Ok(())
    }

    fn looks(&self) -> &Looks {
        &self.looks
    }

    fn tell_replaced(&self) {
        tracing::info!(key = self.key, "CAs of servers replaced");
    }

    fn tell_refused(&self, error: &str) {
        tracing::warn!(
            key = self.key,
            error,
            "CAs of servers not reloaded, the old ones stay"
        );
    }

    fn tell_mended(&self) {
        tracing::info!(
            key = self.key,
            "CAs of servers can be read again, and are as they were"
        );
    }
}

/// What a bundle held.
#[derive(Debug)]
pub struct Believed {
    verifier: Arc<dyn ServerCertVerifier>,
    /// Of its content, for this process only.
    fingerprint: u64,
}

impl Believed {
    /// A bundle that changes between the two looks at it is read once more, the next time.
    fn read(from: &TrustRoots, fingerprint: u64) -> Result<Self, TlsError> {
        let verifier = verifier(from)?;
        Ok(Self {
            verifier,
            fingerprint,
        })
    }
}

fn fingerprint(from: &TrustRoots, hasher: &RandomState) -> Result<u64, TlsError> {
    let content = from.file().map(pem::read).transpose()?;
    Ok(hasher.hash_one(content.unwrap_or_default()))
}

/// Checks by what is believed by then.
#[derive(Debug)]
struct Used(ArcSwap<Believed>);

impl Used {
    fn verifier(&self) -> Arc<dyn ServerCertVerifier> {
        Arc::clone(&self.0.load().verifier)
    }
}

impl ServerCertVerifier for Used {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier().verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}
