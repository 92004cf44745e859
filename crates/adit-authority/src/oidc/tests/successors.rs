//! Issuers that are trusted on other terms while tokens of theirs are in use.

use super::*;

impl World {
    /// Trusts these from now on, and gives what was before.
    fn trust(&mut self, issuers: Vec<OidcIssuer>) -> Oidc {
        let (successor, refreshes) = self.oidc.successor(OidcConfig {
            issuers,
            max_cached_tokens: 100,
        });
        for refresh in refreshes {
            self._tasks.spawn(refresh.run());
        }
        std::mem::replace(&mut self.oidc, successor)
    }

    fn trusted(&self) -> OidcIssuer {
        let (issuer, _) = &self.oidc.issuers[0];
        OidcIssuer::clone(issuer)
    }
}

#[tokio::test(start_paused = true)]
async fn issuer_that_stands_there_as_before_keeps_its_keys_and_tokens() {
    let mut world = World::new(KeyKind::EcP256);
    let token = world.token();
    world.verify(&token).await.unwrap();
    let other = OidcIssuer::new(
        "https://other.example.com",
        &[AUDIENCE],
        KeySource::File("/nowhere".into()),
    );
    let former = world.trust(vec![other, world.trusted()]);
    assert!(world.oidc.covers(&former, ISSUER));
    world.verify(&token).await.unwrap();
    assert_eq!((world.oidc.stats().cache_hits, world.fetches()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn token_whose_audience_is_taken_away_is_refused_at_once() {
    let mut world = World::new(KeyKind::EcP256);
    let token = world.token();
    world.verify(&token).await.unwrap();
    let mut narrowed = world.trusted();
    narrowed.audiences = vec!["other".into()];
    // No key is lost, though the issuer cannot be asked just now.
    *world.website.document.lock() = None;
    let former = world.trust(vec![narrowed]);
    assert!(!world.oidc.covers(&former, ISSUER));
    let refused = world.verify(&token).await.unwrap_err();
    assert_eq!(refused, TokenError::WrongAudience);
    // Whoever asked before goes on as before.
    let token = Token::parse(&token).unwrap();
    within(former.verify(token, world.now)).await.unwrap();
    let refused = within(world.oidc.verify(token, world.now)).await;
    assert_eq!(refused.unwrap_err(), TokenError::WrongAudience);
}

#[tokio::test(start_paused = true)]
async fn issuer_that_is_gone_is_unknown_until_it_is_back() {
    let mut world = World::new(KeyKind::EcP256);
    let (token, trusted) = (world.token(), world.trusted());
    world.verify(&token).await.unwrap();
    let former = world.trust(Vec::new());
    assert!(!world.oidc.covers(&former, ISSUER));
    let refused = world.verify(&token).await.unwrap_err();
    assert_eq!(refused, TokenError::UnknownIssuer);
    let former = world.trust(vec![trusted]);
    assert!(!world.oidc.covers(&former, ISSUER));
    world.verify(&token).await.unwrap();
    let stats = world.oidc.stats();
    assert_eq!((stats.key_fetches, world.fetches()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn issuer_that_is_trusted_with_more_covers_what_it_was() {
    let mut world = World::new(KeyKind::EcP256);
    let mut widened = world.trusted();
    widened.audiences.push("third".into());
    widened.leeway *= 2;
    widened.max_lifetime *= 2;
    widened.refresh_interval *= 2;
    let former = world.trust(vec![widened]);
    assert!(world.oidc.covers(&former, ISSUER));
    assert!(!former.covers(&world.oidc, ISSUER));
}
