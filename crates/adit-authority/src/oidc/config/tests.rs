use adit_identity::mistakes::{Key, Mistakes};

use super::*;

fn check(yaml: &str) -> Result<OidcConfig, Mistakes> {
    let raw: RawOidc = serde_saphyr::from_str(yaml).unwrap();
    let mut mistakes = Mistakes::new();
    let config = OidcConfig::check(raw, &Key::root().field("oidc"), &mut mistakes);
    mistakes.finish(Some(config))
}

fn keys_of_mistakes(yaml: &str) -> Vec<String> {
    check(yaml)
        .unwrap_err()
        .as_slice()
        .iter()
        .map(|mistake| mistake.key.to_string())
        .collect()
}

#[test]
fn an_issuer_and_an_audience_are_enough() {
    let config = check("issuers: [{url: 'https://gitlab.com', audiences: [adit]}]").unwrap();
    assert_eq!(config.max_cached_tokens, 10_000);
    assert_eq!(*config.urls(), ["https://gitlab.com".into()]);
    let issuer = &config.issuers[0];
    assert_eq!(
        issuer.keys,
        KeySource::Url("https://gitlab.com/oauth/discovery/keys".into())
    );
    assert_eq!(issuer.leeway, Duration::from_secs(10));
}

#[test]
fn each_setting_is_read() {
    let yaml = "
max_cached_tokens: 5
issuers:
  - url: http://gitlab.internal
    audiences: [a, b]
    jwks_file: /keys.json
    leeway: 1s
    max_lifetime: 2h
    refresh_interval: 3s
    min_refresh_interval: 4s
    fetch_timeout: 5s
    keep_removed_keys: 6s
    max_stale: 7s
    group_ids: {group: 23, group/sub: 25}
";
    let config = check(yaml).unwrap();
    let issuer = &config.issuers[0];
    assert_eq!(config.max_cached_tokens, 5);
    assert_eq!(issuer.keys, KeySource::File("/keys.json".into()));
    let seconds = [
        issuer.leeway,
        issuer.max_lifetime,
        issuer.refresh_interval,
        issuer.min_refresh_interval,
        issuer.fetch_timeout,
        issuer.keep_removed_keys,
        issuer.max_stale,
    ]
    .map(|duration| duration.as_secs());
    assert_eq!(seconds, [1, 7200, 3, 4, 5, 6, 7]);
    assert_eq!(
        issuer.group_ids.get(&"Group/Sub".parse().unwrap()),
        Some(&GroupId(25))
    );
}

#[test]
fn keys_come_over_tls_or_from_this_machine() {
    let jwks = |url: &str| {
        check(&format!(
            "issuers: [{{url: 'https://g', audiences: [a], jwks_url: '{url}'}}]"
        ))
    };
    for url in [
        "https://g/keys",
        "http://127.0.0.1:9/keys",
        "http://[::1]:9/keys",
        "http://localhost/keys",
    ] {
        assert!(jwks(url).is_ok(), "{url}");
    }
    for url in [
        "http://g/keys",
        "http://127.0.0.1.evil.example/keys",
        "ftp://g/keys",
        "/keys",
        "",
        "file:///keys",
    ] {
        assert!(jwks(url).is_err(), "{url}");
    }
}

#[test]
fn no_secret_of_an_issuers_url_is_shown() {
    for (issuer, key) in [
        ("url: 'https://me:hidden@g'", "oidc.issuers[0].url"),
        (
            "url: 'https://g', jwks_url: 'https://me:hidden@g/keys'",
            "oidc.issuers[0].jwks_url",
        ),
        (
            "url: 'https://g', jwks_url: 'http://g/keys?token=hidden'",
            "oidc.issuers[0].jwks_url",
        ),
    ] {
        let told = check(&format!("issuers: [{{{issuer}, audiences: [a]}}]")).unwrap_err();
        let told = told.to_string();
        assert!(told.contains(key) && !told.contains("hidden"), "{told}");
    }
    let keys = KeySource::Url("https://g/keys?token=hidden".into());
    assert_eq!(keys.to_string(), "https://g/keys");
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let yaml = "
max_cached_tokens: 0
issuers:
  - {url: gitlab.com, audiences: [], jwks_file: /keys, leeway: 10, max_stale: 1s}
  - {url: 'https://g', audiences: [''], jwks_url: 'http://g', jwks_file: /keys, leeway: 6m}
  - {url: 'https://h', audiences: [a], leeway: 6m, fetch_timeout: 0s, group_ids: {/a: 1}}
  - {url: 'https://i', audiences: [a], group_ids: {group: 0}}
  - {url: 'https://i', audiences: [a]}
  - {url: gitlab.example.com, audiences: [a]}
  - {url: 'http://gitlab.example.com', audiences: [a]}
";
    let expected = [
        "oidc.issuers[0].url",
        "oidc.issuers[0].audiences",
        "oidc.issuers[0].leeway",
        "oidc.issuers[0].max_stale",
        "oidc.issuers[1].audiences",
        "oidc.issuers[1].jwks_file",
        "oidc.issuers[1].jwks_url",
        "oidc.issuers[1].leeway",
        "oidc.issuers[2].fetch_timeout",
        "oidc.issuers[2].leeway",
        "oidc.issuers[2].group_ids./a",
        "oidc.issuers[3].group_ids.group",
        "oidc.issuers[4].url",
        "oidc.issuers[5].url",
        "oidc.issuers[6].url",
        "oidc.max_cached_tokens",
    ];
    assert_eq!(keys_of_mistakes(yaml), expected);
}
