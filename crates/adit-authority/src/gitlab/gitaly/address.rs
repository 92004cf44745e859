//! Where a Gitaly is, as GitLab writes it. Read from GitLab's answers.
//! Invariant: what is written can be dialled, or is refused here; nothing of it is guessed.

use std::{fmt, path::PathBuf, str::FromStr};

use http::uri::Authority;

/// Where to dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `tcp://host:port`, and `dns:` in its forms: names are resolved anew for each connection.
    Tcp(Box<str>, u16),
    /// `tls://host:port`.
    Tls(Box<str>, u16),
    /// `unix:/path` or `unix:///path`.
    Unix(PathBuf),
}

/// Why there is nothing to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Another scheme, or none.
    #[error("its scheme is none of tcp, tls, unix and dns")]
    Scheme,
    /// No host, or what is no host; or no port where one must be.
    #[error("it is not of the form scheme://host:port")]
    Host,
    /// A relative path, or none.
    #[error("the path of its socket is not absolute")]
    Path,
    /// `dns://server/host`.
    #[error("it names a DNS server of its own, and names are asked only of this machine's")]
    DnsServer,
}

/// Of `dns:` without one.
const DNS_PORT: u16 = 443;

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (scheme, rest) = text.split_once(':').ok_or(BadAddress::Scheme)?;
        match scheme {
            "tcp" => {
                host_and_port(after_slashes(rest)?, None).map(|(host, port)| Self::Tcp(host, port))
            }
            "tls" => {
                host_and_port(after_slashes(rest)?, None).map(|(host, port)| Self::Tls(host, port))
            }
            "dns" => host_and_port(resolved_here(rest)?, Some(DNS_PORT))
                .map(|(host, port)| Self::Tcp(host, port)),
            "unix" => path(rest).map(Self::Unix),
            _ => Err(BadAddress::Scheme),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
            Self::Tls(host, port) => write!(f, "tls://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn after_slashes(rest: &str) -> Result<&str, BadAddress> {
    rest.strip_prefix("//").ok_or(BadAddress::Host)
}

/// `host:port`, `///host:port`; between the second and the third slash stands a server.
fn resolved_here(rest: &str) -> Result<&str, BadAddress> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Ok(rest);
    };
    match rest.split_once('/') {
        Some(("", host)) => Ok(host),
        Some(_) => Err(BadAddress::DnsServer),
        None => Err(BadAddress::Host),
    }
}

fn host_and_port(text: &str, default: Option<u16>) -> Result<(Box<str>, u16), BadAddress> {
    let authority: Authority = text.parse().map_err(|_| BadAddress::Host)?;
    let host = authority.host();
    let port = match text.get(host.len()..) {
        Some("") => default,
        Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()),
        None => None,
    };
    // What stands before an `@` is no host, and makes the host shorter than what is before the port.
    match port {
        Some(port) if port > 0 && !host.is_empty() && text.starts_with(host) => {
            Ok((host.into(), port))
        }
        Some(_) | None => Err(BadAddress::Host),
    }
}

fn path(rest: &str) -> Result<PathBuf, BadAddress> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.starts_with('/') && path.len() > 1 && !path.contains('\0') {
        Ok(path.into())
    } else {
        Err(BadAddress::Path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.into(), port)
    }

    #[test]
    fn every_form_that_gitlab_knows_is_read() {
        let cases = [
            ("tcp://gitaly.internal:8075", tcp("gitaly.internal", 8075)),
            ("tcp://10.0.0.1:9999", tcp("10.0.0.1", 9999)),
            ("tcp://[fd00::1]:8075", tcp("[fd00::1]", 8075)),
            (
                "tls://gitaly.internal:9999",
                Address::Tls("gitaly.internal".into(), 9999),
            ),
            (
                "unix:/var/opt/gitlab/gitaly.socket",
                Address::Unix("/var/opt/gitlab/gitaly.socket".into()),
            ),
            (
                "unix:///var/opt/gitlab/gitaly.socket",
                Address::Unix("/var/opt/gitlab/gitaly.socket".into()),
            ),
            ("dns:///gitaly.internal:8075", tcp("gitaly.internal", 8075)),
            ("dns:gitaly.internal:8075", tcp("gitaly.internal", 8075)),
            ("dns:///gitaly.internal", tcp("gitaly.internal", 443)),
            ("dns:///[fd00::1]", tcp("[fd00::1]", 443)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_address_is_read_again_as_it_is_shown() {
        for text in ["tcp://a:1", "tls://[::1]:2", "unix:/a b"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        let cases = [
            ("", BadAddress::Scheme),
            ("gitaly.internal:8075", BadAddress::Scheme),
            ("http://gitaly.internal:8075", BadAddress::Scheme),
            ("TCP://gitaly.internal:8075", BadAddress::Scheme),
            ("tcp:gitaly.internal:8075", BadAddress::Host),
            ("tcp://gitaly.internal", BadAddress::Host),
            ("tcp://gitaly.internal:", BadAddress::Host),
            ("tcp://gitaly.internal:0", BadAddress::Host),
            ("tcp://gitaly.internal:65536", BadAddress::Host),
            ("tcp://:8075", BadAddress::Host),
            ("tcp://user@gitaly.internal:8075", BadAddress::Host),
            ("tcp://gitaly.internal:8075/path", BadAddress::Host),
            ("tls://", BadAddress::Host),
            ("dns:///", BadAddress::Host),
            ("dns://gitaly.internal:8075", BadAddress::Host),
            (
                "dns://192.0.2.1/gitaly.internal:8075",
                BadAddress::DnsServer,
            ),
            ("unix:", BadAddress::Path),
            ("unix:///", BadAddress::Path),
            ("unix:gitaly.socket", BadAddress::Path),
            ("unix://gitaly.socket", BadAddress::Path),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Address>(), Err(expected), "{text}");
        }
    }
}
