//! Tokens that nobody should believe, end to end: the caller is told which it was, and nothing reaches the cluster.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_authority::issuer::KeyKind;
use adit_tests::{
    Caller, Refused, TestIssuer, World, job, kube, relay, scenario, until, within, world,
};
use aws_lc_rs::{
    hmac,
    signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

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

/// What everybody can read of an RSA key, in every form in which it may be mistaken for a secret.
fn public_forms(jwks: &str) -> Vec<(&'static str, Vec<u8>)> {
    let published: Value = serde_json::from_str(jwks).unwrap();
    let key = &published["keys"][0];
    let [modulus, exponent] = ["n", "e"].map(|part| key[part].as_str().unwrap());
    let numbers = [modulus, exponent].map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let pkcs1 = der(
        0x30,
        &numbers.each_ref().map(|number| integer(number)).concat(),
    );
    // 1.2.840.113549.1.1.1, rsaEncryption, with NULL for its parameters: RFC 3279 section 2.3.1.
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let bits = der(0x03, &[&[0], &pkcs1[..]].concat());
    let spki = der(0x30, &[&algorithm[..], &bits].concat());
    let text = |text: String| text.into_bytes();
    let (pkcs1_pem, spki_pem) = (pem("RSA PUBLIC KEY", &pkcs1), pem("PUBLIC KEY", &spki));
    vec![
        ("the set", text(jwks.to_owned())),
        ("the key as JSON", text(key.to_string())),
        ("the modulus as text", text(modulus.to_owned())),
        ("the modulus", numbers[0].clone()),
        ("PEM", text(spki_pem.clone())),
        (
            "PEM without its last line break",
            text(spki_pem.trim_end().to_owned()),
        ),
        ("PEM of PKCS#1", text(pkcs1_pem.clone())),
        (
            "PEM of PKCS#1 likewise",
            text(pkcs1_pem.trim_end().to_owned()),
        ),
        ("DER", spki),
        ("DER of PKCS#1", pkcs1),
    ]
}

/// One element: X.690 section 8.1.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len().to_be_bytes();
    let significant = &len[len.iter().position(|byte| *byte > 0).unwrap()..];
    let head = match content.len() {
        short @ ..0x80 => vec![tag, short as u8],
        _ => [&[tag, 0x80 | significant.len() as u8], significant].concat(),
    };
    [&head[..], content].concat()
}

/// A number above zero: a leading 1 bit would make it negative.
fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number[0] < 0x80 { &[] } else { &[0] };
    der(0x02, &[sign, number].concat())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

