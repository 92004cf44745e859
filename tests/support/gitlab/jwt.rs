//! The JWTs by which GitLab and the agent server know each other: HMAC with the secret that both have. RFC 7519.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The shared secret: 32 bytes, written to files in Base64.
pub type Secret = [u8; 32];

/// Signs with HS256.
pub(super) fn sign(secret: &Secret, claims: &Value) -> String {
    let message = message("HS256", claims);
    let tag = hmac::sign(&key(secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Does not sign: what an attacker hopes somebody will take for a JWT.
pub(super) fn unsigned(claims: &Value) -> String {
    format!("{}.", message("none", claims))
}

fn message(algorithm: &str, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT" });
    [&header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".")
}

/// What the agent server shows to GitLab.
pub(super) fn of_agent_server(secret: &Secret) -> String {
    let now = now();
    let claims = json!({
        "iss": "gitlab-kas",
        "aud": ["gitlab"],
        "iat": now,
        "nbf": now - 5,
        "exp": now + 30,
    });
    sign(secret, &claims)
}

/// Whether the agent server made this for GitLab, and it is in force by GitLab's clock.
pub(super) fn is_from_agent_server(secret: &Secret, jwt: &str, now: u64) -> bool {
    claims(secret, jwt).is_some_and(|claims| {
        claims["iss"] == "gitlab-kas"
            && is_for(&claims["aud"], "gitlab")
            && claims["exp"].as_u64().is_none_or(|expires| now < expires)
            && claims["nbf"].as_u64().is_none_or(|begins| begins <= now)
    })
}

/// The claims, when the signature is right.
fn claims(secret: &Secret, jwt: &str) -> Option<Value> {
    let (message, tag) = jwt.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let [header, claims, tag] = [header, claims, tag].map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let header: Value = serde_json::from_slice(&header?).ok()?;
    if header["alg"] != "HS256" {
        return None;
    }
    hmac::verify(&key(secret), message.as_bytes(), &tag?).ok()?;
    serde_json::from_slice(&claims?).ok()
}

fn is_for(audience: &Value, name: &str) -> bool {
    let all = audience.as_array();
    audience == name || all.is_some_and(|all| all.iter().any(|one| one == name))
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    seconds(SystemTime::now())
}

/// The same of another time.
pub(super) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
