//! Keeps one issuer's keys fresh: at start, at intervals, and when a token names a key that is not held. One task for
//! each issuer, so there is never more than one fetch of the same keys.
//! Invariant: between two fetches lies at least `min_refresh_interval`, and a fetch that fails takes no key away.

use std::{fmt, future::Future, path::Path, pin::Pin, sync::Arc, sync::atomic::Ordering};

use bytes::Bytes;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    KeySource, OidcIssuer,
    keys::{Attempt, KeyRing},
    public_key::PublicKey,
};

/// What [`FetchKeys::fetch`] gives.
pub type FetchedKeys<'a> = Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send + 'a>>;

/// The network, as far as this crate needs it.
pub trait FetchKeys: fmt::Debug + Send + Sync + 'static {
    /// The body of a GET, with status 200, over TLS, of at most [`MAX_DOCUMENT_BYTES`]. Redirects are not followed: keys come
    /// from where the config says. The caller sets the deadline, and drops the future when it passes.
    fn fetch<'a>(&'a self, url: &'a str) -> FetchedKeys<'a>;
}

/// The largest key document that is read, in bytes. GitLab's has 2 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The issuer did not answer in time.
    #[error("no answer within the fetch timeout")]
    TimedOut,
    /// The request failed, in words of whoever made it.
    #[error("the request failed")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The issuer answered with another status than 200.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The file could not be read.
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    /// More than any issuer has.
    #[error("the document is longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLong,
    /// Not a JSON web key set. RFC 7517 section 5.
    #[error("the document is no JSON web key set")]
    Document(#[source] serde_json::Error),
    /// A key set without a key that could verify a signature: more likely a mishap than the truth.
    #[error("the document holds no key with an id and an asymmetric signature algorithm")]
    NoKeys,
}

/// Fetches one issuer's keys for as long as it runs. Dropping it stops that; keys go stale after a while.
#[derive(Debug)]
#[must_use = "keys are fetched only while `run` runs"]
pub struct KeyRefresh {
    pub(super) issuer: Arc<OidcIssuer>,
    pub(super) ring: Arc<KeyRing>,
    pub(super) is_wanted: mpsc::Receiver<()>,
    pub(super) fetch: Arc<dyn FetchKeys>,
}

impl KeyRefresh {
    /// Whose keys it fetches: the issuer's URL.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer.url
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        loop {
            // The fetch that begins now serves whoever asked before.
            while self.is_wanted.try_recv().is_ok() {}
            let next = Instant::now() + self.refresh().await;
            sleep(self.issuer.min_refresh_interval).await;
            tokio::select! {
                biased;
                // Never None: the sender is in the ring, and the ring in us.
                Some(()) = self.is_wanted.recv() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// One fetch. Gives the time until the next one that nobody asks for.
    async fn refresh(&self) -> std::time::Duration {
        let began = Instant::now();
        self.ring.counts.fetches.fetch_add(1, Ordering::Relaxed);
        let fetched = keys(&self.issuer, &*self.fetch).await;
        let failed = fetched.is_err();
        match fetched {
            Ok(keys) => {
                self.ring
                    .publish(keys, self.issuer.max_stale, self.issuer.keep_removed_keys)
            }
            Err(error) => {
                self.ring.counts.failures.fetch_add(1, Ordering::Relaxed);
                let source = std::error::Error::source(&error).map(ToString::to_string);
                let (authority, keys) = (&self.issuer.url, &self.issuer.keys);
                tracing::warn!(%authority, %keys, %error, source, "keys of an issuer cannot be fetched");
            }
        }
        let filled = self.ring.attempt.borrow().filled || !failed;
        self.ring.attempt.send_replace(Attempt {
            span: Some((began, Instant::now())),
            failed,
            filled,
        });
        if failed {
            self.issuer.min_refresh_interval
        } else {
            self.issuer.refresh_interval
        }
    }
}

/// How many of an issuer's keys are of use now. They are kept by nobody: it is asked by `adit doctor`.
///
/// # Errors
/// The keys cannot be had.
pub async fn usable_keys(issuer: &OidcIssuer, fetch: &dyn FetchKeys) -> Result<usize, FetchError> {
    Ok(keys(issuer, fetch).await?.len())
}

async fn keys(issuer: &OidcIssuer, fetch: &dyn FetchKeys) -> Result<Vec<PublicKey>, FetchError> {
    let document = timeout(issuer.fetch_timeout, async {
        match &issuer.keys {
            KeySource::Url(url) => fetch.fetch(url).await,
            KeySource::File(file) => read(file).await,
        }
    });
    let document = document.await.map_err(|_| FetchError::TimedOut)??;
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(FetchError::TooLong);
    }
    parse(&document)
}

async fn read(file: &Path) -> Result<Bytes, FetchError> {
    tokio::fs::read(file)
        .await
        .map(Bytes::from)
        .map_err(FetchError::File)
}

/// The usable keys of a document. Those of other kinds are none of our business: issuers list them for others.
fn parse(document: &[u8]) -> Result<Vec<PublicKey>, FetchError> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<serde_json::Value>,
    }
    let document: Document = serde_json::from_slice(document).map_err(FetchError::Document)?;
    let jwks = document
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> = jwks
        .filter_map(PublicKey::from_jwk)
        .take(MAX_KEYS)
        .collect();
    if keys.is_empty() {
        Err(FetchError::NoKeys)
    } else {
        Ok(keys)
    }
}

/// Keys taken of one document; GitLab has two or three.
const MAX_KEYS: usize = 100;
