//! Issuers whose tokens are accepted, checked, with every default in one place ([`OidcIssuer::new`]).
//! Invariant: keys come over TLS, from a file, or from this very machine; an issuer without audience would accept tokens
//! meant for anyone, so there is none.

mod raw;

use std::{
    collections::HashMap,
    fmt,
    path::{self, PathBuf},
    sync::Arc,
    time::Duration,
};

use adit_identity::{FullPath, GroupId};

pub use raw::{RawIssuer, RawOidc};

/// The checked section.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// Whose tokens are accepted.
    pub issuers: Vec<OidcIssuer>,
    /// Verified tokens remembered.
    pub max_cached_tokens: usize,
}

/// One checked issuer. Fields as in [`RawIssuer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcIssuer {
    /// What `iss` holds.
    pub url: Box<str>,
    /// One of these must be in `aud`.
    pub audiences: Vec<Box<str>>,
    /// Where the keys are.
    pub keys: KeySource,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The longest time from `iat` to `exp`.
    pub max_lifetime: Duration,
    /// How often keys are fetched.
    pub refresh_interval: Duration,
    /// The shortest time between two fetches.
    pub min_refresh_interval: Duration,
    /// When a fetch is given up.
    pub fetch_timeout: Duration,
    /// How long a removed key is accepted.
    pub keep_removed_keys: Duration,
    /// How long keys are accepted without a fetch that worked.
    pub max_stale: Duration,
    /// Ids of groups by path.
    pub group_ids: Arc<HashMap<FullPath, GroupId>>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Asked for by [`super::FetchKeys`].
    Url(Box<str>),
    /// Read by us.
    File(PathBuf),
}

/// As logs and the doctor name it: in a query there may be a secret.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(without_query(url)),
            Self::File(path) => {
                // A relative one goes by the folder that the process was started in.
                let whole = path::absolute(path);
                let whole = whole.as_ref().unwrap_or(path);
                write!(f, "{} (jwks_file)", whole.display())
            }
        }
    }
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

impl OidcConfig {
    /// The issuers' URLs, for [`crate::Agents::check`].
    #[must_use]
    pub fn urls(&self) -> Vec<Box<str>> {
        self.issuers
            .iter()
            .map(|issuer| issuer.url.clone())
            .collect()
    }
}

impl OidcIssuer {
    /// An issuer with all defaults.
    #[must_use]
    pub fn new(url: &str, audiences: &[&str], keys: KeySource) -> Self {
        let refresh_interval = match keys {
            KeySource::Url(_) => Duration::from_mins(5),
            KeySource::File(_) => Duration::from_secs(10),
        };
        Self {
            url: url.into(),
            audiences: audiences.iter().map(|&audience| audience.into()).collect(),
            keys,
            leeway: Duration::from_secs(10),
            max_lifetime: Duration::from_hours(24),
            refresh_interval,
            min_refresh_interval: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(10),
            keep_removed_keys: Duration::from_mins(10),
            max_stale: Duration::from_hours(24),
            group_ids: Arc::default(),
        }
    }

    /// Whether every token that `former` lets in is let in here, too, and for the same job.
    pub(super) fn covers(&self, former: &Self) -> bool {
        let has = |audience| self.audiences.contains(audience);
        self.url == former.url
            && self.keys == former.keys
            && former.audiences.iter().all(has)
            && self.leeway >= former.leeway
            && self.max_lifetime >= former.max_lifetime
            && self.group_ids == former.group_ids
    }
}

#[cfg(test)]
mod tests;
