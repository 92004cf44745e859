//! How a collector is named in a configuration, as it is written, and checked: the section `audit.otlp`, and the same keys in `traces`.

use std::fmt;
use std::path::PathBuf;

use adit_identity::mistakes::Section;
use adit_process::net::is_loopback;
use adit_process::secret_file::{Loaded, SecretError, load};
use adit_process::tls::TrustRoots;
use http::Uri;
use serde::Deserialize;

use crate::Token;

/// A collector as a configuration names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCollector {
    /// `https://host:port` of a collector that takes OTLP over gRPC; port 4317 if none is said. Without TLS (`http://`) on loopback only.
    /// Required, if the section is there.
    pub endpoint: Option<String>,
    /// PEM bundle with the *only* authorities that may vouch for the collector. Read again when it changes; one that cannot be used
    /// changes nothing and is logged. Default: the system's CAs.
    pub ca_file: Option<PathBuf>,
    /// File with a token that the collector is shown (`Authorization: Bearer`). Read again when it changes; a file that cannot be used
    /// changes nothing and is logged.
    pub token_file: Option<PathBuf>,
}

/// What a section's keys are called in whole, for what is only found wrong when a process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// That of the endpoint.
    pub endpoint: &'static str,
    /// That of the roots.
    pub ca_file: &'static str,
    /// That of the token.
    pub token_file: &'static str,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorConfig {
    pub(crate) keys: Keys,
    pub(crate) endpoint: Endpoint,
    pub(crate) roots: TrustRoots,
    pub(crate) token_file: Option<PathBuf>,
}

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_tls: bool,
    /// A name or an address, IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl CollectorConfig {
    /// That of a section, or what is wrong with it.
    pub fn check(raw: RawCollector, keys: Keys, section: &mut Section<'_>) -> Option<Self> {
        let endpoint = match raw.endpoint {
            Some(text) => section.check("endpoint", Endpoint::parse(&text)),
            None => {
                section.mistake(
                    "endpoint",
                    "needed: the collector's URL, such as https://collector.example.com:4317",
                );
                None
            }
        };
        Some(Self {
            keys,
            endpoint: endpoint?,
            roots: raw.ca_file.map_or(TrustRoots::System, TrustRoots::Only),
            token_file: raw.token_file,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// Reads the token that the collector is shown; none where none is named.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn token(&self) -> Result<Option<Loaded<Token>>, SecretError> {
        let read = |file: &PathBuf| load(self.keys.token_file, file, Token::new);
        self.token_file.as_ref().map(read).transpose()
    }
}

/// With the key that says so.
impl fmt::Display for CollectorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.endpoint, self.keys.endpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Why an endpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEndpoint {
    #[error("not a URL with https:// and a host, such as https://collector.example.com:4317")]
    NotAUrl,
    #[error("write it without a path, user or query: this is OTLP over gRPC")]
    Extra,
    #[error("needs https://: without TLS a collector is called on loopback only, beside adit")]
    Plain,
}

impl Endpoint {
    /// What the collector sees as its own name.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }

    fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let uri: Uri = text.parse().map_err(|_| BadEndpoint::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BadEndpoint::NotAUrl);
        };
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(BadEndpoint::NotAUrl),
        };
        if authority.as_str().contains('@')
            || uri.query().is_some()
            || !matches!(uri.path(), "" | "/")
        {
            return Err(BadEndpoint::Extra);
        }
        let host = authority.host();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == host => PORT,
            // A port that is none.
            None => return Err(BadEndpoint::NotAUrl),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(BadEndpoint::NotAUrl);
        }
        if !is_tls && !is_loopback(host) {
            return Err(BadEndpoint::Plain);
        }
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port,
        })
    }
}

/// OTLP over gRPC.
const PORT: u16 = 4317;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_are_reached_by_tls_or_on_loopback() {
        for (text, is_tls, host, port) in [
            (
                "https://collector.example.com",
                true,
                "collector.example.com",
                4317,
            ),
            ("https://[2001:db8::1]:443/", true, "2001:db8::1", 443),
            ("http://localhost:4317", false, "localhost", 4317),
            ("http://[::1]", false, "::1", 4317),
            ("http://127.0.0.2:1", false, "127.0.0.2", 1),
        ] {
            let expected = Endpoint {
                is_tls,
                host: host.to_owned(),
                port,
            };
            assert_eq!(Endpoint::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_collector_is_told_why() {
        for (text, why) in [
            ("", BadEndpoint::NotAUrl),
            ("collector:4317", BadEndpoint::NotAUrl),
            ("grpc://collector:4317", BadEndpoint::NotAUrl),
            ("https://collector:99999", BadEndpoint::NotAUrl),
            ("https://collector/v1/traces", BadEndpoint::Extra),
            ("https://user:password@collector", BadEndpoint::Extra),
            ("https://collector?x=1", BadEndpoint::Extra),
            ("http://collector:4317", BadEndpoint::Plain),
            ("http://10.0.0.1", BadEndpoint::Plain),
        ] {
            assert_eq!(Endpoint::parse(text), Err(why), "{text}");
        }
    }
}
