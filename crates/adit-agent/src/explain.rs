//! Decides what people are told when there is no connection: what happened, and what to do about it. Called by
//! [`crate::agent`] after each failed attempt, and by `adit doctor`, also for a job: so it names what both have.
//! Invariant: nothing here shows a token; errors are shown with their sources, which never hold one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use adit_process::metrics::Label as _;
use adit_process::net::websocket::NoWebSocket;
use adit_process::tls::{CA_AS_OWN, is_ca_as_own};
use adit_process::{chain, whole};
use adit_tunnel::ConnectError;
use http::StatusCode;
use rustls::{AlertDescription, CertificateError};

use crate::dial::DialError;
use crate::dial::proxy::ProxyError;
use crate::metrics::Attempt;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// The token's file.
    #[error("cannot read the agent's token from {}", whole(path).display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The token.
    #[error("what {from} holds is no token: it must be one line of visible ASCII characters")]
    BadToken {
        /// The file or the variable.
        from: String,
    },
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// There is one, of the wrong kind.
    #[error("the relay, or something in front of it, did not agree to HTTP/2{}", spoken(alpn.as_deref()))]
    NoHttp2 {
        /// What it agreed to.
        alpn: Option<Vec<u8>>,
    },
    /// There is one, and no WebSocket in it.
    #[error("the relay, or something in front of it, opens no WebSocket")]
    NoWebSocket(#[from] NoWebSocket),
    /// There is one, and no tunnel on it.
    #[error(transparent)]
    Tunnel(#[from] ConnectError),
    /// Neither HTTP/2 nor a WebSocket gets through.
    #[error(
        "{}; nor does a WebSocket get through: {}",
        chain(http2),
        chain(websocket)
    )]
    Neither {
        /// What became of HTTP/2.
        http2: Box<Self>,
        /// What became of the WebSocket.
        websocket: Box<Self>,
    },
}

impl ConnectFailure {
    /// As what it is counted.
    pub(crate) fn attempt(&self) -> Attempt {
        match self {
            Self::TokenFile { .. } | Self::BadToken { .. } => Attempt::Token,
            Self::Dial(DialError::Resolve { .. }) => Attempt::Resolve,
            Self::Dial(DialError::Connect { .. }) => Attempt::Connect,
            Self::Dial(DialError::TimedOut { .. }) | Self::Tunnel(ConnectError::TimedOut(_)) => {
                Attempt::TimedOut
            }
            Self::Dial(DialError::Proxy { .. }) => Attempt::Proxy,
            Self::Dial(DialError::Tls { source, .. }) if refused_alpn(source) => Attempt::NoHttp2,
            Self::Dial(DialError::Tls { .. }) => Attempt::Tls,
            Self::NoHttp2 { .. } => Attempt::NoHttp2,
            Self::NoWebSocket(_) => Attempt::NoWebSocket,
            Self::Neither { http2, .. } => http2.attempt(),
            Self::Tunnel(error) if is_unauthenticated(error) => Attempt::Unauthenticated,
            Self::Tunnel(error) if wants_certificate(error) => Attempt::Certificate,
            Self::Tunnel(ConnectError::Refused { .. }) => Attempt::Refused,
            Self::Tunnel(
                ConnectError::Http2(_) | ConnectError::Session(_) | ConnectError::BadCall(_),
            ) => Attempt::Session,
        }
    }

    /// Whether that is what something does that lets no HTTP/2 or no gRPC through, and a WebSocket perhaps.
    pub(crate) fn could_pass_in_websocket(&self) -> bool {
        match self {
            Self::NoHttp2 { .. } => true,
            Self::Dial(DialError::Tls { source, .. }) => refused_alpn(source),
            // It holds the call until it ends; or knows no HTTP/2 at all.
            Self::Tunnel(ConnectError::TimedOut(_) | ConnectError::Http2(_)) => true,
            Self::Tunnel(error @ ConnectError::Refused { grpc_status, .. }) => {
                grpc_status.is_none() && !is_unauthenticated(error)
            }
            Self::Tunnel(ConnectError::Session(_) | ConnectError::BadCall(_))
            | Self::TokenFile { .. }
            | Self::BadToken { .. }
            | Self::Dial(_)
            | Self::NoWebSocket(_)
            | Self::Neither { .. } => false,
        }
    }

