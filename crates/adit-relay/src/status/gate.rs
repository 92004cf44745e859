//! Decides who may see a relay's status: everybody on this machine; or whoever shows the token that `admin.token_file` holds, or a client
//! certificate of `admin.client_ca_file`.
//!
//! Asked for each request to `/status`. Invariants: what is not on loopback is shown to nobody without a proof. That goes by the address
//! that is listened on: a proxy in the same pod makes every peer's look like loopback. And no token is looked at that came over a network
//! in clear: who tries learns at once what is missing.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use adit_authority::Secrets;
use adit_process::{
    admin::{Asker, Way},
    tls::{ClientRoots, Unproved},
};
use axum::http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE},
};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Who comes in.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// The port is on this machine alone.
    is_local: bool,
    /// Who shows one of these.
    secrets: Option<Arc<Secrets>>,
    /// Who shows a certificate of theirs.
    clients: Option<ClientRoots>,
}

/// By what somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A client certificate.
    Certificate,
    /// The token.
    Token,
    /// Being on this machine.
    Machine,
}

/// Why somebody does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Outside {
    #[error("{TOKEN}")]
    NoToken,
    #[error("{0}: show one that a CA of admin.client_ca_file of the relay has issued")]
    NoCertificate(Unproved),
    #[error("{0}. Show one that a CA of admin.client_ca_file of the relay has issued, or {TOKEN}")]
    NoProof(Unproved),
    #[error(
        "the private port is not on loopback, and there is nothing that would open this page: set admin.token_file of the relay, or admin.client_ca_file"
    )]
    Shut,
    #[error(
        "the private port has no certificate, so a token would cross the network in clear: set admin.certificate and admin.key of the relay, or come by its loopback, as `kubectl port-forward` does"
    )]
    Open,
    #[error("ask by address, or for localhost: under another name this page is not served")]
    Name,
}

const TOKEN: &str = "show the token that admin.token_file of the relay holds: `Authorization: Bearer <token>`, or as the password in a browser, with any name";

impl Gate {
    /// For a port that listens there.
    pub(crate) fn new(
        address: SocketAddr,
        secrets: Option<Arc<Secrets>>,
        clients: Option<ClientRoots>,
    ) -> Self {
        Self {
            is_local: address.ip().is_loopback(),
            secrets,
            clients,
        }
    }

    /// Whether somebody with these headers comes in, and by what.
    pub(crate) fn check(&self, asker: &Asker, headers: &HeaderMap) -> Result<Proof, Outside> {
        let unproved = match self.clients.as_ref().map(|cas| cas.check(&asker.shown)) {
            Some(Ok(())) => return Ok(Proof::Certificate),
            Some(Err(why)) => Some(why),
            None => None,
        };
        if asker.way == Way::Open {
            return Err(Outside::Open);
        }
        match (&self.secrets, unproved) {
            (Some(secrets), unproved) => match shown(headers) {
                Some(token) if secrets.accept(&token) => Ok(Proof::Token),
                Some(_) | None => Err(unproved.map_or(Outside::NoToken, Outside::NoProof)),
            },
            (None, Some(why)) => Err(Outside::NoCertificate(why)),
            (None, None) if !self.is_local => Err(Outside::Shut),
            (None, None) if is_addressed(headers) => Ok(Proof::Machine),
            (None, None) => Err(Outside::Name),
        }
    }
}

/// Whether the host that is asked for is an address, or this machine: a web page whose name was made to mean loopback asks by its name.
fn is_addressed(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let is_address = host.parse::<SocketAddr>().is_ok()
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok();
    is_address || host.split(':').next() == Some("localhost")
}

/// The token that is shown: by itself, or as a browser does it, which asks its user for a name and a password. The name does not matter.
fn shown(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else {
        return None;
    };
    if let Some(token) = value.as_bytes().strip_prefix(b"Bearer ") {
        return Some(token.into());
    }
    let both = value.as_bytes().strip_prefix(b"Basic ")?;
    let both = BASE64_STANDARD.decode(both).ok()?;
    let colon = both.iter().position(|byte| *byte == b':')?;
    Some(both.get(colon + 1..)?.to_vec().into())
}

impl Proof {
    /// For the audit log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Machine => "loopback",
        }
    }
}

impl Outside {
    /// For the audit log.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::NoToken | Self::NoProof(_) => "token",
            Self::NoCertificate(_) => "certificate",
            Self::Shut => "no_token_file",
            Self::Open => "in_clear",
            Self::Name => "host",
        }
    }
}

