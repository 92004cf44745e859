//! Decides with what certificate adit answers and whose certificates it believes.
//!
//! The relay's front door uses [`ServerTls`]; the agent, the binary and whoever fetches keys use
//! [`ClientTls`]. aws-lc-rs is named as the provider in each builder, so that no process-wide
//! default is needed, and none can be picked by accident.

mod client;
mod error;
mod server;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::{ClientTls, TrustRoots};
pub use error::TlsError;
pub use server::{CertificateFiles, Reloaded, ServerTls};

/// ALPN name of HTTP/2.
pub const H2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// The one crypto provider of adit.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}
