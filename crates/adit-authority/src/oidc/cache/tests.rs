use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::{
    examples::job,
    issuer::{Issuer, KeyKind},
    oidc::KeySource,
};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A key that is held for long.
fn held_key() -> Arc<PublicKey> {
    let issuer = Issuer::new("https://gitlab.example.com", KeyKind::Ed25519).unwrap();
    let mut jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&issuer.jwks()).unwrap();
    let key = PublicKey::from_jwk(jwks.keys.remove(0)).unwrap();
    key.keep_until(Instant::now() + Duration::from_hours(1));
    Arc::new(key)
}

fn issuer() -> Arc<OidcIssuer> {
    let keys = KeySource::File("keys.json".into());
    Arc::new(OidcIssuer::new(
        "https://gitlab.example.com",
        &["adit"],
        keys,
    ))
}

/// A caller for whom that key, of an issuer of its own, vouches until then.
fn verified(expires_at: SystemTime, owner: u64, key: &Arc<PublicKey>) -> Verified {
    Verified {
        caller: Caller::new(job(), expires_at, owner),
        key: Arc::clone(key),
        by: issuer(),
    }
}

#[test]
fn the_cache_is_bounded_and_drops_the_expired_first() {
    let cache = Cache::new(64);
    let key = held_key();
    let insert = |text: &str, expires_at, now| {
        let tag = cache.tag(Token::parse(text).unwrap());
        cache.insert(tag, verified(expires_at, tag.owner(), &key), now)
    };
    for number in 0..1000 {
        insert(&format!("short{number}"), at(10), at(0));
    }
    assert!(cache.len() <= 64);
    let dropped = cache.evictions.load(Ordering::Relaxed);
    assert!(dropped >= 1000 - 64);
    for number in 0..32 {
        insert(&format!("long{number}"), at(100), at(20));
    }
    assert!(cache.len() <= 64);
    let found = |number| {
        cache
            .caller(
                &cache.tag(Token::parse(&format!("long{number}")).unwrap()),
                at(20),
                |_| true,
            )
            .is_some()
    };
    // Thirty-two new ones over sixteen shards of four: nearly all stay, and expired ones made room for them.
    assert!((0..32).filter(|number| found(*number)).count() >= 24);
}

#[test]
fn an_entry_ends_with_its_token() {
    let cache = Cache::new(64);
    let key = held_key();
    let tag = cache.tag(Token::parse("token").unwrap());
    cache.insert(tag, verified(at(10), 1, &key), at(0));
    assert!(cache.caller(&tag, at(9), |_| true).is_some());
    assert!(cache.caller(&tag, at(10), |_| true).is_none());
}

#[test]
fn two_who_verified_the_same_token_share_one_caller() {
    let cache = Cache::new(64);
    let key = held_key();
    let tag = cache.tag(Token::parse("token").unwrap());
    let by = issuer();
    let insert = || {
        let mut verified = verified(at(10), tag.owner(), &key);
        verified.by = Arc::clone(&by);
        cache.insert(tag, verified, at(0))
    };
    assert!(Arc::ptr_eq(
        insert().job().unwrap(),
        insert().job().unwrap()
    ));
}

#[test]
fn an_entry_ends_with_the_key_that_signed_it() {
    let cache = Cache::new(64);
    let key = held_key();
    let tag = cache.tag(Token::parse("token").unwrap());
    cache.insert(tag, verified(at(10), 1, &key), at(0));
    assert!(cache.caller(&tag, at(0), |_| true).is_some());
    key.end_by(Instant::now());
    assert!(cache.caller(&tag, at(0), |_| true).is_none());
}

#[test]
fn an_entry_ends_when_its_issuer_is_trusted_otherwise() {
    let cache = Cache::new(64);
    let key = held_key();
    let tag = cache.tag(Token::parse("token").unwrap());
    let (before, after) = (verified(at(10), 1, &key), verified(at(10), 1, &key));
    let (former, later) = (Arc::clone(&before.by), Arc::clone(&after.by));
    cache.insert(tag, before, at(0));
    let found = |issuer: &Arc<OidcIssuer>| cache.caller(&tag, at(0), |by| Arc::ptr_eq(by, issuer));
    assert!(found(&former).is_some() && found(&later).is_none());
    cache.insert(tag, after, at(0));
    assert!(found(&former).is_none() && found(&later).is_some());
}

#[test]
fn a_cache_that_is_made_smaller_holds_no_more_than_it_may() {
    let cache = Cache::new(640);
    let key = held_key();
    let insert = |text: &str| {
        let tag = cache.tag(Token::parse(text).unwrap());
        cache.insert(tag, verified(at(10), tag.owner(), &key), at(0))
    };
    for number in 0..640 {
        insert(&format!("before{number}"));
    }
    cache.resize(64);
    for number in 0..640 {
        insert(&format!("after{number}"));
    }
    assert!(cache.len() <= 64);
}
