use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::{
    examples::job,
    issuer::{Issuer, KeyKind},
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

#[test]
fn the_cache_is_bounded_and_drops_the_expired_first() {
    let cache = Cache::new(64);
    let key = held_key();
    let insert = |text: &str, expires_at, now| {
        let tag = cache.tag(Token::parse(text).unwrap());
        let caller = Caller::new(job(), expires_at, tag.owner());
        cache.insert(tag, caller, Arc::clone(&key), now)
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
    cache.insert(tag, Caller::new(job(), at(10), 1), key, at(0));
    assert!(cache.caller(&tag, at(9)).is_some());
    assert!(cache.caller(&tag, at(10)).is_none());
}

#[test]
fn two_who_verified_the_same_token_share_one_caller() {
    let cache = Cache::new(64);
    let key = held_key();
    let tag = cache.tag(Token::parse("token").unwrap());
    let insert = || {
        cache.insert(
            tag,
            Caller::new(job(), at(10), tag.owner()),
            Arc::clone(&key),
            at(0),
        )
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
    cache.insert(tag, Caller::new(job(), at(10), 1), Arc::clone(&key), at(0));
    assert!(cache.caller(&tag, at(0)).is_some());
    key.end_by(Instant::now());
    assert!(cache.caller(&tag, at(0)).is_none());
}
