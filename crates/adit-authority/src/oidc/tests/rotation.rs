//! Keys that come, go and cannot be had.

use super::*;

#[tokio::test(start_paused = true)]
async fn new_key_is_fetched_when_the_first_token_names_it() {
    let mut world = World::new(KeyKind::EcP256);
    world.verify(&world.token()).await.unwrap();
    advance(Duration::from_secs(11)).await;
    world.issuer.rotate().unwrap();
    *world.website.document.lock() = Some(world.issuer.jwks());
    world.verify(&world.token()).await.unwrap();
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn key_that_was_rotated_out_is_refused_afterwards() {
    let mut world = World::with(KeyKind::EcP256, |issuer| {
        issuer.refresh_interval = Duration::from_secs(60);
        issuer.keep_removed_keys = Duration::from_secs(120);
    });
    let (seen, unseen) = (world.token(), world.token_with(json!({ "jti": "unseen" })));
    world.verify(&seen).await.unwrap();
    world.issuer.rotate().unwrap();
    world.issuer.forget_retired();
    *world.website.document.lock() = Some(world.issuer.jwks());

    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(world.fetches(), 2);
    // Removed by now, but tokens it signed in good faith are still about.
    world.verify(&world.token()).await.unwrap();
    world.verify(&seen).await.unwrap();
    world.verify(&unseen).await.unwrap();

    tokio::time::sleep(Duration::from_secs(120)).await;
    world.verify(&world.token()).await.unwrap();
    assert_eq!(
        world.verify(&seen).await.unwrap_err(),
        TokenError::UnknownKey
    );
    assert_eq!(
        world.verify(&unseen).await.unwrap_err(),
        TokenError::UnknownKey
    );
}

#[tokio::test(start_paused = true)]
async fn new_key_is_waited_for_while_its_issuer_may_not_be_asked() {
    let mut world = World::new(KeyKind::EcP256);
    world.verify(&world.token()).await.unwrap();
    advance(Duration::from_secs(3)).await;
    world.now += Duration::from_secs(3);
    world.issuer.rotate().unwrap();
    *world.website.document.lock() = Some(world.issuer.jwks());
    let token = world.token();
    let refused = world.verify(&token).await.unwrap_err();
    assert_eq!(refused, TokenError::KeyPending(7));
    assert_eq!(world.fetches(), 1);
    // Whoever does as he is told needs no second try.
    advance(Duration::from_secs(7)).await;
    world.verify(&token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn token_older_than_the_keys_has_an_unknown_key_indeed() {
    let mut world = World::new(KeyKind::EcP256);
    let stranger = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let token = stranger.sign(&world.claims()).unwrap();
    // The leeway of 10 s is on its side.
    world.now += Duration::from_secs(30);
    tokio::time::sleep(Duration::from_secs(15)).await;
    world.verify(&world.token()).await.unwrap();
    for _ in 0..3 {
        let refused = world.verify(&token).await.unwrap_err();
        assert_eq!(refused, TokenError::UnknownKey);
    }
    assert!(world.oidc.stats().key_fetches_withheld >= 2);
}

#[tokio::test(start_paused = true)]
async fn fetch_that_began_before_the_token_came_says_nothing_about_its_key() {
    let world = World::new(KeyKind::EcP256);
    world.verify(&world.token()).await.unwrap();
    advance(Duration::from_secs(11)).await;
    *world.website.takes.lock() = Duration::from_secs(2);
    let stranger = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let invented = stranger.sign(&world.claims()).unwrap();
    let verify = |token| world.oidc.verify(Token::parse(token).unwrap(), world.now);
    let mut first = Box::pin(verify(&invented));
    assert!(poll_once(first.as_mut()).await.is_none());
    while world.fetches() < 2 {
        tokio::task::yield_now().await;
    }
    advance(Duration::from_secs(1)).await;
    let mut second = Box::pin(verify(&invented));
    assert!(poll_once(second.as_mut()).await.is_none());
    assert_eq!(within(first).await.unwrap_err(), TokenError::UnknownKey);
    assert_eq!(
        within(second).await.unwrap_err(),
        TokenError::KeyPending(10)
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_key_ids_cause_few_fetches() {
    let world = World::new(KeyKind::Ed25519);
    world.verify(&world.token()).await.unwrap();
    assert_eq!(world.fetches(), 1);
    // Ten strangers a second, for a minute.
    for _ in 0..600 {
        let stranger = Issuer::new(ISSUER, KeyKind::Ed25519).unwrap();
        let token = stranger.sign(&world.claims()).unwrap();
        let refused = world.verify(&token).await.unwrap_err();
        if let TokenError::KeyPending(seconds) = refused {
            assert!((1..=10).contains(&seconds), "{seconds}");
        } else {
            assert_eq!(refused, TokenError::UnknownKey);
        }
        advance(Duration::from_millis(100)).await;
    }
    assert!((3..=7).contains(&world.fetches()), "{}", world.fetches());
    assert!(world.oidc.stats().key_fetches_withheld > 500);
    world.verify(&world.token()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tokens_that_arrive_together_wait_for_one_fetch() {
    let world = World::new(KeyKind::EcP256);
    let tokens: Vec<_> = (0..50)
        .map(|number| world.token_with(json!({ "jti": number.to_string() })))
        .collect();
    let verify = |token| world.oidc.verify(Token::parse(token).unwrap(), world.now);
    let mut waiting: Vec<_> = tokens.iter().map(|token| Box::pin(verify(token))).collect();
    // All have asked before the refresh task runs for the first time.
    for future in &mut waiting {
        assert!(poll_once(future.as_mut()).await.is_none());
    }
    // One leaves: the others are not hurt by it.
    drop(waiting.pop());
    for future in waiting {
        within(future).await.unwrap();
    }
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn issuer_that_is_down_leaves_its_keys_good_for_a_while() {
    let world = World::with(KeyKind::EcP256, |issuer| {
        issuer.max_stale = Duration::from_secs(3000)
    });
    let token = world.token_with(json!({ "jti": "unseen" }));
    world.verify(&world.token()).await.unwrap();
    *world.website.document.lock() = None;
    tokio::time::sleep(Duration::from_secs(2000)).await;
    assert!(world.oidc.stats().key_fetch_failures > 0);
    assert!(world.oidc.is_ready());
    world.verify(&token).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2000)).await;
    assert!(!world.oidc.is_ready());
    assert_eq!(
        world.verify(&token).await.unwrap_err(),
        TokenError::KeysUnavailable
    );
    *world.website.document.lock() = Some(world.issuer.jwks());
    tokio::time::sleep(Duration::from_secs(11)).await;
    world.verify(&token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_any_key_nobody_is_told_apart() {
    let world = World::new(KeyKind::EcP256);
    *world.website.document.lock() = None;
    let refused = world.verify(&world.token()).await.unwrap_err();
    assert_eq!(refused, TokenError::KeysUnavailable);
    assert_eq!(refused.retry_after(), Some(2));
    assert!(!world.oidc.is_ready());
    *world.website.document.lock() = Some(world.issuer.jwks());
    within(world.oidc.ready()).await;
    world.verify(&world.token()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn document_without_usable_keys_takes_no_key_away() {
    let world = World::new(KeyKind::EcP256);
    let token = world.token();
    world.verify(&token).await.unwrap();
    let secret = r#"{"keys":[{"kty":"oct","kid":"1","k":"c2VjcmV0","alg":"HS256"}]}"#;
    let long = format!("{}{}", world.issuer.jwks(), " ".repeat(MAX_DOCUMENT_BYTES));
    for document in ["", "{}", r#"{"keys":[]}"#, "<html>", secret, &long] {
        let failures = world.oidc.stats().key_fetch_failures;
        *world.website.document.lock() = Some(document.to_owned());
        tokio::time::sleep(Duration::from_secs(310)).await;
        assert!(
            world.oidc.stats().key_fetch_failures > failures,
            "{document:.50}"
        );
        world.verify(&token).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn keys_in_a_file_are_reread() {
    let mut issuer = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    std::fs::write(&file, issuer.jwks()).unwrap();
    let config = OidcConfig {
        issuers: vec![OidcIssuer::new(
            ISSUER,
            &[AUDIENCE],
            KeySource::File(file.clone()),
        )],
        max_cached_tokens: 10,
    };
    let website: Arc<dyn FetchKeys> = Arc::new(Website::default());
    let (oidc, refreshes) = Oidc::new(config, &website);
    let mut tasks = JoinSet::new();
    for refresh in refreshes {
        tasks.spawn(refresh.run());
    }
    within(oidc.ready()).await;
    issuer.rotate().unwrap();
    std::fs::write(&file, issuer.jwks()).unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let token = issuer.token(&job(), AUDIENCE, now, HOUR).unwrap();
    within(oidc.verify(Token::parse(&token).unwrap(), now))
        .await
        .unwrap();
}

/// What a future has to say when it is polled once.
async fn poll_once<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
