//! What the agent keeps in the cluster for a `GitRepository`: a Secret with a token and a Receiver that takes it. Nothing is asked here.
//!
//! The Receiver is of the type `generic-hmac`: whoever calls it signs with the token. With `generic` its path alone would do, which
//! everybody knows who may look at Receivers or at an API server's audit log. So that the agent need not read Secrets where others have
//! theirs, it makes each token of a key of its own ([`Key::token`]) and never looks at it again.
//!
//! Invariant: both belong to their repository, and go with it.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Value, json};

use super::repositories::{Place, Repository};

/// What all tokens are made of: as good as each of them.
#[derive(Clone)]
pub(super) struct Key(hmac::Key);

/// By whom fields are applied.
pub(super) const MANAGER: &str = "adit-agent";

impl Key {
    pub(super) fn new(text: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
    }

    /// The token of a repository's Receiver.
    pub(super) fn token(&self, of: &Place) -> String {
        let of = format!("receiver {}/{}", of.namespace, of.name);
        hex(hmac::sign(&self.0, of.as_bytes()).as_ref())
    }

    /// What proves to the Receiver that `body` is ours: the field `X-Signature`.
    pub(super) fn signature(&self, of: &Place, body: &Bytes) -> HeaderValue {
        let token = hmac::Key::new(hmac::HMAC_SHA256, self.token(of).as_bytes());
        let signature = format!("sha256={}", hex(hmac::sign(&token, body).as_ref()));
        HeaderValue::try_from(signature).expect("digits may stand in a field")
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The Secret of a repository's Receiver.
pub(super) fn secret(of: &Place, repository: &Repository, agent: u64, key: &Key) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(&secret_name(of), of, repository, agent),
        "type": "Opaque",
        "stringData": { "token": key.token(of) },
    })
}

/// Its Receiver.
pub(super) fn receiver(of: &Place, repository: &Repository, agent: u64) -> Value {
    json!({
        "apiVersion": "notification.toolkit.fluxcd.io/v1",
        "kind": "Receiver",
        "metadata": metadata(&receiver_name(of), of, repository, agent),
        "spec": {
            "type": "generic-hmac",
            "secretRef": { "name": secret_name(of) },
            "resources": [{
                "apiVersion": "source.toolkit.fluxcd.io/v1",
                "kind": "GitRepository",
                "name": of.name,
            }],
        },
    })
}

pub(super) fn secret_name(of: &Place) -> String {
    named("gitlab-receiver-", &of.name)
}

pub(super) fn receiver_name(of: &Place) -> String {
    named("gitlab-", &of.name)
}

fn metadata(name: &str, of: &Place, repository: &Repository, agent: u64) -> Value {
    json!({
        "name": name,
        "namespace": of.namespace,
        "annotations": {
            "app.kubernetes.io/managed-by": "gitlab",
            "agent.gitlab.com/id": agent.to_string(),
            "agent.gitlab.com/project": repository.project.as_str(),
        },
        "ownerReferences": [{
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "name": of.name,
            "uid": repository.uid,
        }],
    })
}

/// At most 63 characters: what would be longer is cut, and told from others by a hash.
fn named(prefix: &str, name: &str) -> String {
    if prefix.len() + name.len() <= MAX_NAME {
        return format!("{prefix}{name}");
    }
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let hash = hex(hash.as_ref());
    let hash = hash.get(..HASH_DIGITS).unwrap_or_default();
    let room = MAX_NAME - prefix.len() - 1 - HASH_DIGITS;
    let start = name.get(..room).unwrap_or_default();
    format!("{prefix}{}-{hash}", start.trim_end_matches(['.', '-']))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const MAX_NAME: usize = 63;
const HASH_DIGITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place {
            namespace: "flux-system".into(),
            name: name.into(),
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        assert_eq!(receiver_name(&place("app")), "gitlab-app");
        assert_eq!(secret_name(&place("app")), "gitlab-receiver-app");
        // The Secret's is cut behind the dot.
        let long = |end: &str| place(&format!("{}.{}{end}", "a".repeat(37), "b".repeat(30)));
        let (one, other) = (long("one"), long("other"));
        for name in [secret_name, receiver_name] {
            assert!(name(&one).len() <= MAX_NAME, "{}", name(&one));
            assert_ne!(name(&one), name(&other));
            assert!(!name(&one).contains(".-"), "{}", name(&one));
        }
        let exact = place(&"a".repeat(MAX_NAME - "gitlab-".len()));
        assert_eq!(receiver_name(&exact), format!("gitlab-{}", exact.name));
    }

    #[test]
    fn a_repository_has_a_secret_and_a_receiver_that_go_with_it() {
        let repository = Repository {
            uid: "u-1".into(),
            project: "group/app".parse().unwrap(),
        };
        let (of, key) = (place("app"), Key::new("key"));
        let (secret, receiver) = (
            secret(&of, &repository, 7, &key),
            receiver(&of, &repository, 7),
        );
        for object in [&secret, &receiver] {
            let metadata = &object["metadata"];
            assert_eq!(metadata["namespace"], "flux-system");
            assert_eq!(metadata["ownerReferences"][0]["uid"], "u-1");
            let annotations = json!({
                "app.kubernetes.io/managed-by": "gitlab",
                "agent.gitlab.com/id": "7",
                "agent.gitlab.com/project": "group/app",
            });
            assert_eq!(metadata["annotations"], annotations);
        }
        assert_eq!(
            receiver["spec"]["secretRef"]["name"],
            secret["metadata"]["name"]
        );
        assert_eq!(secret["stringData"]["token"], key.token(&of));
        assert_ne!(key.token(&of), key.token(&place("other")));
        assert_ne!(key.token(&of), Key::new("other").token(&of));
    }
}
