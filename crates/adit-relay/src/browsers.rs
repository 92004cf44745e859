//! Decides what a browser is served that has one of GitLab's pages open: pages of which origins may ask, what a preflight is told, and
//! which fields of a cluster's answer such a page may see.
//!
//! Called by `handle.rs` for the Kubernetes API alone, and only where the configuration says `browsers`. Invariants: nothing that a
//! browser sends by itself serves a page of another origin; an answer names the one origin it is for; what a cluster says about origins
//! and cookies does not reach a browser that is logged in to GitLab.

use std::collections::HashSet;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
        AUTHORIZATION, COOKIE, ORIGIN, VARY,
    },
};
use http_body_util::Full;

use crate::{
    authenticate::{AGENT_ID, CSRF_TOKEN},
    refusal::Refusal,
    target::{KUBERNETES, below},
};

/// The rules.
#[derive(Debug)]
pub(crate) struct Browsers {
    /// As browsers write them.
    origins: HashSet<Box<str>>,
    /// Fields that pass beside [`PASSED`].
    more: HashSet<HeaderName>,
}

/// The page that asks.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    origin: HeaderValue,
}

/// Fields of a cluster's answers that clients of Kubernetes read, and those that say how to read the body.
const PASSED: [&str; 27] = [
    "accept-ranges",
    "age",
    "allow",
    "audit-id",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "trailer",
    "upgrade",
    "vary",
    "warning",
    "x-content-type-options",
    "x-kubernetes-pf-flowschema-uid",
    "x-kubernetes-pf-prioritylevel-uid",
];
/// Those of the relay's own that a page may read.
const EXPOSED: &str = "gitlab-unauthorized, retry-after, x-request-id";
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// A day, in seconds.
const MAX_AGE: &str = "86400";

impl Browsers {
    pub(crate) fn new(
        origins: impl IntoIterator<Item = Box<str>>,
        more: impl IntoIterator<Item = HeaderName>,
    ) -> Self {
        Self {
            origins: origins.into_iter().collect(),
            more: more.into_iter().collect(),
        }
    }

    /// The page behind a request; none if there is no page. Of another origin none asks with `Authorization`: browsers send the field for
    /// no page by themselves, they let none set it on a WebSocket, and elsewhere only after a preflight, which is refused. So it is a
    /// program, such as a Kubernetes client: the API server has each say an origin that watches by WebSocket.
    pub(crate) fn page<B>(&self, request: &Request<B>) -> Result<Option<Page>, Refusal> {
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let (origin, second) = (origins.next(), origins.next());
        let Some(origin) = origin.filter(|_| below(request.uri().path(), KUBERNETES).is_some())
        else {
            return Ok(None);
        };
        let is_allowed = origin
            .to_str()
            .is_ok_and(|origin| self.origins.contains(origin));
        if !is_allowed || second.is_some() {
            return if request.headers().contains_key(AUTHORIZATION) {
                Ok(None)
            } else {
                Err(Refusal::ForeignOrigin)
            };
        }
        Ok(Some(Page {
            origin: origin.clone(),
        }))
    }

    /// Takes out of a cluster's answer what it says about origins, and for a browser what no page of GitLab's is to see.
    pub(crate) fn sift(&self, headers: &mut HeaderMap, is_for_browser: bool) {
        let is_blocked = |name: &&HeaderName| {
            let name = *name;
            let is_foreign = !PASSED.contains(&name.as_str()) && !self.more.contains(name);
            name.as_str().starts_with("access-control-") || (is_for_browser && is_foreign)
        };
        let blocked: Vec<_> = headers.keys().filter(is_blocked).cloned().collect();
        for name in blocked {
            tracing::debug!(name = %name, "a header of a cluster's answer does not pass");
            headers.remove(name);
        }
    }
}

impl Page {
    /// Says in an answer whose page it is for.
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// Takes out of a request what is between browser and relay.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in [COOKIE, AGENT_ID, CSRF_TOKEN] {
        headers.remove(name);
    }
}

/// Whether a browser asks what its page may ask.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that, to which [`Page::mark`] adds for whom it is. Nothing is done by it: any field may come with a request.
pub(crate) fn preflight(asked: &HeaderMap) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    let methods = HeaderValue::from_static(METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browsers() -> Browsers {
        Browsers::new(
            ["https://gitlab.example.com".into()],
            [HeaderName::from_static("x-mine")],
        )
    }

    fn request(path: &str, origins: &[&'static str]) -> Request<()> {
        let mut request = Request::get(path).body(()).unwrap();
        for origin in origins {
            request
                .headers_mut()
                .append(ORIGIN, HeaderValue::from_static(origin));
        }
        request
    }

    #[test]
    fn only_pages_of_listed_origins_ask() {
        let own = "https://gitlab.example.com";
        let page = |path: &str, origins: &[&'static str]| {
            let page = browsers().page(&request(path, origins));
            page.map(|page| page.is_some())
                .map_err(|refusal| refusal.facts().reason)
        };
        assert_eq!(page("/k8s-proxy/api", &[]), Ok(false));
        assert_eq!(page("/k8s-proxy/api", &[own]), Ok(true));
        for other in [
            "https://gitlab.example.com.evil.test",
            "http://gitlab.example.com",
            "https://gitlab.example.com:8443",
            "null",
            "",
        ] {
            assert_eq!(page("/k8s-proxy/api", &[other]), Err("foreign_origin"));
        }
        assert_eq!(page("/k8s-proxy/api", &[own, own]), Err("foreign_origin"));
        assert_eq!(page("/adit/v1/agents", &["null"]), Ok(false));
    }

    #[test]
    fn a_program_may_say_any_origin() {
        let page = |origin| {
            let mut request = request("/k8s-proxy/api", &[origin]);
            let token = HeaderValue::from_static("Bearer ci:1:x");
            request.headers_mut().insert(AUTHORIZATION, token);
            browsers().page(&request).unwrap().is_some()
        };
        assert!(!page("https://relay.example.com"));
        assert!(
            page("https://gitlab.example.com"),
            "a page may send a token, too"
        );
    }

    #[test]
    fn a_cluster_does_not_set_cookies_at_gitlab() {
        let mut headers = HeaderMap::new();
        for name in [
            "set-cookie",
            "access-control-allow-origin",
            "content-security-policy",
            "content-type",
            "x-mine",
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let left = |headers: &HeaderMap| {
            let mut left: Vec<_> = headers.keys().map(ToString::to_string).collect();
            left.sort_unstable();
            left
        };
        browsers().sift(&mut headers, false);
        let of_program = [
            "content-security-policy",
            "content-type",
            "set-cookie",
            "x-mine",
        ];
        assert_eq!(left(&headers), of_program);
        browsers().sift(&mut headers, true);
        assert_eq!(left(&headers), ["content-type", "x-mine"]);
    }
}