    /// Whether the relay itself refused, to which something got through then.
    pub(crate) fn is_of_relay(&self) -> bool {
        match self {
            Self::Tunnel(ConnectError::Refused { grpc_status, .. }) => grpc_status.is_some(),
            Self::Tunnel(ConnectError::Session(_)) => true,
            Self::Tunnel(_)
            | Self::TokenFile { .. }
            | Self::BadToken { .. }
            | Self::Dial(_)
            | Self::NoHttp2 { .. }
            | Self::NoWebSocket(_)
            | Self::Neither { .. } => false,
        }
    }

    /// In a word, of those that `docs/agent.md` lists.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        self.attempt().as_str()
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::TokenFile { .. } | Self::BadToken { .. } => {
                "put the agent's token (from `adit token new`, or from GitLab) into the file that relay.token_file names"
            }
            Self::Dial(error) => error.advice(),
            Self::NoHttp2 { .. } => NO_HTTP2,
            Self::NoWebSocket(error) => websocket_advice(error),
            Self::Neither { http2, .. } => http2.advice(),
            Self::Tunnel(error) => tunnel_advice(error),
        }
    }
}

impl DialError {
    /// What to do about it, if the peer is the relay.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => {
                "check the host name in the relay's URL (relay.url, ADIT_RELAY_URL), and the DNS that this machine or pod uses"
            }
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                "nothing listens there: is the relay running, and is the port in its URL (relay.url, ADIT_RELAY_URL) its public one?"
            }
            Self::Connect { .. } => "check the route to the relay: firewall, network policy, proxy",
            Self::TimedOut { .. } => {
                "packets get lost on the way: a firewall or network policy may drop them; a proxy is named by HTTPS_PROXY, or by relay.proxy of an agent"
            }
            Self::Proxy { source, .. } => proxy_advice(source),
            Self::Tls { source, .. } => tls_advice(source),
        }
    }
}

fn proxy_advice(error: &ProxyError) -> &'static str {
    match error {
        ProxyError::Answered(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            "the proxy wants a user and a password: write them into its URL, http://user:password@host:port"
        }
        ProxyError::Answered(_) => {
            "allow the relay's host and port at the proxy, or except the relay by NO_PROXY, or by `relay.proxy: none` of an agent"
        }
        ProxyError::Http(_) | ProxyError::SpokeFirst => {
            "check that the proxy's URL names an HTTP proxy and its right port"
        }
    }
}

fn tls_advice(error: &Arc<io::Error>) -> &'static str {
    if refused_alpn(error) {
        return NO_HTTP2;
    }
    match rustls_error(error) {
        Some(rustls::Error::InvalidCertificate(fault)) => certificate_advice(fault),
        Some(rustls::Error::InvalidMessage(_)) => {
            "what answers there does not speak TLS: check the port in the relay's URL (relay.url, ADIT_RELAY_URL)"
        }
        _ => {
            "something on the way broke the TLS handshake: check that the relay's URL (relay.url, ADIT_RELAY_URL) names the relay itself, and what stands between"
        }
    }
}

fn certificate_advice(fault: &CertificateError) -> &'static str {
    use CertificateError as Fault;
    if is_ca_as_own(fault) {
        return CA_AS_OWN;
    }
    if matches!(fault, Fault::UnknownIssuer) {
        return "name the file with the CA that signed the relay's certificate (--ca, ADIT_RELAY_CA, relay.ca_file of an agent); or somebody else answers there";
    }
    if matches!(
        fault,
        Fault::NotValidForName | Fault::NotValidForNameContext { .. }
    ) {
        return "use a host name in the relay's URL (relay.url, ADIT_RELAY_URL) that its certificate is made for";
    }
    if matches!(fault, Fault::Expired | Fault::ExpiredContext { .. }) {
        return "the relay's certificate has expired: renew it; and check this machine's clock";
    }
    if matches!(fault, Fault::NotValidYet | Fault::NotValidYetContext { .. }) {
        return "the relay's certificate is not valid yet: check this machine's clock";
    }
    "the relay's certificate cannot be accepted: have a look at it with `openssl s_client -connect`"
}

