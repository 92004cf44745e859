//! Certificates for one run of `adit dev`: a CA that lives as long as the process, and one
//! certificate for this machine's names. The CA's key is never written.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::{io, io::Write};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    #[error("a certificate cannot be written")]
    Write(#[from] io::Error),
}

/// Where the certificates lie, all PEM.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`, for localhost and the loopback addresses.
    pub(super) fn make(folder: &Path) -> Result<Self, CertificateError> {
        let paths = Self {
            ca: folder.join("ca.pem"),
            certificate: folder.join("relay.pem"),
            key: folder.join("relay.key"),
        };
        let ca = CertifiedIssuer::self_signed(ca_params(), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = relay_params()?.signed_by(&key, &ca)?;
        fs::write(&paths.ca, ca.pem())?;
        fs::write(&paths.certificate, certificate.pem())?;
        let mut key_file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&paths.key)?;
        key_file.write_all(key.serialize_pem().as_bytes())?;
        Ok(paths)
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "adit dev CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn relay_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params
        .distinguished_name
        .push(DnType::CommonName, "adit dev relay");
    for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use adit_process::tls::{CertificateFiles, ClientTls, ServerTls, TrustRoots};
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn relay_is_believed_by_who_trusts_the_ca() {
        let folder = TempDir::new().unwrap();
        let made = Certificates::make(folder.path()).unwrap();
        let files = CertificateFiles {
            certificate: made.certificate,
            key: made.key,
        };
        let acceptor = ServerTls::load(files, &[]).unwrap().acceptor();
        let connector = ClientTls::new(&TrustRoots::Only(made.ca), &[])
            .unwrap()
            .connector();
        for name in ["localhost", "127.0.0.1", "::1"] {
            let (near, far) = tokio::io::duplex(16 * 1024);
            let name = rustls::pki_types::ServerName::try_from(name).unwrap();
            let (accepted, connected) =
                tokio::join!(acceptor.accept(far), connector.connect(name, near));
            accepted.unwrap();
            connected.unwrap();
        }
    }
}
