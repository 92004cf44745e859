//! Decides how adit answers TLS handshakes: with which certificate, and whether it asks for one.
//!
//! The relay loads it at the start and has its certificate kept ([`OwnCertificate`]). The invariant:
//! nobody is turned away for a certificate that is missing or not believed; who wants one looks at
//! what was shown ([`ClientRoots`](super::ClientRoots)).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache,
    StoresServerSessions,
};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error};
use rustls::{ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::TlsAcceptor;

use super::{CertificateFiles, OwnCertificate, TlsError, protocols, provider};

/// TLS for accepting. Clones share everything.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ArcSwap<ServerConfig>>,
    terms: Arc<Terms>,
    own: OwnCertificate,
}

impl ServerTls {
    /// Reads and checks the files; `alpn` in order of preference.
    ///
    /// # Errors
    /// When a file cannot be used or the two do not match.
    pub fn load(files: CertificateFiles, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let own = OwnCertificate::load(files)?;
        let terms = Terms {
            alpn: protocols(alpn),
            tickets: Ticketer::new().map_err(TlsError::Setup)?,
            sessions: ServerSessionMemoryCache::new(SESSIONS),
        };
        let config = terms.config(&own, None)?;
        Ok(Self {
            config: Arc::new(ArcSwap::from_pointee(config)),
            terms: Arc::new(terms),
            own,
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
        self.config.load_full()
    }

    /// The certificate that is shown.
    #[must_use]
    pub const fn own(&self) -> &OwnCertificate {
        &self.own
    }

    /// From now on asks whoever calls for a certificate, which is best one of these CAs; what is shown, if anything is, its owner has
    /// the key of. The names keep browsers from asking people about other certificates that they have.
    pub(super) fn ask_for(&self, names: Vec<DistinguishedName>) -> Result<(), TlsError> {
        let config = self.terms.config(&self.own, Some(Asking(names)))?;
        self.config.store(Arc::new(config));
        Ok(())
    }
}

/// What stays as it is, whoever is asked for what.
struct Terms {
    alpn: Vec<Vec<u8>>,
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl Terms {
    fn config(
        &self,
        own: &OwnCertificate,
        asking: Option<Asking>,
    ) -> Result<ServerConfig, TlsError> {
        // Agents that all come back at once, after a restart of what lies between, resume instead of
        // paying a whole handshake each: with tickets, which hold what the client showed, and by
        // session id in TLS 1.2, but where strangers could fill the memory with what they show.
        let sessions: Arc<dyn StoresServerSessions> = match &asking {
            Some(_) => Arc::new(NoServerSessionStorage {}),
            None => Arc::clone(&self.sessions),
        };
        let clients: Arc<dyn ClientCertVerifier> = match asking {
            Some(asking) => Arc::new(asking),
            None => Arc::new(NoClientAuth),
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(own.at_server());
        config.alpn_protocols.clone_from(&self.alpn);
        config.ticketer = Arc::clone(&self.tickets);
        config.session_storage = sessions;
        Ok(config)
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("alpn", &self.alpn)
            .finish_non_exhaustive()
    }
}

/// Takes any certificate or none, if its owner proves to have the key.
#[derive(Debug)]
struct Asking(Vec<DistinguishedName>);

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.0
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes: usize = intermediates.iter().map(|one| one.len()).sum();
        if intermediates.len() > MOST_INTERMEDIATES || end_entity.len() + bytes > MOST_BYTES {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Sessions that TLS 1.2 clients may resume by id; each costs about 200 bytes.
const SESSIONS: usize = 16 * 1024;
/// More than any CA has between itself and whom it issues to: strangers' chains are looked at, too.
const MOST_INTERMEDIATES: usize = 8;
/// What a chain may have: it is kept with its connection, and goes into each ticket, which ends at 64 KiB.
const MOST_BYTES: usize = 16 * 1024;
