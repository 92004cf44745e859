//! Tells when a server shows a CA's own certificate as its own, as plain `openssl req -x509` makes it. kubectl takes that; no program that
//! checks by rustls does, adit's agents among them, whatever they believe.
//!
//! Asked by whoever explains a handshake that failed, and told by the relay that shows such a one.

use rustls::CertificateError;

/// Whether that is why a server's certificate is not believed.
#[must_use]
pub fn is_ca_as_own(fault: &CertificateError) -> bool {
    // The crate that found it has no name here: it says so in a word, and a test has it say it.
    matches!(fault, CertificateError::Other(why) if why.to_string() == "CaUsedAsEndEntity")
}

/// What to do about it.
pub const CA_AS_OWN: &str = "it is a CA's own certificate, as plain `openssl req -x509` makes it: issue one for the relay from it, or make it anew with `-addext basicConstraints=critical,CA:FALSE` (docs/install.md)";
