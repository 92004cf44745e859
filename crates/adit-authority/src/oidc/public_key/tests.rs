use serde_json::{Value, json};

use super::*;
use crate::issuer::{Issuer, KeyKind};

fn algorithms_of(jwk: Value) -> Option<Vec<Algorithm>> {
    PublicKey::from_jwk(serde_json::from_value(jwk).ok()?).map(|key| key.algorithms.to_vec())
}

fn published(kind: KeyKind) -> Value {
    let issuer = Issuer::new("https://gitlab.example.com", kind).unwrap();
    serde_json::from_str::<Value>(&issuer.jwks()).unwrap()["keys"][0].take()
}

#[test]
fn a_key_verifies_what_its_type_and_alg_say() {
    assert_eq!(
        algorithms_of(published(KeyKind::EcP256)),
        Some(vec![Algorithm::ES256])
    );
    assert_eq!(
        algorithms_of(published(KeyKind::Ed25519)),
        Some(vec![Algorithm::EdDSA])
    );
    let mut rsa = published(KeyKind::Rsa);
    assert_eq!(algorithms_of(rsa.clone()), Some(vec![Algorithm::RS256]));
    rsa["alg"] = json!("PS512");
    assert_eq!(algorithms_of(rsa.clone()), Some(vec![Algorithm::PS512]));
    rsa["alg"] = Value::Null;
    assert_eq!(algorithms_of(rsa.clone()), Some(RSA.to_vec()));
    for wrong in ["HS256", "ES256", "RSA-OAEP", "none"] {
        rsa["alg"] = json!(wrong);
        assert_eq!(algorithms_of(rsa.clone()), None, "{wrong}");
    }
}

#[test]
fn a_key_that_is_for_something_else_is_not_taken() {
    let with = |name: &str, value: Value| {
        let mut jwk = published(KeyKind::EcP256);
        jwk[name] = value;
        algorithms_of(jwk)
    };
    assert_eq!(with("use", json!("enc")), None);
    assert_eq!(with("key_ops", json!(["sign"])), None);
    assert_eq!(with("kid", Value::Null), None);
    assert_eq!(with("crv", json!("P-521")), None);
    assert_eq!(with("kty", json!("oct")), None);
    assert!(with("key_ops", json!(["verify"])).is_some());
    assert_eq!(
        algorithms_of(json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "1", "alg": "HS256" })),
        None
    );
}
