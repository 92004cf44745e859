//! A relay's address as a user writes it. The invariant: a token is sent to it only over TLS, or
//! to this machine itself.

use std::fmt;
use std::str::FromStr;

use adit_process::net::{is_loopback, lacks_scheme};
use http::Uri;
use http::uri::Scheme;

/// Scheme, host and port of a relay; written without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelayUrl(String);

impl RelayUrl {
    /// Where the relay answers the Kubernetes API: a kubeconfig's `server`.
    pub(crate) fn kubernetes(&self) -> String {
        format!("{}/k8s-proxy", self.0)
    }

    /// Scheme, host and port, apart.
    pub(crate) fn parts(&self) -> Parts {
        let url: Uri = self.0.parse().expect("it was one when it was read");
        Parts::of(&url).expect("tokens may be sent to it, as when it was read")
    }

    /// Where it tells which agents a token may use.
    pub(crate) fn agents(&self) -> String {
        format!("{}/adit/v1/agents", self.0)
    }
}

/// Whom to dial: the address of a relay, or of another who is shown a token, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) is_tls: bool,
    /// IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Parts {
    /// Of a whole URL, if a token may be sent to it.
    pub(super) fn of(url: &Uri) -> Option<Self> {
        let (scheme, host) = (url.scheme()?, url.host()?);
        let is_tls = *scheme == Scheme::HTTPS;
        let is_safe = is_tls || (*scheme == Scheme::HTTP && is_loopback(host));
        is_safe.then(|| Self {
            is_tls,
            host: host.to_owned(),
            port: url.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
        })
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no relay's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRelayUrl {
    #[error("not a URL such as https://relay.example.com")]
    Form,
    #[error("https:// is missing before it")]
    NoScheme,
    #[error(
        "must begin with https:// (http:// only for this machine, because kubectl sends no token over it)"
    )]
    Scheme,
    #[error(
        "has port 0, at which nobody can listen: leave it out for that of https, 443, or name the relay's"
    )]
    Port,
    #[error("must be the relay's root, without path, query or user name")]
    NotRoot,
}

impl FromStr for RelayUrl {
    type Err = BadRelayUrl;

    fn from_str(text: &str) -> Result<Self, BadRelayUrl> {
        if lacks_scheme(text) {
            return Err(BadRelayUrl::NoScheme);
        }
        let uri: Uri = text.trim().parse().map_err(|_| BadRelayUrl::Form)?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(BadRelayUrl::Form);
        };
        if Parts::of(&uri).is_none() {
            return Err(BadRelayUrl::Scheme);
        }
        if authority.port_u16() == Some(0) {
            return Err(BadRelayUrl::Port);
        }
        // People paste what stands in another kubeconfig.
        let is_root = matches!(uri.path().trim_end_matches('/'), "" | "/k8s-proxy");
        if !is_root || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(BadRelayUrl::NotRoot);
        }
        Ok(Self(format!("{scheme}://{authority}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, BadRelayUrl> {
        text.parse::<RelayUrl>().map(|url| url.to_string())
    }

    #[test]
    fn root_of_a_relay_is_taken_with_or_without_the_api_prefix() {
        for text in [
            "https://relay.test:8443",
            "https://relay.test:8443/",
            "https://relay.test:8443/k8s-proxy/",
        ] {
            assert_eq!(parsed(text).unwrap(), "https://relay.test:8443");
        }
        let url: RelayUrl = "https://relay.test".parse().unwrap();
        assert_eq!(url.kubernetes(), "https://relay.test/k8s-proxy");
        let parts = url.parts();
        assert_eq!((parts.host.as_str(), parts.port), ("relay.test", 443));
    }

    #[test]
    fn token_goes_without_tls_to_this_machine_only() {
        assert_eq!(
            parsed("http://127.0.0.1:80").unwrap(),
            "http://127.0.0.1:80"
        );
        assert_eq!(parsed("http://[::1]:80").unwrap(), "http://[::1]:80");
        assert_eq!(parsed("http://localhost").unwrap(), "http://localhost");
        assert_eq!(parsed("http://relay.test"), Err(BadRelayUrl::Scheme));
        assert_eq!(
            parsed("http://localhost.evil.test"),
            Err(BadRelayUrl::Scheme)
        );
        assert_eq!(parsed("wss://relay.test"), Err(BadRelayUrl::Scheme));
    }

    #[test]
    fn what_is_no_root_is_refused() {
        assert_eq!(
            parsed("https://relay.test/other"),
            Err(BadRelayUrl::NotRoot)
        );
        assert_eq!(parsed("https://relay.test/?a=b"), Err(BadRelayUrl::NotRoot));
        assert_eq!(parsed("https://me@relay.test/"), Err(BadRelayUrl::NotRoot));
        assert_eq!(parsed("relay.test"), Err(BadRelayUrl::NoScheme));
        assert_eq!(parsed("relay.test:8150/"), Err(BadRelayUrl::NoScheme));
        assert_eq!(parsed("/relay"), Err(BadRelayUrl::Form));
        assert_eq!(parsed(""), Err(BadRelayUrl::Form));
    }
}
