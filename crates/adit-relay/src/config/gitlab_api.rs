//! The port that GitLab calls, checked, with every default in one place.

use std::{net::SocketAddr, path::PathBuf};

use adit_identity::mistakes::{Key, Mistakes, Section};
use adit_process::tls::CertificateFiles;

use super::{port::RawPort, raw::RawGitLabApi};

/// The port that GitLab calls: who is connected, and that somebody has pushed.
#[derive(Clone, Debug)]
pub struct GitLabApiConfig {
    /// Address and port; 0 takes any free one. Default 127.0.0.1:8153, as GitLab's own agent server has it.
    pub address: SocketAddr,
    /// Certificate and key, reread when the files change. None: no TLS, and then the address must be loopback.
    pub tls: Option<CertificateFiles>,
    /// Where the secret is that GitLab proves itself with. Default: the one that the relay proves itself with to GitLab,
    /// `authorities.gitlab.api_secret_file`; GitLab has one for both.
    pub secret_file: Option<PathBuf>,
    /// Connections at once. Default 1,000: each process of GitLab's keeps one.
    pub connections: usize,
}

/// What else of the file it hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) has_gitlab: bool,
    pub(super) has_secret: bool,
}

impl GitLabApiConfig {
    pub(super) fn check(
        raw: RawGitLabApi,
        around: Around,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let key = Key::root().field("gitlab_api");
        let mut section = Section::at(key.clone(), mistakes);
        let port = RawPort {
            address: raw.address.as_deref(),
            default_address: DEFAULT_ADDRESS,
            certificate: raw.certificate.as_ref(),
            key: raw.key.as_ref(),
            plain: Some(PLAIN),
        };
        let (address, tls) = port.check(&mut section);
        let connections = section.count("connections", raw.connections, 1_000, 1..=100_000);
        if !around.has_gitlab {
            mistakes.add(
                &key,
                "needs authorities.gitlab: without it no agent here is one that GitLab knows",
            );
        } else if !around.has_secret && raw.secret_file.is_none() {
            section.mistake(
                "secret_file",
                "needed, as authorities.gitlab.api_secret_file is not there: without it the relay could not tell GitLab from anybody else",
            );
        }
        Some(Self {
            address: address?,
            tls,
            secret_file: raw.secret_file,
            connections,
        })
    }
}

const DEFAULT_ADDRESS: &str = "127.0.0.1:8153";
const PLAIN: &str = "needed: without TLS the relay listens on loopback only, or whoever is on the way could read GitLab's proofs, and show them";