fn websocket_advice(error: &NoWebSocket) -> &'static str {
    match error {
        NoWebSocket::Answered(StatusCode::NOT_FOUND) => {
            "what answers there knows no tunnels in WebSockets: check relay.url and its path, and the relay's version"
        }
        NoWebSocket::Answered(_) | NoWebSocket::Broken(_) => {
            "what stands in front of the relay must let a WebSocket through, with its fields Upgrade and Connection: docs/networks.md"
        }
    }
}

fn tunnel_advice(error: &ConnectError) -> &'static str {
    if is_unauthenticated(error) {
        return "the relay does not know the agent's token, or it was revoked: make one with `adit token new` and enter its hash at the relay; or one in GitLab, if the relay asks GitLab about agents";
    }
    if wants_certificate(error) {
        return "give the agent a certificate, with its key, that one of the CAs in the relay's tunnel.client_ca_file has issued for client authentication, or renew the one it has (relay.client_certificate, relay.client_key): docs/networks.md; and let TLS pass through to the relay";
    }
    match error {
        ConnectError::Refused { status, .. } if *status == StatusCode::NOT_FOUND => {
            "what answers there is not an adit relay: check relay.url, and what a balancer in front of the relay does with gRPC"
        }
        ConnectError::Refused { .. } => {
            "look into the relay's log for the reason; the agent goes on trying"
        }
        ConnectError::TimedOut(_) => {
            "the relay, or something in front of it, holds the request: it must let gRPC streams pass at once"
        }
        ConnectError::Http2(_) => {
            "something between agent and relay broke the HTTP/2 connection off: the agent goes on trying"
        }
        ConnectError::BadCall(_) => "check relay.url",
        ConnectError::Session(_) => {
            "agent and relay do not understand each other: compare their versions (`adit --version`)"
        }
    }
}

fn is_unauthenticated(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Refused {
            status: StatusCode::UNAUTHORIZED,
            ..
        } | ConnectError::Refused {
            grpc_status: Some(GRPC_UNAUTHENTICATED),
            ..
        }
    )
}

const fn wants_certificate(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Refused {
            grpc_status: Some(GRPC_FAILED_PRECONDITION),
            ..
        }
    )
}

fn refused_alpn(error: &Arc<io::Error>) -> bool {
    matches!(
        rustls_error(error),
        Some(rustls::Error::AlertReceived(
            AlertDescription::NoApplicationProtocol
        ))
    )
}

fn rustls_error(error: &Arc<io::Error>) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn spoken(alpn: Option<&[u8]>) -> String {
    alpn.map(|name| format!(", but to {}", String::from_utf8_lossy(name)))
        .unwrap_or_default()
}

