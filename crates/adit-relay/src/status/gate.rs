//! Decides who may see a relay's status: everybody on this machine, or whoever shows the token that `admin.token_file` holds.
//!
//! Asked for each request to `/status`. Invariant: what is not on loopback is shown to nobody without a token. That goes by the address
//! that is listened on: a proxy in the same pod makes every peer's look like loopback.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use adit_authority::Secrets;
use axum::http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE},
};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Who comes in.
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    /// Whoever is on this machine.
    Local,
    /// Who shows one of these.
    Token(Arc<Secrets>),
    /// Nobody.
    Shut,
}

/// Why somebody does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Outside {
    #[error(
        "show the token that admin.token_file of the relay holds: `Authorization: Bearer <token>`, or as the password in a browser, with any name"
    )]
    NoToken,
    #[error(
        "the private port is not on loopback, and there is no token that would open this page: set admin.token_file of the relay"
    )]
    Shut,
    #[error("ask by address, or for localhost: under another name this page is not served")]
    Name,
}

impl Gate {
    /// For a port that listens there.
    pub(crate) fn new(address: SocketAddr, secrets: Option<Arc<Secrets>>) -> Self {
        match secrets {
            Some(secrets) => Self::Token(secrets),
            None if address.ip().is_loopback() => Self::Local,
            None => Self::Shut,
        }
    }

    /// Whether somebody with these headers comes in.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Outside> {
        match self {
            Self::Local if is_addressed(headers) => Ok(()),
            Self::Local => Err(Outside::Name),
            Self::Token(secrets) => match shown(headers) {
                Some(token) if secrets.accept(&token) => Ok(()),
                Some(_) | None => Err(Outside::NoToken),
            },
            Self::Shut => Err(Outside::Shut),
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

impl Outside {
    /// For the audit log.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::NoToken => "token",
            Self::Shut => "no_token_file",
            Self::Name => "host",
        }
    }
}

impl IntoResponse for Outside {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Self::NoToken => {
                let schemes = ["Bearer", "Basic realm=\"adit relay\", charset=\"UTF-8\""];
                let schemes = schemes.map(|scheme| (WWW_AUTHENTICATE, scheme));
                (StatusCode::UNAUTHORIZED, AppendHeaders(schemes), text).into_response()
            }
            Self::Shut | Self::Name => (StatusCode::FORBIDDEN, text).into_response(),
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

    #[test]
    fn loopback_is_open_to_who_asks_by_address() {
        for loopback in ["127.0.0.1:8151", "[::1]:8151"] {
            let gate = Gate::new(loopback.parse().unwrap(), None);
            for host in [
                "127.0.0.1:8151",
                "127.0.0.1",
                "localhost:8151",
                "[::1]:8151",
                "[::1]",
            ] {
                assert_eq!(gate.check(&asking(host, &[])), Ok(()), "{host}");
            }
            for host in ["evil.example", "evil.example:8151", "localhost.example", ""] {
                let refused = gate.check(&asking(host, &[]));
                assert_eq!(refused, Err(Outside::Name), "{host}");
            }
        }
    }

    #[test]
    fn elsewhere_nobody_comes_in_without_a_token() {
        let anywhere = "0.0.0.0:8151".parse().unwrap();
        let headers = asking("127.0.0.1:8151", &["Bearer 0123456789abcdef"]);
        assert_eq!(
            Gate::new(anywhere, None).check(&headers),
            Err(Outside::Shut)
        );
        for address in [anywhere, "127.0.0.1:8151".parse().unwrap()] {
            let secrets = Secrets::new("0123456789abcdef").unwrap();
            let gate = Gate::new(address, Some(Arc::new(secrets)));
            let refused = |shown: &[&'static str]| gate.check(&asking("relay.example", shown));
            assert_eq!(refused(&["Bearer 0123456789abcdef"]), Ok(()));
            // Of a browser: `me:0123456789abcdef`, and `:0123456789abcdef`.
            assert_eq!(refused(&["Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg=="]), Ok(()));
            assert_eq!(refused(&["Basic OjAxMjM0NTY3ODlhYmNkZWY="]), Ok(()));
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
}
