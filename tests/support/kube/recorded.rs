//! What an API server remembers of a request, and how long a request counts as open.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Version};
use http_body::{Frame, SizeHint};

use super::State;
use crate::body::Body;

/// One request's head.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: Method,
    /// Path and query, as they came.
    pub target: String,
    pub version: Version,
    pub headers: HeaderMap,
}

impl Recorded {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            target: request
                .uri()
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            version: request.version(),
            headers: request.headers().clone(),
        }
    }

    /// All values of a header, in order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    /// The one value of a header.
    ///
    /// # Panics
    ///
    /// When there are several.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        let mut values = self.values(name);
        assert!(values.len() <= 1, "{name} came {} times", values.len());
        values.pop()
    }

    /// Every header that says as whom the API server shall act, sorted: names in lower case, values as they came.
    #[must_use]
    pub fn identity(&self) -> Vec<(String, String)> {
        let is_identity = |name: &str| {
            name.starts_with("impersonate-")
                || name.starts_with("x-remote-")
                || name == "authorization"
        };
        let mut all: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| is_identity(name.as_str()))
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// A request that is open until this is dropped.
pub(super) struct Open {
    state: Arc<State>,
    is_over: bool,
}

impl Open {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self {
            state,
            is_over: false,
        }
    }

    /// The answer went out whole.
    pub(super) fn over(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::Relaxed);
        if !self.is_over {
            self.state.broken_off.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An answer's body, which keeps its request open.
pub(super) struct Held {
    pub(super) body: Body,
    pub(super) open: Open,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.open.over();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
