//! The secret that GitLab shares with its agent server, and the proof made of it: without one GitLab says nothing about agents. The
//! administrator of a GitLab instance has it; nobody else can. GitLab shows a proof made of it, too, when it calls (`shown.rs`).
//! Invariant: it leaves this value only as a signature that is good for half a minute.

mod shown;

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use serde::Serialize;

pub use shown::NotGitLab;

use super::{
    AskError, AskGitLab, Trouble,
    agents::{NEWER, OLDER},
    line::{Answer, Asker, Snag, is_not_trusted},
};

/// The current secret. It may be replaced while it is in use.
pub struct ApiSecret {
    keys: ArcSwap<Keys>,
    /// Whether GitLab did not know it when it was last asked; logged when that changes.
    is_distrusted: AtomicBool,
}

/// The secret as the two that it is: what proofs are made with, and what they are checked with.
struct Keys {
    ours: EncodingKey,
    gitlabs: DecodingKey,
}

/// Why a text is no such secret. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one line of standard Base64 for {SECRET_BYTES} bytes")]
pub struct BadApiSecret;

/// What GitLab makes of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It accepts it.
    Given,
    /// It does not.
    Refused,
    /// It answers something else.
    Unclear(StatusCode),
}

const PROOF: HeaderName = HeaderName::from_static("gitlab-kas-api-request");
/// What GitLab's own installations make.
const SECRET_BYTES: usize = 32;
/// How long a proof is good, and how far GitLab's clock may be behind.
const GOOD_FOR: Duration = Duration::from_secs(30);
const SKEW: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Claims {
    iss: &'static str,
    aud: [&'static str; 1],
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl ApiSecret {
    /// The secret that stands in a file, as GitLab's own installations write it.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn new(text: &str) -> Result<Self, BadApiSecret> {
        Ok(Self {
            keys: ArcSwap::from_pointee(parse(text)?),
            is_distrusted: AtomicBool::new(false),
        })
    }

    /// Uses this one from now on.
    ///
    /// # Errors
    ///
    /// It is none, and the old one stays.
    pub fn replace(&self, text: &str) -> Result<(), BadApiSecret> {
        self.keys.store(parse(text)?.into());
        Ok(())
    }

    /// Asks GitLab something that it tells only those who know the secret. Cancel-safe.
    pub(super) async fn ask(
        &self,
        asker: &Asker<'_>,
        mut request: Request<Bytes>,
    ) -> Result<Answer, Snag> {
        let proof = self.proof(SystemTime::now());
        request.headers_mut().insert(PROOF, proof);
        let answer = asker.ask(request).await;
        match &answer {
            Err(snag) if snag.why == Trouble::NotTrusted => {
                if !self.is_distrusted.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "GitLab does not accept this relay's proof: is the secret in `authorities.gitlab.api_secret_file` GitLab's, and are both clocks right?"
                    );
                }
            }
            Ok(_) if self.is_distrusted.swap(false, Ordering::Relaxed) => {
                tracing::info!("GitLab accepts this relay's proof again");
            }
            Ok(_) | Err(_) => {}
        }
        answer
    }

    /// Shows GitLab a proof and nothing else, once: for whoever wants to know whether it is accepted before anybody depends on it. The
    /// caller sets the deadline.
    ///
    /// # Errors
    ///
    /// GitLab does not answer.
    pub async fn try_out(&self, gitlab: &dyn AskGitLab) -> Result<Trust, AskError> {
        let mut trust = Trust::Unclear(StatusCode::NOT_FOUND);
        for path in [NEWER, OLDER] {
            let request = Request::get(path).header(PROOF, self.proof(SystemTime::now()));
            let request = request.body(Bytes::new()).expect("a constant target");
            let answer = gitlab.ask(request).await?;
            trust = match answer.status() {
                _ if is_not_trusted(&answer) => Trust::Refused,
                // It lacks the agent's token, which is not looked at before the proof.
                StatusCode::UNAUTHORIZED => Trust::Given,
                status => Trust::Unclear(status),
            };
            if trust != Trust::Unclear(StatusCode::NOT_FOUND) {
                break;
            }
        }
        Ok(trust)
    }

    fn proof(&self, now: SystemTime) -> HeaderValue {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            iss: "gitlab-kas",
            aud: ["gitlab"],
            iat: now.as_secs(),
            nbf: now.saturating_sub(SKEW).as_secs(),
            exp: (now + GOOD_FOR).as_secs(),
        };
        let header = Header::new(Algorithm::HS256);
        let proof = encode(&header, &claims, &self.keys.load().ours);
        let proof = proof.expect("numbers and texts serialise, and any bytes are a key of HMAC");
        let mut proof = HeaderValue::try_from(proof).expect("a JWT has visible characters only");
        proof.set_sensitive(true);
        proof
    }
}

impl fmt::Debug for ApiSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiSecret(..)")
    }
}

fn parse(text: &str) -> Result<Keys, BadApiSecret> {
    let bytes = STANDARD.decode(text.trim_end_matches(['\r', '\n']));
    let bytes = bytes.map_err(|_| BadApiSecret)?;
    if bytes.len() != SECRET_BYTES {
        return Err(BadApiSecret);
    }
    Ok(Keys {
        ours: EncodingKey::from_secret(&bytes),
        gitlabs: DecodingKey::from_secret(&bytes),
    })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Validation, decode};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_proof_is_what_gitlab_expects() {
        let now = SystemTime::now();
        let secret = ApiSecret::new(&format!("{}\n", STANDARD.encode([7; 32]))).unwrap();
        let proof = secret.proof(now);
        assert!(proof.is_sensitive());
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&["gitlab-kas"]);
        rules.set_audience(&["gitlab"]);
        rules.validate_nbf = true;
        let key = DecodingKey::from_secret(&[7; 32]);
        let claims = decode::<Value>(proof.to_str().unwrap(), &key, &rules)
            .unwrap()
            .claims;
        let at = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(claims["iat"], at);
        assert_eq!(claims["nbf"], at - 5);
        assert_eq!(claims["exp"], at + 30);

        secret.replace(&STANDARD.encode([8; 32])).unwrap();
        let proof = secret.proof(now);
        assert!(decode::<Value>(proof.to_str().unwrap(), &key, &rules).is_err());
    }

    #[test]
    fn only_thirty_two_bytes_are_a_secret() {
        let texts = [
            String::new(),
            STANDARD.encode([7; 31]),
            STANDARD.encode([7; 33]),
            "7".repeat(32),
            format!("{}\n{}", STANDARD.encode([7; 16]), STANDARD.encode([7; 16])),
        ];
        for text in texts {
            assert_eq!(ApiSecret::new(&text).unwrap_err(), BadApiSecret, "{text:?}");
        }
        let secret = ApiSecret::new(&STANDARD.encode([7; 32])).unwrap();
        assert_eq!(secret.replace("x"), Err(BadApiSecret));
        assert_eq!(format!("{secret:?}"), "ApiSecret(..)");
    }
}
