//! Decides whether the certificate with which an agent's connection came is enough, where `tunnel.client_ca_file` wants one.
//!
//! The handshake takes any certificate or none, since jobs come by the same port; the agent's call is refused. Invariant: a chain that
//! proves nothing costs its connection one check, however many calls come by it.

use std::sync::{Arc, OnceLock};

use adit_process::tls::{ClientRoots, Unproved};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::{Agents, Denied};

/// What a client showed in its handshake. That it has the key is proved.
#[derive(Debug)]
pub(crate) struct Shown {
    chain: Box<[CertificateDer<'static>]>,
    /// Once it was found to prove nothing. Strangers choose what there is to check.
    refused: OnceLock<Unproved>,
}

impl Shown {
    fn check(&self, roots: &ClientRoots) -> Result<(), Unproved> {
        if let Some(why) = self.refused.get() {
            return Err(*why);
        }
        let checked = roots.check(&self.chain);
        checked.map_err(|why| *self.refused.get_or_init(|| why))
    }
}

impl Agents {
    /// Keeps that with a connection, if anybody is to look at it.
    pub(crate) fn shown(&self, chain: &[CertificateDer<'static>]) -> Option<Arc<Shown>> {
        let is_kept = self.client_roots.is_some() && !chain.is_empty();
        is_kept.then(|| {
            Arc::new(Shown {
                chain: chain.into(),
                refused: OnceLock::new(),
            })
        })
    }

    pub(super) fn check_certificate(&self, shown: Option<&Arc<Shown>>) -> Result<(), Denied> {
        let Some(roots) = &self.client_roots else {
            return Ok(());
        };
        let checked = match shown {
            Some(shown) => shown.check(roots),
            None => Err(Unproved::NoCertificate),
        };
        checked.map_err(Denied::Certificate)
    }

    /// Waits until no CA is believed any more that issued it; for ever where none is asked for. Cancel-safe.
    pub(super) async fn until_dropped(&self, shown: Option<&Arc<Shown>>) {
        match self.client_roots.as_ref().zip(shown) {
            Some((roots, shown)) => roots.dropped(&shown.chain).await,
            None => std::future::pending().await,
        }
    }
}