const NO_HTTP2: &str = "something in front of the relay ends TLS and does not offer HTTP/2 (ALPN h2): let it pass TLS through, enable HTTP/2 there, or let WebSockets through: docs/networks.md";
/// <https://grpc.io/docs/guides/status-codes/>
const GRPC_UNAUTHENTICATED: u32 = 16;
/// So a relay refuses a tunnel, to whoever has another certificate than it wants.
const GRPC_FAILED_PRECONDITION: u32 = 9;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tls(error: rustls::Error) -> ConnectFailure {
        let source = Arc::new(io::Error::new(io::ErrorKind::InvalidData, error));
        ConnectFailure::Dial(DialError::Tls {
            to: "relay:443".into(),
            source,
        })
    }

    #[test]
    fn each_tls_fault_has_its_own_advice() {
        let fault = |fault| tls(rustls::Error::InvalidCertificate(fault));
        let cases = [
            (
                fault(CertificateError::UnknownIssuer),
                Attempt::Tls,
                "relay.ca_file",
            ),
            (
                fault(CertificateError::NotValidForName),
                Attempt::Tls,
                "relay.url",
            ),
            (fault(CertificateError::Expired), Attempt::Tls, "expired"),
            (fault(CertificateError::NotValidYet), Attempt::Tls, "clock"),
            (
                tls(rustls::Error::AlertReceived(
                    AlertDescription::NoApplicationProtocol,
                )),
                Attempt::NoHttp2,
                "ALPN h2",
            ),
        ];
        for (failure, attempt, word) in cases {
            assert_eq!(failure.attempt(), attempt);
            assert!(
                failure.advice().contains(word),
                "{word}: {}",
                failure.advice()
            );
        }
    }

    #[test]
    fn attempt_is_counted_under_the_name_of_what_went_wrong() {
        let source = || Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        let (host, to, path) = ("relay".into(), || "relay:443".into(), "token".into());
        let proxy = DialError::Proxy {
            proxy: "proxy:3128".into(),
            to: to(),
            source: ProxyError::Answered(StatusCode::PROXY_AUTHENTICATION_REQUIRED),
        };
        let late = || DialError::TimedOut {
            to: to(),
            after: Duration::ZERO,
        };
        let no_websocket = || ConnectFailure::from(NoWebSocket::Answered(StatusCode::OK));
        let neither = ConnectFailure::Neither {
            http2: Box::new(ConnectFailure::from(late())),
            websocket: Box::new(no_websocket()),
        };
        let unread = io::Error::from(io::ErrorKind::NotFound);
        let source_of_token = ConnectFailure::TokenFile {
            path,
            source: unread,
        };
        let bad_token = ConnectFailure::BadToken {
            from: "ADIT_TOKEN".into(),
        };
        let unresolved = DialError::Resolve {
            host,
            source: source(),
        };
        let unconnected = DialError::Connect {
            to: to(),
            source: source(),
        };
        let unanswered = ConnectError::TimedOut(Duration::ZERO);
        for (failure, label) in [
            (source_of_token, "token"),
            (bad_token, "token"),
            (unresolved.into(), "resolve"),
            (unconnected.into(), "connect"),
            (late().into(), "timed_out"),
            (unanswered.into(), "timed_out"),
            (proxy.into(), "proxy"),
            (tls(rustls::Error::DecryptError), "tls"),
            (ConnectFailure::NoHttp2 { alpn: None }, "no_http2"),
            (no_websocket(), "no_websocket"),
            // What became of HTTP/2 counts there; that of the WebSocket is an attempt of its own.
            (neither, "timed_out"),
        ] {
            assert_eq!(failure.attempt().as_str(), label, "{failure:?}");
        }
    }

    #[test]
    fn unknown_token_is_told_from_other_refusals() {
        let refused = |status, grpc_status| {
            ConnectFailure::Tunnel(ConnectError::Refused {
                status,
                grpc_status,
                grpc_message: None,
            })
        };
        let unknown = refused(StatusCode::OK, Some(16));
        assert_eq!(unknown.attempt(), Attempt::Unauthenticated);
        assert!(unknown.advice().contains("adit token new"));
        let uncertified = refused(StatusCode::OK, Some(9));
        assert_eq!(uncertified.attempt(), Attempt::Certificate);
        assert!(uncertified.advice().contains("relay.client_certificate"));
        assert_eq!(
            refused(StatusCode::UNAUTHORIZED, None).attempt(),
            Attempt::Unauthenticated
        );
        assert_eq!(
            refused(StatusCode::BAD_GATEWAY, None).attempt(),
            Attempt::Refused
        );
        assert!(
            refused(StatusCode::NOT_FOUND, None)
                .advice()
                .contains("not an adit relay")
        );
    }
}
