//! Decides what is read again, while the agent runs, of the files by which it and the API server prove themselves to each other: a CA,
//! and a client certificate with its key. Made by [`super::Kube::load`]; the owner of a [`Kube`] has them kept.
//! Invariant: a file that cannot be used changes nothing; and what runs goes on, whatever is replaced.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use adit_process::reread::{Kept, Looks};
use adit_process::tls::{
    Certificate, CertificateFiles, Material, OwnCertificate, ServerRoots, TlsError, TrustRoots,
    Validity,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::Scheme;
use prometheus_client::metrics::counter::Counter;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Kube;
use super::endpoint::EndpointError;
use crate::metrics::Metrics;

/// What lies in files and decides about TLS with the API server. Of what stands in a kubeconfig itself only its validity is among it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    roots: Option<ServerRoots>,
    own: Option<OwnCertificate>,
    /// The client certificate's.
    validity: Option<Validity>,
}

/// The client certificate, as it is kept.
pub(crate) struct ClientCertificate {
    own: OwnCertificate,
    kube: Arc<Kube>,
    failures: Counter,
    looks: Looks,
}

impl Files {
    /// Those that are named.
    pub(super) fn load(
        kube: &kube_client::Config,
        metrics: &Metrics,
    ) -> Result<Self, EndpointError> {
        if kube.cluster_url.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Self::default());
        }
        let roots = kube.root_cert_file.clone().map(|file| {
            let roots = ServerRoots::load(CA, TrustRoots::Only(file))?;
            Ok::<_, TlsError>(roots.counted_by(metrics.server_ca_reloads.clone()))
        });
        let own = client_certificate(kube).map(OwnCertificate::load);
        let own = own.transpose().map_err(EndpointError::Certificate)?;
        let validity = own.as_ref().map(OwnCertificate::validity);
        Ok(Self {
            roots: roots.transpose().map_err(EndpointError::Ca)?,
            validity: validity.or_else(|| validity_within(kube)),
            own,
        })
    }

    /// Has handshakes go by them.
    pub(super) fn decide(&self, tls: &mut ClientConfig) {
        if let Some(roots) = &self.roots {
            roots.check_in(tls);
        }
        if let Some(own) = &self.own {
            own.show_in(tls);
        }
    }

    /// Until when the client certificate holds that the API server is shown; nothing without one, or of a plugin's.
    pub(crate) fn validity(&self) -> Option<Validity> {
        self.validity.clone()
    }

    /// By whom the API server is believed.
    pub(crate) const fn roots(&self) -> Option<&ServerRoots> {
        self.roots.as_ref()
    }
}

impl ClientCertificate {
    /// The one that this API server is shown.
    pub(crate) fn of(kube: &Arc<Kube>, metrics: &Metrics) -> Option<Self> {
        Some(Self {
            own: kube.files().own.clone()?,
            kube: Arc::clone(kube),
            failures: metrics.credential_failures.clone(),
            looks: Looks::default(),
        })
    }
}

impl Kept for ClientCertificate {
    type Content = Material;
    type Error = TlsError;

    fn read(&self) -> Result<Option<Material>, TlsError> {
        let read = self.own.read();
        read.inspect_err(|_| {
            self.failures.inc();
        })
    }

    /// A connection shows what it began with, until it ends: an API server looks at the end of that with each request.
    fn take(&self, material: Material) -> Result<(), TlsError> {
        self.own.take(material)?;
        self.kube.pool.retire();
        Ok(())
    }

    fn looks(&self) -> &Looks {
        &self.looks
    }

    fn tell_replaced(&self) {
        tracing::info!("client certificate for the API server replaced");
    }

    fn tell_refused(&self, error: &str) {
        tracing::warn!(
            error,
            "client certificate for the API server not reloaded, the old one stays"
        );
    }

    fn tell_mended(&self) {
        tracing::info!("client certificate for the API server can be used again, and is as it was");
    }
}

/// One in files, both parts of it, and which no plugin's comes before.
fn client_certificate(kube: &kube_client::Config) -> Option<CertificateFiles> {
    let auth = &kube.auth_info;
    let has_other = auth.client_certificate_data.is_some()
        || auth.client_key_data.is_some()
        || auth.exec.is_some();
    let (certificate, key) = (auth.client_certificate.as_ref()?, auth.client_key.as_ref()?);
    (!has_other).then(|| CertificateFiles {
        certificate: PathBuf::from(certificate),
        key: PathBuf::from(key),
    })
}

/// Of one that stands in the kubeconfig itself, or whose key does: it is shown until the agent ends.
fn validity_within(kube: &kube_client::Config) -> Option<Validity> {
    let auth = &kube.auth_info;
    // One in a file is here when its key is none.
    let pem = match (&auth.client_certificate_data, &auth.client_certificate) {
        (Some(data), _) => STANDARD.decode(data).ok(),
        (None, Some(path)) => fs::read(path).ok(),
        (None, None) => None,
    };
    let pem = pem.filter(|_| auth.exec.is_none())?;
    let own = CertificateDer::from_pem_slice(&pem).ok()?;
    Certificate::read(&own).as_ref().map(Validity::of)
}

/// What logs call it.
const CA: &str = "the API server's certificate-authority";
