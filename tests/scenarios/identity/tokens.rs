//! Tokens that nobody should believe, end to end: the caller is told which it was, and nothing reaches the cluster.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_authority::issuer::KeyKind;
use adit_tests::{TestIssuer, World, job, kube, relay, scenario, world};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

mod public_key;

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// What is done to a token's claims before it is signed.
type Change = Box<dyn FnOnce(&mut Map<String, Value>)>;

fn set(name: &'static str, value: impl Into<Value>) -> impl FnOnce(&mut Map<String, Value>) {
    let value = value.into();
    move |claims| {
        claims.insert(name.to_owned(), value);
    }
}

/// What the relay says to this token. Nothing may have reached the API server.
async fn reason(world: &World, token: &str) -> (u16, String) {
    let before = world.kube.request_count();
    let refused = world
        .relay
        .showing(&format!("Bearer ci:1:{token}"))
        .get("/api")
        .await
        .refused();
    assert_eq!(world.kube.request_count(), before);
    assert!(
        !refused.message.contains(token) || token.is_empty(),
        "the message shows the token"
    );
    (refused.status, refused.reason)
}

#[test]
fn tokens_with_bad_claims_are_refused() {
    scenario(async {
        let world = world().await;
        let signed = |change: Change| world.relay.issuer().signed(&job(9001), change);
        let cases: Vec<(&str, &str, Change)> = vec![
            ("expired", "token_expired", Box::new(set("exp", now() - 60))),
            (
                "expired just now",
                "token_expired",
                Box::new(set("exp", now() - 1)),
            ),
            (
                "expiry as a text",
                "token_bad_claim",
                Box::new(set("exp", (now() + 600).to_string())),
            ),
            (
                "no expiry",
                "token_missing_claim",
                Box::new(|claims: &mut Map<String, Value>| drop(claims.remove("exp"))),
            ),
            (
                "not yet valid",
                "token_not_yet_valid",
                Box::new(set("nbf", now() + 60)),
            ),
            (
                "another issuer",
                "token_unknown_issuer",
                Box::new(set("iss", "https://gitlab.elsewhere.test")),
            ),
            (
                "issuer with a slash",
                "token_unknown_issuer",
                Box::new(set("iss", "https://gitlab.test/")),
            ),
            (
                "another audience",
                "token_wrong_audience",
                Box::new(set("aud", "somebody-else")),
            ),
            (
                "no audience",
                "token_missing_claim",
                Box::new(|claims: &mut Map<String, Value>| drop(claims.remove("aud"))),
            ),
            (
                "no project",
                "token_missing_claim",
                Box::new(|claims: &mut Map<String, Value>| {
                    claims.retain(|name, _| !name.ends_with("project_id"))
                }),
            ),
            (
                "no paths",
                "token_missing_claim",
                Box::new(|claims: &mut Map<String, Value>| {
                    claims.retain(|name, _| !name.ends_with("project_path"))
                }),
            ),
            (
                "project that is no number",
                "token_bad_claim",
                Box::new(set("job_project_id", "150a")),
            ),
            (
                "for a month",
                "token_lifetime_too_long",
                Box::new(set("exp", now() + 30 * 24 * 3600)),
            ),
            (
                "no job",
                "token_missing_claim",
                Box::new(|claims: &mut Map<String, Value>| drop(claims.remove("job_id"))),
            ),
        ];
        for (what, expected, change) in cases {
            let (status, reason) = reason(&world, &signed(change)).await;
            assert_eq!((status, reason.as_str()), (401, expected), "{what}");
        }
        // The rig is right: an unchanged token passes.
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn tokens_with_a_bad_signature_are_refused() {
    scenario(async {
        let issuer = TestIssuer::of_kind(KeyKind::Rsa);
        let world = World::of(kube(), relay().believing(issuer)).await;
        let issuer = world.relay.issuer();
        let good = issuer.token(&job(9001));
        let [header, claims, signature]: [&str; 3] =
            good.split('.').collect::<Vec<_>>().try_into().unwrap();
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let kid: Value = serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(header).unwrap())
            .unwrap()["kid"]
            .clone();

        let none = format!(
            "{}.{claims}.",
            encode(json!({ "alg": "none", "typ": "JWT", "kid": kid }))
        );
        let none_in_capitals =
            format!("{}.{claims}.", encode(json!({ "alg": "NONE", "kid": kid })));
        let unsigned = format!("{header}.{claims}.");
        let stripped = format!("{header}.{claims}");
        let other_kind = format!(
            "{}.{claims}.{signature}",
            encode(json!({ "alg": "PS256", "typ": "JWT", "kid": kid }))
        );
        let critical = format!(
            "{}.{claims}.{signature}",
            encode(json!({ "alg": "RS256", "kid": kid, "crit": ["b64"], "b64": false }))
        );
        let changed = {
            let mut altered = URL_SAFE_NO_PAD.decode(claims).unwrap();
            let at = altered
                .windows(4)
                .position(|window| window == b"9001")
                .unwrap();
            altered[at] = b'8';
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(altered))
        };
        // Older than the keys that are held: a younger one might be signed by a key that is new.
        let foreign = TestIssuer::of_kind(KeyKind::Rsa).signed(&job(9001), |claims| {
            let issued = claims["iat"].as_u64().unwrap();
            claims.insert("iat".to_owned(), (issued - 60).into());
        });
        let foreign_with_our_kid = {
            let signature = foreign.rsplit('.').next().unwrap();
            format!("{header}.{claims}.{signature}")
        };
        let no_kid = format!(
            "{}.{claims}.{signature}",
            encode(json!({ "alg": "RS256", "typ": "JWT" }))
        );
        let own_key = format!(
            "{}.{claims}.{signature}",
            encode(
                json!({ "alg": "RS256", "kid": kid, "jwk": { "kty": "RSA" }, "jku": "https://elsewhere.test" })
            )
        );
        let cases = [
            ("alg none", "token_algorithm_refused", none),
            ("alg NONE", "token_algorithm_refused", none_in_capitals),
            ("no signature", "token_bad_signature", unsigned),
            ("two parts", "token_malformed", stripped),
            ("another kind", "token_algorithm_mismatch", other_kind),
            ("critical header", "token_critical_header", critical),
            ("changed claims", "token_bad_signature", changed),
            ("unknown kid", "token_unknown_key", foreign),
            ("another key", "token_bad_signature", foreign_with_our_kid),
            ("no kid", "token_no_key_id", no_kid),
            ("key in the header", "token_bad_signature", own_key),
            ("not a token", "token_malformed", "x".into()),
            ("dots", "token_malformed", "..".into()),
        ];
        for (what, expected, token) in cases {
            let (status, reason) = reason(&world, &token).await;
            assert_eq!((status, reason.as_str()), (401, expected), "{what}");
        }
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn headers_that_hold_no_token_are_refused() {
    scenario(async {
        let world = world().await;
        let token = world.relay.issuer().token(&job(9001));
        let long = format!("Bearer ci:1:{}", "x".repeat(17 << 10));
        let cases = [
            ("", "credential_missing"),
            ("Bearer", "credential_empty"),
            ("Bearer ", "credential_empty"),
            ("Bearer ci:1:", "credential_empty"),
            ("Basic Y2k6MQ==", "credential_scheme"),
            (&token, "credential_scheme"),
            (
                &format!("Bearer {token}, Bearer {token}"),
                "credential_joined",
            ),
            (&format!("Bearer {token} {token}"), "credential_joined"),
            (&format!("Bearer pat:1:{token}"), "credential_kind"),
            (&format!("Bearer oidc:1:{token}"), "credential_kind"),
            (&format!("Bearer ci:{token}"), "credential_agent"),
            (&format!("Bearer ci:01:{token}"), "credential_agent"),
            (&format!("Bearer ci:-1:{token}"), "credential_agent"),
            (&format!("Bearer ci:1:ci:1:{token}"), "credential_character"),
            ("Bearer ci:1:caf\u{e9}", "credential_character"),
            (&long, "credential_too_long"),
        ];
        let http2 = world.job.anonymous().http2().await;
        for (value, reason) in cases {
            let mut request = adit_tests::caller::get("/api");
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, value.clone());
            let refused = http2.answer(request).await.refused();
            assert_eq!(
                (refused.status, refused.reason.as_str()),
                (401, reason),
                "{value:?}"
            );
        }
        let refused = http2.get("/api").await.refused();
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (401, "credential_missing")
        );
        assert_eq!(world.kube.request_count(), 1);
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn token_for_one_agent_opens_no_other() {
    scenario(async {
        let world = world().await;
        for id in ["0", "3", "4", "18446744073709551615"] {
            let token = world.relay.issuer().token(&job(9001));
            let refused = world
                .relay
                .showing(&format!("Bearer ci:{id}:{token}"))
                .get("/api")
                .await
                .refused();
            assert!(matches!(refused.status, 401 | 403), "{id}: {refused:?}");
        }
        // An agent's own token is no caller's.
        let (status, _) = reason(&world, "canary-agent-token-of-prod").await;
        assert_eq!(status, 401);
        world.stop().await;
    });
}
