//! Every token that must not pass.

use super::*;

/// A token of any header and claims, signed by `sign`.
fn forged(
    header: Value,
    claims: &Map<String, Value>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let parts = [header, Value::Object(claims.clone())];
    let message = parts
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let signature = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn refusal(world: &World, token: &str) -> TokenError {
    world
        .verify(token)
        .await
        .expect_err("a bad token is refused")
}

#[tokio::test(start_paused = true)]
async fn expired_token_is_refused() {
    let world = World::new(KeyKind::EcP256);
    let token = world.token();
    let at = |seconds| world.now + HOUR + Duration::from_secs(seconds);
    assert!(world.verify_at(&token, at(9)).await.is_ok());
    // Known by now, and refused all the same.
    assert_eq!(
        world.verify_at(&token, at(10)).await.unwrap_err(),
        TokenError::Expired
    );
}

#[tokio::test(start_paused = true)]
async fn token_from_the_future_is_refused() {
    let world = World::new(KeyKind::EcP256);
    let seconds = |offset: u64| json!(1_800_000_000_u64 + offset);
    for claim in ["nbf", "iat"] {
        assert!(
            world
                .verify(&world.token_with(json!({ claim: seconds(10) })))
                .await
                .is_ok()
        );
        let token = world.token_with(json!({ claim: seconds(11) }));
        assert_eq!(
            refusal(&world, &token).await,
            TokenError::NotYetValid,
            "{claim}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn token_that_lives_too_long_is_refused() {
    let world = World::with(KeyKind::EcP256, |issuer| issuer.max_lifetime = HOUR);
    assert!(world.verify(&world.token()).await.is_ok());
    let long = world
        .issuer
        .token(&job(), AUDIENCE, world.now, HOUR + Duration::from_secs(1))
        .unwrap();
    assert_eq!(refusal(&world, &long).await, TokenError::LifetimeTooLong);
    let undated = world.token_with(json!({ "iat": null, "exp": 1_800_003_601_u64 }));
    assert_eq!(refusal(&world, &undated).await, TokenError::LifetimeTooLong);
}

#[tokio::test(start_paused = true)]
async fn token_of_another_issuer_is_refused() {
    let world = World::new(KeyKind::EcP256);
    for issuer in [
        "https://gitlab.example.com/",
        "https://gitlab.example.org",
        "HTTPS://gitlab.example.com",
    ] {
        let token = world.token_with(json!({ "iss": issuer }));
        assert_eq!(
            refusal(&world, &token).await,
            TokenError::UnknownIssuer,
            "{issuer}"
        );
    }
    let token = world.token_with(json!({ "iss": [ISSUER] }));
    assert_eq!(refusal(&world, &token).await, TokenError::BadClaim("iss"));
}

#[tokio::test(start_paused = true)]
async fn token_for_another_audience_is_refused() {
    let world = World::new(KeyKind::EcP256);
    let with = |audience: Value| world.token_with(json!({ "aud": audience }));
    assert!(
        world
            .verify(&with(json!(["someone", AUDIENCE])))
            .await
            .is_ok()
    );
    for audience in [
        json!("someone"),
        json!([]),
        json!(["someone"]),
        json!("https://adit.example.com/"),
    ] {
        assert_eq!(
            refusal(&world, &with(audience.clone())).await,
            TokenError::WrongAudience,
            "{audience}"
        );
    }
    for audience in [
        json!(1),
        json!([AUDIENCE, 1]),
        json!({ AUDIENCE: 1 }),
        json!(true),
    ] {
        assert_eq!(
            refusal(&world, &with(audience.clone())).await,
            TokenError::BadClaim("aud"),
            "{audience}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn unsigned_token_is_refused() {
    let world = World::new(KeyKind::EcP256);
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({ "alg": algorithm, "kid": world.issuer.key_id() });
        let token = forged(header, &world.claims(), |_| Vec::new());
        assert_eq!(
            refusal(&world, &token).await,
            TokenError::AlgorithmRefused,
            "{algorithm}"
        );
    }
    let stripped = world
        .token()
        .rsplit_once('.')
        .map(|(message, _)| format!("{message}."))
        .unwrap();
    assert_eq!(refusal(&world, &stripped).await, TokenError::BadSignature);
}

#[tokio::test(start_paused = true)]
async fn hs256_signed_with_the_public_key_is_refused() {
    let world = World::new(KeyKind::Rsa);
    let published: Value = serde_json::from_str(&world.issuer.jwks()).unwrap();
    let modulus = published["keys"][0]["n"].as_str().unwrap();
    let secrets = [
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        world.issuer.jwks().into_bytes(),
    ];
    for (algorithm, kind) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        for secret in &secrets {
            let header = json!({ "alg": algorithm, "kid": world.issuer.key_id() });
            let key = hmac::Key::new(kind, secret);
            let token = forged(header, &world.claims(), |message| {
                hmac::sign(&key, message).as_ref().to_vec()
            });
            assert_eq!(refusal(&world, &token).await, TokenError::AlgorithmRefused);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn algorithm_that_the_key_is_not_for_is_refused() {
    let world = World::new(KeyKind::Rsa);
    for algorithm in ["PS256", "RS512", "ES256", "EdDSA"] {
        let header = json!({ "alg": algorithm, "kid": world.issuer.key_id() });
        let token = forged(header, &world.claims(), |_| vec![1; 256]);
        assert_eq!(
            refusal(&world, &token).await,
            TokenError::AlgorithmMismatch,
            "{algorithm}"
        );
    }
    for algorithm in ["RS1", "ES512", "ES256K", "RSA-OAEP", "dir"] {
        let header = json!({ "alg": algorithm, "kid": world.issuer.key_id() });
        let token = forged(header, &world.claims(), |_| vec![1; 256]);
        assert_eq!(
            refusal(&world, &token).await,
            TokenError::AlgorithmRefused,
            "{algorithm}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn key_of_somebody_else_under_a_known_id_is_refused() {
    let world = World::new(KeyKind::EcP256);
    let stranger = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let genuine = world.token();
    let (_, signature) = stranger
        .sign(&world.claims())
        .unwrap()
        .rsplit_once('.')
        .map(|(m, s)| (m.to_owned(), s.to_owned()))
        .unwrap();
    let (message, _) = genuine.rsplit_once('.').unwrap();
    assert_eq!(
        refusal(&world, &format!("{message}.{signature}")).await,
        TokenError::BadSignature
    );
}

#[tokio::test(start_paused = true)]
async fn key_that_the_token_brings_along_is_not_looked_at() {
    let world = World::new(KeyKind::EcP256);
    let stranger = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let published: Value = serde_json::from_str(&stranger.jwks()).unwrap();
    let token = stranger.sign(&world.claims()).unwrap();
    assert_eq!(refusal(&world, &token).await, TokenError::UnknownKey);
    let header = json!({
        "alg": "ES256", "kid": stranger.key_id(), "jwk": published["keys"][0], "jku": "https://evil.example/keys",
    });
    let token = forged(header, &world.claims(), |_| vec![1; 64]);
    assert_eq!(refusal(&world, &token).await, TokenError::UnknownKey);
}

#[tokio::test(start_paused = true)]
async fn header_that_is_not_understood_is_refused() {
    let world = World::new(KeyKind::EcP256);
    let with = |header: Value| forged(header, &world.claims(), |_| vec![1; 64]);
    let kid = world.issuer.key_id();
    let critical = with(json!({ "alg": "ES256", "kid": kid, "crit": ["b64"], "b64": false }));
    assert_eq!(refusal(&world, &critical).await, TokenError::CriticalHeader);
    assert_eq!(
        refusal(&world, &with(json!({ "alg": "ES256" }))).await,
        TokenError::NoKeyId
    );
    assert_eq!(
        refusal(&world, &with(json!({ "kid": kid }))).await,
        TokenError::Malformed
    );
    assert_eq!(
        refusal(&world, &with(json!({ "alg": "ES256", "kid": 7 }))).await,
        TokenError::Malformed
    );
    assert_eq!(
        refusal(&world, &with(json!([]))).await,
        TokenError::Malformed
    );
}

#[tokio::test(start_paused = true)]
async fn each_claim_that_matters_is_required() {
    let world = World::new(KeyKind::EcP256);
    let claims = [
        "iss",
        "aud",
        "exp",
        "sub",
        "job_id",
        "pipeline_id",
        "user_id",
        "user_login",
        "ref",
        "job_project_id",
        "job_project_path",
        "job_namespace_id",
        "job_namespace_path",
    ];
    for claim in claims {
        let refused = refusal(&world, &world.token_with(json!({ claim: null }))).await;
        assert_eq!(refused, TokenError::MissingClaim(claim));
    }
    let tierless = world.token_with(json!({ "environment": "prod" }));
    assert_eq!(
        refusal(&world, &tierless).await,
        TokenError::MissingClaim("deployment_tier")
    );
}

#[tokio::test(start_paused = true)]
async fn claim_of_another_form_is_refused() {
    let world = World::new(KeyKind::EcP256);
    let cases = [
        // A text here once let tokens live for ever: CVE-2026-25537.
        ("exp", json!("1800003600")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("nbf", json!("1799999995")),
        ("iat", json!([])),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("job_id", json!("0")),
        ("job_id", json!("9001:admin")),
        ("job_id", json!(1.5)),
        ("job_id", json!(-1)),
        ("job_id", json!(true)),
        ("job_project_id", json!(" 150")),
        ("job_project_path", json!("group//app")),
        ("job_project_path", json!("group/../app")),
        ("user_login", json!("")),
        ("ref_protected", json!("yes")),
        ("ref_protected", json!(1)),
        ("ref_type", json!("note")),
        ("environment", json!("")),
    ];
    for (claim, value) in cases {
        let token = world.token_with(json!({ claim: value }));
        assert_eq!(
            refusal(&world, &token).await,
            TokenError::BadClaim(claim),
            "{value}"
        );
    }
    let token =
        world.token_with(json!({ "environment": "prod", "deployment_tier": "production:x" }));
    assert_eq!(
        refusal(&world, &token).await,
        TokenError::BadClaim("deployment_tier")
    );
    let token = world.token_with(json!({ "environment": "a\nb", "deployment_tier": "other" }));
    assert_eq!(
        refusal(&world, &token).await,
        TokenError::BadClaim("environment")
    );
}

#[tokio::test(start_paused = true)]
async fn text_that_is_no_token_is_refused() {
    let world = World::new(KeyKind::EcP256);
    let token = world.token();
    let (head, rest) = token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let texts = [
        "x".to_owned(),
        "...".to_owned(),
        "glcbt-64_abcdefghijklmnopqrst".to_owned(),
        format!("{head}.{claims}"),
        format!("{head}.{claims}.{signature}.{signature}"),
        format!("{head}.{}.{signature}", "A".repeat(1_000_000)),
        format!(
            "{}.{claims}.{signature}",
            URL_SAFE_NO_PAD.encode("[".repeat(100_000))
        ),
    ];
    for text in texts {
        assert_eq!(
            refusal(&world, &text).await,
            TokenError::Malformed,
            "{text:.80}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn token_with_one_changed_letter_is_refused(at in 0_usize..4096, letter in "[A-Za-z0-9_-]") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new(KeyKind::Ed25519);
            let token = world.token();
            let at = at % token.len();
            let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
            let verified = world.verify(&changed).await;
            prop_assert_eq!(verified.is_ok(), changed == token);
            Ok(())
        })?;
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "[A-Za-z0-9._~+/-]{1,200}") {
        prop_assert!(Unverified::read(&text).is_err());
    }
}
