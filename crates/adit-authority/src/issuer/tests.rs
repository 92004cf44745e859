use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};

use super::*;
use crate::examples::{ISSUER, job};

#[test]
fn a_private_key_is_neither_published_nor_printed() {
    let issuer = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let jwks: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    assert_eq!(jwks["keys"][0]["kid"], issuer.key_id());
    assert_eq!(jwks["keys"][0]["use"], "sig");
    assert!(jwks["keys"][0].get("d").is_none());
    let Private::EcP256(key) = &issuer.current.private else {
        panic!("the kind asked for");
    };
    let seed: EcPrivateKeyBin<'_> = key.private_key().as_be_bytes().unwrap();
    let printed = format!("{issuer:?}");
    assert!(!printed.contains(&encode(seed.as_ref())), "{printed}");
    assert!(
        !printed.contains(format!("{:?}", seed.as_ref()).trim_matches(['[', ']'])),
        "{printed}"
    );
}

#[test]
fn an_old_key_is_published_until_it_is_forgotten() {
    let mut issuer = Issuer::new(ISSUER, KeyKind::Ed25519).unwrap();
    let old = issuer.key_id().to_owned();
    issuer.rotate().unwrap();
    assert_ne!(issuer.key_id(), old);
    assert!(issuer.jwks().contains(&old) && issuer.jwks().contains(issuer.key_id()));
    issuer.forget_retired();
    assert!(!issuer.jwks().contains(&old));
}

#[test]
fn claims_are_written_as_gitlab_writes_them() {
    let issuer = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1000);
    let claims = issuer.claims(&job(), "adit", now, Duration::from_secs(60));
    assert_eq!(claims["project_id"], "150");
    assert_eq!(claims["ref_protected"], "true");
    assert_eq!(
        claims["sub"],
        "project_path:group/sub/app:ref_type:branch:ref:main"
    );
    assert_eq!(claims["nbf"], 995);
    assert_eq!(claims["exp"], 1060);
    assert_eq!(claims.get("environment"), None);
}
