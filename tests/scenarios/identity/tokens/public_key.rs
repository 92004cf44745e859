//! What everybody knows signs nothing: an issuer's public key in whatever form, as the secret of a symmetric algorithm.

use adit_authority::issuer::KeyKind;
use adit_tests::{TestIssuer, World, job, kube, relay, scenario};
use aws_lc_rs::{
    hmac,
    signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::reason;

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
