//! Which fields belong to one hop, and which may cross a tunnel at all. `ask` and `answer` strip by it what they send, and
//! refuse by it what the other end should have stripped. Invariant: what is refused on arrival is never sent.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use smallvec::SmallVec;

/// What becomes of a field at the edge of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Crosses.
    EndToEnd,
    /// Is about one connection only. RFC 9110 section 7.6.1. `Trailer` is not here: the tunnel carries the trailers that it
    /// announces, and an HTTP/1.1 front sends none that were not announced.
    HopByHop,
    /// Proves who the caller is to the relay, and is nobody else's business.
    Credential,
    /// Says as whom the API server shall act: `Impersonate-*`.
    Impersonation,
    /// Says to an API server behind an authenticating proxy who the user is: `X-Remote-*`. This proxy never does.
    RemoteUser,
}

/// What kind of field this is.
pub(crate) fn kind(name: &HeaderName) -> Kind {
    match name.as_str() {
        "connection" | "host" | "http2-settings" | "keep-alive" | "proxy-connection" | "te"
        | "transfer-encoding" | "upgrade" => Kind::HopByHop,
        "authorization" | "proxy-authorization" => Kind::Credential,
        name if name.starts_with("impersonate-") => Kind::Impersonation,
        name if name.starts_with("x-remote-") => Kind::RemoteUser,
        _ => Kind::EndToEnd,
    }
}

/// Whether a field may stand after a body: not one that frames, routes or authenticates. RFC 9110 section 6.5.1.
pub(crate) fn may_trail(name: &HeaderName) -> bool {
    kind(name) == Kind::EndToEnd
        && !matches!(
            *name,
            header::CONTENT_LENGTH | header::TRAILER | header::EXPECT | header::COOKIE
        )
}

/// Whether this is a WebSocket subprotocol that carries a bearer token, as the API server reads it.
/// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/>
pub(crate) fn is_token_subprotocol(name: &HeaderName, value: &HeaderValue) -> bool {
    const PREFIX: &[u8] = b"base64url.bearer.authorization.k8s.io";
    name == header::SEC_WEBSOCKET_PROTOCOL
        && value
            .as_bytes()
            .windows(PREFIX.len())
            .any(|window| window.eq_ignore_ascii_case(PREFIX))
}

/// The fields that `Connection` lists beside those that never cross anyway: none, in nearly every message.
#[derive(Debug, Default)]
pub(crate) struct Listed(SmallVec<[HeaderName; 2]>);

/// A member of `Connection` that is no field name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAName;

impl Listed {
    /// Reads a request's, of which nothing is guessed.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Self, NotAName> {
        let mut listed = Self::default();
        for member in connection_members(headers) {
            listed.add(member)?;
        }
        Ok(listed)
    }

    /// Reads an answer's: what is no name cannot be that of a field either.
    pub(crate) fn of_answer(headers: &HeaderMap) -> Self {
        let mut listed = Self::default();
        for member in connection_members(headers) {
            // Nothing to strip then.
            let _: Result<(), NotAName> = listed.add(member);
        }
        listed
    }

    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }

    /// Whether a field stands here that says who the caller is. To strip it would change whom the API server sees:
    /// CVE-2021-31999.
    pub(crate) fn names_identity(&self) -> bool {
        self.0.iter().any(|name| {
            matches!(
                kind(name),
                Kind::Impersonation | Kind::RemoteUser | Kind::Credential
            )
        })
    }

    fn add(&mut self, member: &[u8]) -> Result<(), NotAName> {
        let is_option = [&b"close"[..], b"keep-alive", b"upgrade"]
            .iter()
            .any(|option| member.eq_ignore_ascii_case(option));
        if !is_option {
            self.0
                .push(HeaderName::from_bytes(member).map_err(|_| NotAName)?);
        }
        Ok(())
    }
}

/// The protocols that a request asks to switch to, in its own words, when a front of HTTP/1.1 can do that.
///
/// `None` also for `h2c` and TLS, which a hop may ignore (RFC 9110 section 7.8) and which would hide requests from the relay.
#[must_use]
pub fn upgrade_asked<B>(request: &Request<B>) -> Option<HeaderValue> {
    let headers = request.headers();
    let protocols = headers.get(header::UPGRADE)?;
    let asks = request.version() == Version::HTTP_11
        && connection_members(headers).any(|member| member.eq_ignore_ascii_case(b"upgrade"));
    let hides = |protocol: &[u8]| {
        protocol.eq_ignore_ascii_case(b"h2c")
            || protocol
                .get(..4)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"TLS/"))
    };
    let is_plain = !protocols.is_empty() && protocols.to_str().is_ok();
    (asks && is_plain && !members(protocols).any(hides)).then(|| protocols.clone())
}

fn connection_members(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::CONNECTION).iter().flat_map(members)
}

/// The members of a comma-separated list; empty ones do not count. RFC 9110 section 5.6.1.
fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests;
