//! Decides whether a peer is reached through an HTTP proxy, and opens the way with CONNECT (RFC 9110 section 9.3.6).
//! Called by the check of the configuration, by [`super::Dialler`], and by `adit doctor`.
//! Invariant: credentials in a proxy's URL go into one header and nowhere else: not into `Display`, `Debug` or an error.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An HTTP proxy. Shown as `host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    credentials: Option<HeaderValue>,
}

/// What the environment says about proxies, as curl and Go read it: upper case first.
#[derive(Clone, Default)]
pub struct ProxyEnvironment {
    /// `HTTPS_PROXY`, else `ALL_PROXY`: a URL, perhaps with user and password.
    pub(crate) https: String,
    /// `NO_PROXY`: hosts, domains and networks, separated by commas, that are dialled directly.
    pub(crate) no: String,
}

/// Why a proxy's URL cannot be used. Never shows the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// No URL, or one without a host.
    #[error("the proxy is not a URL such as http://proxy.example.com:3128")]
    NotAUrl,
    /// Another scheme.
    #[error(
        "the proxy's URL must begin with http://: CONNECT over TLS and SOCKS are not supported"
    )]
    Scheme,
}

/// Why a proxy did not open the way.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProxyError {
    /// With something else than the way.
    #[error("it answered {0} to CONNECT")]
    Answered(StatusCode),
    /// Something else than a proxy may be there.
    #[error("it does not speak HTTP, or broke off")]
    Http(#[source] std::sync::Arc<hyper::Error>),
    /// Bytes before ours: the peer of a TLS client never speaks first, so these are the proxy's own.
    #[error("it sent bytes of its own into the connection")]
    SpokeFirst,
}

impl ProxyEnvironment {
    /// What it says now.
    #[must_use]
    pub fn read() -> Self {
        let first = |names: &[&str]| {
            let values = names.iter().filter_map(|name| std::env::var(name).ok());
            values
                .into_iter()
                .find(|value| !value.is_empty())
                .unwrap_or_default()
        };
        Self {
            https: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            no: first(&["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy for an `https` peer, if it is not one of those that `NO_PROXY` excepts.
    ///
    /// # Errors
    /// The proxy named cannot be used; it is not passed over silently, which would be a wrong way out.
    pub fn proxy_for(&self, host: &str, port: u16) -> Result<Option<Proxy>, BadProxy> {
        if self.https.is_empty() {
            return Ok(None);
        }
        let proxy = Proxy::parse(&self.https)?;
        let Ok(peer) = format!("https://{host}:{port}").parse::<Uri>() else {
            return Ok(Some(proxy));
        };
        let is_matched = Matcher::builder()
            .https(ANY_PROXY)
            .no(&self.no)
            .build()
            .intercept(&peer)
            .is_some();
        let names_port = self
            .no
            .split(',')
            .any(|entry| entry.trim() == format!("{host}:{port}"));
        Ok(Some(proxy).filter(|_| is_matched && !names_port))
    }
}

impl Proxy {
    /// From `http://user:password@host:port`, or `host:port`.
    ///
    /// # Errors
    /// It is another kind of URL.
    pub fn parse(url: &str) -> Result<Self, BadProxy> {
        let uri: Uri = url.trim().parse().map_err(|_| BadProxy::NotAUrl)?;
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(BadProxy::Scheme);
        }
        // The matcher decodes and encodes credentials as they must be.
        let parsed = Matcher::builder()
            .https(url.trim())
            .build()
            .intercept(&Uri::from_static("https://peer"));
        let parsed = parsed.ok_or(BadProxy::NotAUrl)?;
        let host = parsed
            .uri()
            .host()
            .filter(|host| !host.is_empty())
            .ok_or(BadProxy::NotAUrl)?;
        let port = parsed.uri().port_u16().unwrap_or(DEFAULT_PORT);
        Ok(Self {
            host: host.to_owned(),
            port,
            credentials: parsed.basic_auth().cloned(),
        })
    }

    /// Asks the proxy at the other end of `tcp` for the way to `target` (`host:port`).
    pub(crate) async fn connect(
        &self,
        tcp: TcpStream,
        target: &str,
    ) -> Result<TcpStream, ProxyError> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
        let asking = async {
            let response = sender.send_request(self.request(target)).await?;
            if !response.status().is_success() {
                return Err(ProxyError::Answered(response.status()));
            }
            let upgraded = hyper::upgrade::on(response).await?;
            let parts = upgraded
                .downcast::<TokioIo<TcpStream>>()
                .map_err(|_| ProxyError::SpokeFirst)?;
            if parts.read_buf.is_empty() {
                Ok(parts.io.into_inner())
            } else {
                Err(ProxyError::SpokeFirst)
            }
        };
        // Once it has ended the answer is there, and so is the way, or the reason why not.
        let mut driver = Some(Box::pin(connection.with_upgrades()));
        let mut asking = pin!(asking);
        poll_fn(|cx| {
            if driver
                .as_mut()
                .is_some_and(|driver| driver.as_mut().poll(cx).is_ready())
            {
                driver = None;
            }
            asking.as_mut().poll(cx)
        })
        .await
    }

    fn request(&self, target: &str) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = http::Method::CONNECT;
        if let Ok(authority) = target.parse::<http::uri::Authority>() {
            *request.uri_mut() = Uri::from(authority);
        }
        if let Ok(host) = HeaderValue::from_str(target) {
            request.headers_mut().insert(header::HOST, host);
        }
        if let Some(credentials) = &self.credentials {
            request
                .headers_mut()
                .insert(header::PROXY_AUTHORIZATION, credentials.clone());
        }
        request
    }
}

impl From<hyper::Error> for ProxyError {
    fn from(error: hyper::Error) -> Self {
        Self::Http(std::sync::Arc::new(error))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ProxyEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyEnvironment")
            .field("no", &self.no)
            .finish_non_exhaustive()
    }
}

/// Stands for whatever proxy there is when only `NO_PROXY` is asked about.
const ANY_PROXY: &str = "http://proxy";
/// What Go takes for a proxy's URL without port.
const DEFAULT_PORT: u16 = 80;

#[cfg(test)]
mod tests;