#[test]
fn public_key_is_no_secret_to_sign_with() {
    scenario(async {
        let issuer = TestIssuer::of_kind(KeyKind::Rsa);
        let world = World::of(kube(), relay().believing(issuer)).await;
        let issuer = world.relay.issuer();
        let good = issuer.token(&job(9001));
        let claims = good.split('.').nth(1).unwrap();
        let jwks: Value = serde_json::from_str(&issuer.jwks()).unwrap();
        let kid = &jwks["keys"][0]["kid"];
        let forms = public_forms(&issuer.jwks());
        // The forms are right: what is read of one is the key that signs.
        let (_, pkcs1) = forms.last().unwrap();
        let (message, signature) = good.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pkcs1)
            .verify(
                message.as_bytes(),
                &URL_SAFE_NO_PAD.decode(signature).unwrap(),
            )
            .unwrap();
        for (algorithm, kind) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            for (form, secret) in &forms {
                let header = json!({ "alg": algorithm, "typ": "JWT", "kid": kid }).to_string();
                let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
                let tag = hmac::sign(&hmac::Key::new(kind, secret), message.as_bytes());
                let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
                let (status, reason) = reason(&world, &token).await;
                assert_eq!(
                    (status, reason.as_str()),
                    (401, "token_algorithm_refused"),
                    "{algorithm} with {form}"
                );
            }
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

/// What a job is told that is not let in.
async fn refusal(job: &Caller) -> Option<Refused> {
    let answer = job.get("/api").await;
    (answer.status != StatusCode::OK).then(|| answer.refused())
}

#[test]
fn key_that_was_rotated_in_is_fetched_and_one_rotated_out_is_refused() {
    scenario(async {
        let world = World::of(kube(), relay().believing(TestIssuer::over_https().await)).await;
        let issuer = world.relay.issuer();
        let old = world.relay.job(1);
        old.get("/api").await.echo();
        issuer.rotate();
        let new = world.relay.job(2);
        // Refused as long as the relay may not ask again.
        within("the new key is fetched", async {
            while let Some(refused) = refusal(&new).await {
                let may_be_new = ["token_unknown_key", "token_key_pending"];
                assert!(may_be_new.contains(&refused.reason.as_str()), "{refused:?}");
            }
        })
        .await;
        old.get("/api").await.echo();
        issuer.forget_retired();
        let refused = within("the old key is refused", async {
            loop {
                match refusal(&old).await {
                    // Either it is still held, or the token is so young that its key may be a new one.
                    None => {}
                    Some(refused) if refused.reason == "token_key_pending" => {}
                    Some(refused) => break refused,
                }
            }
        })
        .await;
        assert_eq!(refused.told(), (401, "token_unknown_key", "client", None));
        new.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn unknown_keys_make_the_relay_ask_the_issuer_at_a_bounded_rate() {
    scenario(async {
        let world = World::of(kube(), relay().believing(TestIssuer::over_https().await)).await;
        let http2 = world.job.anonymous().http2().await;
        let began = Instant::now();
        let before = world.relay.issuer().fetches();
        for _ in 0..20 {
            let foreign = TestIssuer::new().token(&job(1));
            let mut request = adit_tests::caller::get("/api");
            let value = format!("Bearer ci:1:{foreign}").parse().unwrap();
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, value);
            let status = http2.answer(request).await.status.as_u16();
            assert!([401, 503].contains(&status), "{status}");
        }
        // At most one each 100 ms, which is what this relay is told, and the regular ones each 200 ms.
        let most = 2 + began.elapsed().as_millis() as usize / 60;
        let fetches = world.relay.issuer().fetches() - before;
        assert!(
            fetches <= most,
            "{fetches} fetches, expected {most} at most"
        );
        drop(http2);
        until("all is quiet", || world.kube.open() == 0).await;
        world.stop().await;
    });
}

#[test]
fn key_that_may_be_new_is_asked_for_later() {
    scenario(async {
        let issuer = TestIssuer::over_https().await.fetched_each("60s");
        let world = World::of(kube(), relay().believing(issuer)).await;
        // Made after the keys were fetched, by the clock of whoever made it.
        let new = TestIssuer::new().signed(&job(9001), |claims| {
            let issued = claims["iat"].as_u64().unwrap();
            claims.insert("iat".to_owned(), (issued + 2).into());
        });
        let refused = world
            .relay
            .showing(&format!("Bearer ci:1:{new}"))
            .get("/api")
            .await
            .refused();
        assert_eq!(
            (
                refused.status,
                refused.reason.as_str(),
                refused.hop.as_str()
            ),
            (503, "token_key_pending", "relay")
        );
        assert!(
            refused
                .retry_after
                .is_some_and(|seconds| (1..=60).contains(&seconds)),
            "{refused:?}"
        );
        let metrics = world.relay.metrics().await;
        assert_eq!(metrics.value("adit_relay_key_fetches_withheld_total"), 1.0);
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn issuer_that_cannot_be_reached_is_no_fault_of_the_caller() {
    scenario(async {
        let issuer = TestIssuer::over_https().await;
        issuer.be_away();
        let relay = relay().believing(issuer).start_unready().await;
        let refused = relay.job(9001).get("/api").await.refused();
        assert_eq!(
            (
                refused.status,
                refused.reason.as_str(),
                refused.hop.as_str(),
                refused.retry_after
            ),
            (503, "token_keys_unavailable", "relay", Some(2))
        );
        assert_eq!(relay.admin_get("/readyz").await.0, 503);
        relay.issuer().be_back();
        relay.until_ready().await;
        assert_eq!(
            relay.job(9001).get("/api").await.refused().reason,
            "agent_never_connected"
        );
        relay.stop().await;
    });
}
