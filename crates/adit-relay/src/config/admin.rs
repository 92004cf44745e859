//! Decides what the private port is like: where it listens, and what an operator is known by.

use std::{net::SocketAddr, path::PathBuf};

use adit_identity::mistakes::{Mistakes, Section};
use adit_process::tls::CertificateFiles;

use super::{RawAdmin, port::RawPort};

/// The private port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Address and port. Default 127.0.0.1:8151: what it shows is not for everyone.
    pub address: SocketAddr,
    /// Certificate and key, reread when the files change. None: no TLS, and then a token is taken from this machine alone.
    pub tls: Option<CertificateFiles>,
    /// CAs; who shows a certificate of theirs is an operator. Default: none.
    pub client_ca_file: Option<PathBuf>,
    /// A file with the token by which an operator is known. Default: none. Without either the status is open on loopback, and shut
    /// elsewhere.
    pub token_file: Option<PathBuf>,
}

impl AdminConfig {
    /// None: there are mistakes.
    pub(super) fn check(raw: RawAdmin, mistakes: &mut Mistakes) -> Option<Self> {
        let mut admin = Section::new("admin", mistakes);
        let port = RawPort {
            address: raw.address.as_deref(),
            default_address: "127.0.0.1:8151",
            certificate: raw.certificate.as_ref(),
            key: raw.key.as_ref(),
            // Health and metrics need none, and nothing else is shown without.
            plain: None,
        };
        let (address, tls) = port.check(&mut admin);
        let is_plain = raw.certificate.is_none() && raw.key.is_none();
        if is_plain && raw.client_ca_file.is_some() {
            admin.mistake("client_ca_file", NO_TLS);
        }
        Some(Self {
            address: address?,
            tls,
            client_ca_file: raw.client_ca_file,
            token_file: raw.token_file,
        })
    }
}

const NO_TLS: &str =
    "needs admin.certificate and admin.key: without TLS nobody can show a certificate";
