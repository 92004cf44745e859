//! Decides how a question reaches GitLab: the network that `adit-authority` asks through.
//!
//! Called by its driver, beside the shards. Invariant: a token goes to the address in the configuration or nowhere: a redirect is not
//! followed, and no proxy is asked.

use std::{fmt, time::Duration};

use adit_authority::gitlab::{AskError, AskGitLab, Asked, MAX_ANSWER_BYTES};
use adit_process::{chain, metrics::Durations, tls::ClientTls};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::USER_AGENT,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;

const AGENT: &str = concat!("adit/", env!("CARGO_PKG_VERSION"));
/// Connections that are kept between calls, and for how long: below the 75 s after which nginx hangs up.
const IDLE: (usize, Duration) = (8, Duration::from_secs(60));

/// Asks over HTTPS; over plain HTTP only what the configuration allowed, which is this machine. HTTP/1.1, so that a connection that
/// went silent costs one call.
#[derive(Clone)]
pub(crate) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Base,
    took: Durations,
}

/// What stands before every target.
#[derive(Clone, Debug)]
struct Base {
    scheme: Scheme,
    authority: Authority,
    path: Box<str>,
}

impl Client {
    /// For the instance at this address, which the configuration has checked; `took` takes the time of each call.
    pub(crate) fn new(url: &str, tls: &ClientTls, took: Durations) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*tls.config()).clone())
            .https_or_http()
            .enable_http1()
            .build();
        let (most, time) = IDLE;
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(time)
            .pool_max_idle_per_host(most)
            .build(connector);
        Self {
            http,
            base: Base::new(url),
            took,
        }
    }

    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, AskError> {
        *request.uri_mut() = self.base.below(request.uri()).map_err(unreachable)?;
        let agent = HeaderValue::from_static(AGENT);
        request.headers_mut().insert(USER_AGENT, agent);
        let began = Instant::now();
        let answer = self.http.request(request.map(Full::new)).await;
        let (head, body) = answer.map_err(unreachable)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        self.took.observe(began.elapsed());
        match body {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(AskError::TooLong),
            Err(error) => Err(unreachable(error)),
        }
    }
}

impl AskGitLab for Client {
    fn ask(&self, request: Request<Bytes>) -> Asked<'_> {
        Box::pin(self.send(request))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.base).finish()
    }
}

impl Base {
    fn new(url: &str) -> Self {
        let url: Uri = url.parse().expect("the configuration has checked it");
        let path = url.path().trim_end_matches('/').into();
        let parts = url.into_parts();
        Self {
            scheme: parts.scheme.expect("the configuration has checked it"),
            authority: parts.authority.expect("the configuration has checked it"),
            path,
        }
    }

    fn below(&self, target: &Uri) -> Result<Uri, http::Error> {
        let target = target.path_and_query().map_or("/", PathAndQuery::as_str);
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{target}", self.path))
            .build()
    }
}

/// With all its causes in one line: whoever logs it shows one level.
fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AskError {
    AskError::Unreachable(chain(&*error.into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_below_the_instances_path() {
        let cases = [
            (
                "https://gitlab.example.com",
                "https://gitlab.example.com/api/v4/x?y=1",
            ),
            (
                "https://gitlab.example.com:8443/sub",
                "https://gitlab.example.com:8443/sub/api/v4/x?y=1",
            ),
            ("http://[::1]:80", "http://[::1]:80/api/v4/x?y=1"),
        ];
        for (url, expected) in cases {
            let target = Uri::from_static("/api/v4/x?y=1");
            assert_eq!(Base::new(url).below(&target).unwrap().to_string(), expected);
        }
    }
}
