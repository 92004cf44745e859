//! Decides what makes a connection a WebSocket: the request and the answer of RFC 6455 section 4, at both ends.
//!
//! Invariant: no page that somebody else's browser shows is let in. Browsers send `Origin` with each
//! WebSocket, and with it comes whatever network they stand in.

use std::fmt::Display;

use http::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{WebSocket, limits};

/// Why a request opens no WebSocket here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoUpgrade {
    /// It asks for none, or not over HTTP/1.1.
    #[error("it takes a WebSocket over HTTP/1.1, and nothing else")]
    NotAsked,
    /// Another version than the only one there is.
    #[error("the WebSocket is not of version 13")]
    Version,
    /// No key, or more than one.
    #[error("the WebSocket's key is missing")]
    Key,
    /// Not what is spoken here.
    #[error("the WebSocket does not offer the protocol that is spoken here")]
    Protocol,
    /// A page asks.
    #[error("browsers are not let in")]
    Browser,
}

/// Why a peer that was dialled opened no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum NoWebSocket {
    /// It answered, but not with a WebSocket.
    #[error("it answered HTTP {0} to a WebSocket's upgrade")]
    Answered(StatusCode),
    /// What it answered is no WebSocket's handshake, or the connection broke.
    #[error("the WebSocket's handshake failed")]
    Broken(#[source] Box<Error>),
}

/// The answer to `request` that makes the connection a WebSocket which speaks `protocol`.
///
/// # Errors
/// The request is another.
pub fn agree<B>(request: &Request<B>, protocol: &'static str) -> Result<Response<()>, NoUpgrade> {
    let headers = request.headers();
    let is_upgrade = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && has_token(headers, &UPGRADE, "websocket")
        && has_token(headers, &CONNECTION, "upgrade");
    if !is_upgrade {
        return Err(NoUpgrade::NotAsked);
    }
    if headers.contains_key(ORIGIN) {
        return Err(NoUpgrade::Browser);
    }
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(NoUpgrade::Version);
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(NoUpgrade::Key)?;
    if !has_token(headers, &SEC_WEBSOCKET_PROTOCOL, protocol) {
        return Err(NoUpgrade::Protocol);
    }
    let accept = derive_accept_key(key.as_bytes());
    let accept = HeaderValue::try_from(accept).map_err(|_| NoUpgrade::Key)?;
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = answer.headers_mut();
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    fields.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    Ok(answer)
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocket<IO> {
    /// Asks whoever is at the other end of `io` for a WebSocket that speaks `protocol`.
    ///
    /// # Errors
    /// It opens none.
    pub async fn dial(
        io: IO,
        authority: impl Display,
        path: impl Display,
        protocol: &str,
        user_agent: &str,
    ) -> Result<Self, NoWebSocket> {
        // The scheme is for the library alone: TLS is `io`'s business.
        let url = format!("ws://{authority}{path}").parse();
        let url =
            url.map_err(|error| NoWebSocket::from(Error::HttpFormat(http::Error::from(error))))?;
        let request = ClientRequestBuilder::new(url)
            .with_sub_protocol(protocol)
            .with_header("User-Agent", user_agent);
        let (messages, _) = client_async_with_config(request, io, Some(limits())).await?;
        Ok(Self::of(messages))
    }
}

impl From<Error> for NoWebSocket {
    fn from(error: Error) -> Self {
        if let Error::Http(answer) = &error {
            return Self::Answered(answer.status());
        }
        Self::Broken(Box::new(error))
    }
}

/// Whether a list of tokens has this one, in any spelling.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|listed| listed.trim().eq_ignore_ascii_case(token))
}

/// The value of a field that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
