//! Decides which addresses of a relay are accepted. Used by the check of the configuration.
//! Invariant: without TLS only loopback is dialled, since the agent's token travels there.

use std::str::FromStr;

use adit_process::net::{is_loopback, lacks_scheme};
use http::Uri;

/// The relay's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelayUrl {
    /// A name or an address; IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    pub(crate) allowed: Allowed,
    /// What a balancer puts before the paths of a relay: empty, or it begins with a slash and ends with none.
    pub(crate) prefix: String,
}

/// What may carry a tunnel to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// A WebSocket where HTTP/2 does not get through.
    Any,
    Http2,
    WebSocket,
}

/// Why a relay's URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRelayUrl {
    #[error("not a URL such as https://relay.example.com")]
    NotAUrl,
    #[error("https:// is missing before it")]
    NoScheme,
    #[error(
        "it must begin with https://, or with grpcs:// or wss:// for HTTP/2 or a WebSocket alone"
    )]
    Scheme,
    #[error(
        "has port 0, at which nobody can listen: leave it out for the scheme's own, or name the relay's"
    )]
    Port,
    #[error("without TLS only a relay on this machine may be dialled: begin with https://")]
    NeedsTls,
    #[error(
        "write the host and port alone: the relay has no query or user, and a path only behind wss://"
    )]
    Extra,
}

impl RelayUrl {
    /// As HTTP writes it in `:authority`: without the port where that is the scheme's own.
    pub(crate) fn authority(&self) -> String {
        if self.port == default_port(self.is_tls) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host as TLS names it.
    pub(crate) fn bare_host(&self) -> &str {
        bare(&self.host)
    }
}

impl FromStr for RelayUrl {
    type Err = BadRelayUrl;

    fn from_str(text: &str) -> Result<Self, BadRelayUrl> {
        if lacks_scheme(text) {
            return Err(BadRelayUrl::NoScheme);
        }
        let uri: Uri = text.trim().parse().map_err(|_| BadRelayUrl::NotAUrl)?;
        let (is_tls, allowed) = match uri.scheme_str() {
            Some("https") => (true, Allowed::Any),
            Some("http") => (false, Allowed::Any),
            Some("grpcs") => (true, Allowed::Http2),
            Some("grpc") => (false, Allowed::Http2),
            Some("wss") => (true, Allowed::WebSocket),
            Some("ws") => (false, Allowed::WebSocket),
            Some(_) => return Err(BadRelayUrl::Scheme),
            None => return Err(BadRelayUrl::NotAUrl),
        };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let has_place_for_path = allowed == Allowed::WebSocket || prefix.is_empty();
        let authority = uri.authority().ok_or(BadRelayUrl::NotAUrl)?;
        if authority.as_str().contains('@') || !has_place_for_path || uri.query().is_some() {
            return Err(BadRelayUrl::Extra);
        }
        let host = authority.host().to_owned();
        if host.is_empty() {
            return Err(BadRelayUrl::NotAUrl);
        }
        if !is_tls && !is_loopback(&host) {
            return Err(BadRelayUrl::NeedsTls);
        }
        let port = match authority.port_u16() {
            Some(0) => return Err(BadRelayUrl::Port),
            Some(port) => port,
            None if authority.as_str() == host => default_port(is_tls),
            // A port that is none.
            None => return Err(BadRelayUrl::NotAUrl),
        };
        Ok(Self {
            host,
            port,
            is_tls,
            allowed,
            prefix,
        })
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

const fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_and_scheme_are_read() {
        let cases = [
            (
                "https://relay.example.com",
                "relay.example.com",
                443,
                true,
                "relay.example.com",
            ),
            (
                "grpcs://relay.example.com:8443/",
                "relay.example.com",
                8443,
                true,
                "relay.example.com:8443",
            ),
            (
                "https://[2001:db8::1]:443",
                "[2001:db8::1]",
                443,
                true,
                "[2001:db8::1]",
            ),
            (
                "http://127.0.0.1:8080",
                "127.0.0.1",
                8080,
                false,
                "127.0.0.1:8080",
            ),
            ("grpc://[::1]:9", "[::1]", 9, false, "[::1]:9"),
            ("http://localhost", "localhost", 80, false, "localhost"),
        ];
        for (text, host, port, is_tls, authority) in cases {
            let url: RelayUrl = text.parse().unwrap();
            assert_eq!(
                (url.host.as_str(), url.port, url.is_tls),
                (host, port, is_tls),
                "{text}"
            );
            assert_eq!(url.authority(), authority);
        }
        assert_eq!(
            "https://[2001:db8::1]"
                .parse::<RelayUrl>()
                .unwrap()
                .bare_host(),
            "2001:db8::1"
        );
    }

    #[test]
    fn scheme_says_the_way_and_only_a_websocket_has_a_path() {
        let cases = [
            ("https://relay", Allowed::Any, ""),
            ("http://localhost/", Allowed::Any, ""),
            ("grpcs://relay", Allowed::Http2, ""),
            ("grpc://localhost", Allowed::Http2, ""),
            ("wss://relay", Allowed::WebSocket, ""),
            ("ws://localhost:1/", Allowed::WebSocket, ""),
            ("wss://relay/-/adit/", Allowed::WebSocket, "/-/adit"),
        ];
        for (text, allowed, prefix) in cases {
            let url: RelayUrl = text.parse().unwrap();
            assert_eq!(
                (url.allowed, url.prefix.as_str()),
                (allowed, prefix),
                "{text}"
            );
        }
    }

    #[test]
    fn what_would_be_unsafe_or_unused_is_refused() {
        let cases = [
            ("http://relay.example.com", BadRelayUrl::NeedsTls),
            ("grpc://10.0.0.1:80", BadRelayUrl::NeedsTls),
            ("http://127.0.0.1.example.com", BadRelayUrl::NeedsTls),
            ("ws://relay.example.com", BadRelayUrl::NeedsTls),
            ("ftp://relay.example.com", BadRelayUrl::Scheme),
            ("grpcs://relay.example.com/adit", BadRelayUrl::Extra),
            ("wss://relay.example.com/adit?x", BadRelayUrl::Extra),
            ("relay.example.com", BadRelayUrl::NoScheme),
            ("", BadRelayUrl::NotAUrl),
            ("https://relay.example.com:0", BadRelayUrl::Port),
            ("https://relay.example.com:99999", BadRelayUrl::NotAUrl),
            ("https://relay.example.com/k8s-proxy", BadRelayUrl::Extra),
            ("https://relay.example.com?x", BadRelayUrl::Extra),
            ("https://me@relay.example.com", BadRelayUrl::Extra),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<RelayUrl>(), Err(why), "{text}");
        }
    }
}