impl IntoResponse for Outside {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Self::NoToken | Self::NoProof(_) => {
                let schemes = ["Bearer", "Basic realm=\"adit relay\", charset=\"UTF-8\""];
                let schemes = schemes.map(|scheme| (WWW_AUTHENTICATE, scheme));
                (StatusCode::UNAUTHORIZED, AppendHeaders(schemes), text).into_response()
            }
            Self::NoCertificate(_) | Self::Shut | Self::Open | Self::Name => {
                (StatusCode::FORBIDDEN, text).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asking(host: &'static str, authorization: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        for value in authorization {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    fn from(address: &str) -> Asker {
        Asker::plain(address.parse().unwrap())
    }

    fn gate(address: &str, token: Option<&str>) -> Gate {
        let secrets = token.map(|token| Arc::new(Secrets::new(token).unwrap()));
        Gate::new(address.parse().unwrap(), secrets, None)
    }

    const LOCAL: &str = "127.0.0.1:4711";
    const OPEN: &str = "192.0.2.7:4711";

    #[test]
    fn loopback_is_open_to_who_asks_by_address() {
        for loopback in ["127.0.0.1:8151", "[::1]:8151"] {
            let gate = gate(loopback, None);
            for host in [
                "127.0.0.1:8151",
                "127.0.0.1",
                "localhost:8151",
                "[::1]:8151",
                "[::1]",
            ] {
                let checked = gate.check(&from(LOCAL), &asking(host, &[]));
                assert_eq!(checked, Ok(Proof::Machine), "{host}");
            }
            for host in ["evil.example", "evil.example:8151", "localhost.example", ""] {
                let refused = gate.check(&from(LOCAL), &asking(host, &[]));
                assert_eq!(refused, Err(Outside::Name), "{host}");
            }
        }
    }

    #[test]
    fn elsewhere_nobody_comes_in_without_a_token() {
        let (anywhere, right) = ("0.0.0.0:8151", "Bearer 0123456789abcdef");
        let headers = asking("127.0.0.1:8151", &[right]);
        let refused = gate(anywhere, None).check(&from(LOCAL), &headers);
        assert_eq!(refused, Err(Outside::Shut));
        for address in [anywhere, "127.0.0.1:8151"] {
            let gate = gate(address, Some("0123456789abcdef"));
            let refused =
                |shown: &[&'static str]| gate.check(&from(LOCAL), &asking("relay.example", shown));
            assert_eq!(refused(&[right]), Ok(Proof::Token));
            // Of a browser: `me:0123456789abcdef`, and `:0123456789abcdef`.
            let of_a_browser = [
                "Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg==",
                "Basic OjAxMjM0NTY3ODlhYmNkZWY=",
            ];
            for right in of_a_browser {
                assert_eq!(refused(&[right]), Ok(Proof::Token), "{right}");
            }
            for wrong in [
                &[][..],
                &["Bearer 0123456789abcdeF"],
                &["0123456789abcdef"],
                &["Bearer "],
                // `me:0123456789abcdeF`, `0123456789abcdef`, and what is no base64.
                &["Basic bWU6MDEyMzQ1Njc4OWFiY2RlRg=="],
                &["Basic MDEyMzQ1Njc4OWFiY2RlZg=="],
                &["Basic 0123456789abcdef"],
                &["Basic :"],
                &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
            ] {
                assert_eq!(refused(wrong), Err(Outside::NoToken), "{wrong:?}");
            }
        }
    }

    #[test]
    fn token_that_crossed_a_network_in_clear_opens_nothing() {
        let headers = asking("relay.example", &["Bearer 0123456789abcdef"]);
        for token in [None, Some("0123456789abcdef")] {
            let gate = gate("0.0.0.0:8151", token);
            assert_eq!(gate.check(&from(OPEN), &headers), Err(Outside::Open));
            let mapped = from("[::ffff:192.0.2.7]:4711");
            assert_eq!(gate.check(&mapped, &headers), Err(Outside::Open));
        }
        let gate = gate("0.0.0.0:8151", Some("0123456789abcdef"));
        let mapped = from("[::ffff:127.0.0.1]:4711");
        assert_eq!(gate.check(&mapped, &headers), Ok(Proof::Token));
        let over_tls = Asker {
            way: Way::Secret,
            ..from(OPEN)
        };
        assert_eq!(gate.check(&over_tls, &headers), Ok(Proof::Token));
    }
}
