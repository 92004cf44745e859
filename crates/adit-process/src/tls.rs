//! Decides with what certificate adit answers and whose certificates it believes.
//!
//! The relay's front door uses [`ServerTls`], and [`ClientRoots`] where agents must show a certificate;
//! the agent, the binary and whoever fetches an issuer's keys use [`ClientTls`], and [`ServerRoots`] while they run. aws-lc-rs is named as the provider in every builder, so that
//! no process-wide default is needed and none can be picked by accident.

mod ca_as_own;
mod certificate;
mod client;
mod client_roots;
mod error;
mod own;
mod pem;
mod pinned;
mod plain;
mod server;
mod server_roots;
mod witness;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use self::ca_as_own::{CA_AS_OWN, ShownTo, is_ca_as_own};
pub use self::certificate::Certificate;
pub use self::client::{ClientTls, TrustRoots};
pub use self::client_roots::{ClientRoots, Roots, Unproved};
pub use self::error::TlsError;
pub use self::own::{CertificateFiles, Material, OwnCertificate, Validity};
pub use self::plain::refuse_plain;
pub use self::server::ServerTls;
pub use self::server_roots::{Believed, ServerRoots};
pub use self::witness::Witness;

/// ALPN name of HTTP/2 (RFC 9113, section 3.1).
pub const H2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1 (RFC 7301, section 6).
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// The one crypto provider of adit.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// ALPN names in the form that rustls keeps them.
fn protocols(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}

/// In seconds, as metrics have it.
fn since_1970(moment: SystemTime) -> i64 {
    let since = moment.duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or(Duration::ZERO).as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
