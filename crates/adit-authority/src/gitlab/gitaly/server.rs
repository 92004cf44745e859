//! One Gitaly: where it is, and what it is shown with each call.
//! Invariant: its token is shown to nobody; a proof made of it says when it was made, and is good for half a minute.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Address, BadAddress};

/// A server, as GitLab describes it.
#[derive(Clone)]
pub struct Server {
    address: Address,
    /// None where it is empty: such a Gitaly lets everybody in.
    key: Option<hmac::Key>,
    features: HeaderMap,
}

/// The same as GitLab sends it.
#[derive(Deserialize)]
pub(in crate::gitlab) struct RawServer {
    address: String,
    #[serde(default)]
    token: Option<SecretString>,
    #[serde(default)]
    features: Option<BTreeMap<String, String>>,
}

impl Server {
    /// At this address, with this token, which may be empty, and what is to be sent along.
    ///
    /// # Errors
    ///
    /// Nothing can be dialled there.
    pub fn new(
        address: &str,
        token: &SecretString,
        features: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, BadAddress> {
        let token = token.expose_secret();
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        Ok(Self {
            address: address.parse()?,
            key: (!token.is_empty()).then_some(key),
            // GitLab has no others than those that can be sent.
            features: features.into_iter().filter_map(field).collect(),
        })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What a call at this moment carries: `authorization: Bearer v2.<hex HMAC of T>.<T>`, and the features.
    pub(super) fn metadata(&self, now: SystemTime) -> HeaderMap {
        let mut metadata = self.features.clone();
        if let Some(key) = &self.key {
            metadata.insert(AUTHORIZATION, proof(key, now));
        }
        metadata
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}

impl RawServer {
    pub(super) fn check(self) -> Result<Server, BadAddress> {
        Server::new(
            &self.address,
            &self.token.unwrap_or_default(),
            self.features.unwrap_or_default(),
        )
    }
}

fn proof(key: &hmac::Key, now: SystemTime) -> HeaderValue {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = now.as_secs().to_string();
    let mut proof = "Bearer v2.".to_owned();
    for byte in hmac::sign(key, time.as_bytes()).as_ref() {
        // A String takes whatever is written.
        let _ = write!(proof, "{byte:02x}");
    }
    let proof = HeaderValue::try_from(format!("{proof}.{time}"));
    let mut proof = proof.expect("digits and dots are visible characters");
    proof.set_sensitive(true);
    proof
}

fn field((name, value): (String, String)) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn metadata(token: &str) -> HeaderMap {
        let features = [("gitaly-feature-x".to_owned(), "true".to_owned())];
        let server = Server::new("tcp://gitaly:8075", &token.into(), features).unwrap();
        assert!(!format!("{server:?}").contains("secret"), "{server:?}");
        server.metadata(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
    }

    #[test]
    fn a_proof_is_what_gitaly_expects() {
        let metadata = metadata("secret");
        // printf 1700000000 | openssl dgst -sha256 -hmac secret
        let expected =
            "Bearer v2.4b227f8831b3763d066901751ad4c583ed08832bf1924a4ec50c2e871b1e8586.1700000000";
        assert_eq!(metadata["authorization"], expected);
        assert!(metadata["authorization"].is_sensitive());
        assert_eq!(metadata["gitaly-feature-x"], "true");
        assert_eq!(metadata.len(), 2);
    }

    #[test]
    fn without_a_token_there_is_no_proof() {
        let metadata = metadata("");
        assert_eq!(metadata.get("authorization"), None);
        assert_eq!(metadata["gitaly-feature-x"], "true");
    }
}
