//! Whether it is GitLab that calls: the JWT that it shows, signed with the secret that both have.
//! Invariant: the signature is looked at before what it signs, so a stranger learns nothing but that theirs is wrong.

use http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{
    Algorithm, Validation, decode,
    errors::{Error, ErrorKind},
};
use serde::de::IgnoredAny;

use super::{ApiSecret, SKEW};

/// Why a caller is not known to be GitLab. Shows nothing of what it has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGitLab {
    /// There is no `authorization`, or several, or of another scheme.
    #[error("no proof is shown: GitLab sends one with each call, `authorization: bearer <JWT>`")]
    NoProof,
    /// It is no JWT, or is signed otherwise.
    #[error("what is shown is no JWT that is signed with HS256, HS384 or HS512")]
    NoJwt,
    /// The signature is wrong.
    #[error("the JWT is signed with another secret than this relay's")]
    OtherSecret,
    /// It is meant for somebody else.
    #[error("the JWT is not for the audience {AUDIENCE}")]
    OtherAudience,
    /// It does not say when it ends.
    #[error("the JWT does not say until when it is good")]
    Endless,
    /// It is over, or has not begun.
    #[error("the JWT is over, or has not begun: are both clocks right?")]
    OtherTime,
}

const AUDIENCE: &str = "gitlab-kas";
const ALGORITHMS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

impl ApiSecret {
    /// Whether GitLab has sent these headers.
    ///
    /// # Errors
    ///
    /// They prove nothing of the kind.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), NotGitLab> {
        let jwt = bearer(headers).ok_or(NotGitLab::NoProof)?;
        let checked = decode::<IgnoredAny>(jwt, &self.keys.load().gitlabs, &rules());
        checked.map(drop).map_err(|error| why(&error))
    }
}

fn rules() -> Validation {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.algorithms = ALGORITHMS.to_vec();
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["aud", "exp"]);
    rules.validate_nbf = true;
    rules.leeway = SKEW.as_secs();
    rules
}

/// The word before the token is written in either case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else {
        return None;
    };
    let (scheme, jwt) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(jwt)
}

fn why(error: &Error) -> NotGitLab {
    let kind = error.kind();
    let lacks =
        |claim: &str| matches!(kind, ErrorKind::MissingRequiredClaim(name) if name == claim);
    if matches!(kind, ErrorKind::InvalidSignature) {
        NotGitLab::OtherSecret
    } else if matches!(kind, ErrorKind::InvalidAudience) || lacks("aud") {
        NotGitLab::OtherAudience
    } else if lacks("exp") {
        NotGitLab::Endless
    } else if matches!(
        kind,
        ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature
    ) {
        NotGitLab::OtherTime
    } else {
        NotGitLab::NoJwt
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::{Value, json};

    use super::*;

    fn secret() -> ApiSecret {
        ApiSecret::new(&STANDARD.encode([7; 32])).unwrap()
    }

    fn signed(algorithm: Algorithm, key: u8, claims: &Value) -> String {
        let key = EncodingKey::from_secret(&[key; 32]);
        encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    fn check(values: &[&str]) -> Result<(), NotGitLab> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        secret().check(&headers)
    }

    /// As GitLab makes it, so many seconds from now.
    fn claims(begins: i64, ends: i64) -> Value {
        let at = |seconds| get_current_timestamp().saturating_add_signed(seconds);
        json!({ "iss": "gitlab.example.com", "aud": "gitlab-kas", "nbf": at(begins), "exp": at(ends) })
    }

    #[test]
    fn gitlab_is_known_by_its_proof() {
        for algorithm in ALGORITHMS {
            let jwt = signed(algorithm, 7, &claims(-5, 60));
            assert_eq!(check(&[&format!("bearer {jwt}")]), Ok(()), "{algorithm:?}");
            assert_eq!(check(&[&format!("Bearer {jwt}")]), Ok(()), "{algorithm:?}");
        }
        let mut listed = claims(-5, 60);
        listed["aud"] = json!(["other", "gitlab-kas"]);
        let jwt = signed(Algorithm::HS256, 7, &listed);
        assert_eq!(check(&[&format!("bearer {jwt}")]), Ok(()));
    }

    #[test]
    fn whoever_proves_less_is_told_what_is_wrong() {
        let with = |name: &str, value: Value| {
            let mut claims = claims(-5, 60);
            claims[name] = value;
            claims
        };
        let cases = [
            (8, claims(-5, 60), NotGitLab::OtherSecret),
            (7, with("aud", json!("gitlab")), NotGitLab::OtherAudience),
            (7, with("aud", Value::Null), NotGitLab::OtherAudience),
            (7, with("exp", Value::Null), NotGitLab::Endless),
            (7, claims(-90, -30), NotGitLab::OtherTime),
            (7, claims(30, 90), NotGitLab::OtherTime),
            // The signature first: what a stranger's claims are worth is not told.
            (8, with("aud", json!("gitlab")), NotGitLab::OtherSecret),
        ];
        for (key, claims, expected) in cases {
            let jwt = signed(Algorithm::HS256, key, &claims);
            assert_eq!(
                check(&[&format!("bearer {jwt}")]),
                Err(expected),
                "{claims}"
            );
        }
    }

    #[test]
    fn what_is_not_signed_is_no_proof() {
        let jwt = signed(Algorithm::HS256, 7, &claims(-5, 60));
        let (_, rest) = jwt.split_once('.').unwrap();
        let (claims, _) = rest.split_once('.').unwrap();
        // {"alg":"none"}, {"alg":"RS256"}
        let unsigned = format!("bearer eyJhbGciOiJub25lIn0.{claims}.");
        let other = format!("bearer eyJhbGciOiJSUzI1NiJ9.{rest}");
        for odd in [
            unsigned.as_str(),
            &other,
            "bearer x",
            "bearer ",
            "bearer a.b.c",
        ] {
            assert_eq!(check(&[odd]), Err(NotGitLab::NoJwt), "{odd}");
        }
        let right = format!("bearer {jwt}");
        let basic = format!("basic {jwt}");
        let odd: [&[&str]; 4] = [&[], &[&jwt], &[&basic], &[&right, &right]];
        for odd in odd {
            assert_eq!(check(odd), Err(NotGitLab::NoProof), "{odd:?}");
        }
    }
}
