//! Decides where a port listens, and which certificate it shows. Each section of the file that is about a port asks here.
//! Invariant: what is not on loopback has TLS, unless it was said that it is to have none.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use adit_identity::mistakes::{Mistakes, Section};
use adit_process::tls::CertificateFiles;

/// What a section says of a port that may have TLS, and what goes without saying.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawPort<'a> {
    pub(super) address: Option<&'a str>,
    pub(super) default_address: &'a str,
    pub(super) certificate: Option<&'a PathBuf>,
    pub(super) key: Option<&'a PathBuf>,
    /// Why it needs TLS beyond loopback. Nothing: it was said on purpose that it does not.
    pub(super) plain: Option<&'a str>,
}

impl RawPort<'_> {
    /// An address that cannot be read hides no mistake about TLS. None for TLS: the port is plain, and on loopback or on
    /// purpose.
    pub(super) fn check(
        self,
        section: &mut Section<'_>,
    ) -> (Option<SocketAddr>, Option<CertificateFiles>) {
        let address = address(self.address, self.default_address, section);
        let is_open = address.is_some_and(|address| !address.ip().is_loopback());
        (address, self.tls(is_open, section))
    }

    fn tls(self, is_open: bool, section: &mut Section<'_>) -> Option<CertificateFiles> {
        match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => {
                return Some(CertificateFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                });
            }
            (None, None) => {
                if let Some(why) = self.plain.filter(|_| is_open) {
                    section.mistake("certificate", why);
                }
            }
            (Some(_), None) => section.mistake("key", "needed with a certificate"),
            (None, Some(_)) => section.mistake("certificate", "needed with a key"),
        }
        None
    }
}

/// Tells of ports that would listen in one place, of which only the first could: each section's address, if it has one that is right.
pub(super) fn apart(ports: &[(&str, Option<SocketAddr>)], mistakes: &mut Mistakes) {
    for (at, (section, address)) in ports.iter().enumerate() {
        let clashes = |(_, earlier): &&(&str, Option<SocketAddr>)| {
            address
                .zip(*earlier)
                .is_some_and(|(one, other)| is_one_place(one, other))
        };
        let earlier = ports.iter().take(at).find(clashes);
        if let (Some(address), Some((other, Some(taken)))) = (address, earlier) {
            let what = format_args!(
                "{address} is taken by {other}.address, {taken}: give one of both another port"
            );
            Section::new(section, mistakes).mistake("address", what);
        }
    }
}

/// Port 0 is any that is free.
fn is_one_place(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (ip == other_ip || holds(ip, other_ip) || holds(other_ip, ip))
}

/// `[::]` takes what comes by IPv4, too.
const fn holds(ip: IpAddr, other: IpAddr) -> bool {
    ip.is_unspecified() && (ip.is_ipv6() || other.is_ipv4())
}

/// A section's address.
fn address(text: Option<&str>, default: &str, section: &mut Section<'_>) -> Option<SocketAddr> {
    let text = text.unwrap_or(default);
    let parsed = text.parse::<SocketAddr>();
    section.check(
        "address",
        parsed.map_err(|_| {
            format!("`{text}` is not an address and port, such as 0.0.0.0:8150 or [::]:8150: a name is not taken")
        }),
    )
}
