use super::*;

const LEAST: &str =
    "relay:\n  url: https://relay.example.com\n  token_file: /etc/adit/token\n  proxy: none\n";

fn check(yaml: &str) -> Result<Config, Vec<String>> {
    let raw = RawConfig::from_yaml(yaml).unwrap();
    Config::try_from(raw).map_err(|mistakes| {
        mistakes
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect()
    })
}

#[test]
fn least_config_has_the_documented_defaults() {
    let config = check(LEAST).unwrap();
    assert_eq!(config.admin, "127.0.0.1:8152".parse().unwrap());
    assert_eq!(config.relay.backoff.base, Duration::from_millis(500));
    assert_eq!(config.relay.backoff.cap, Duration::from_secs(10));
    assert_eq!(config.relay.ping_interval, Duration::from_secs(25));
    assert_eq!(config.relay.dead_after, Duration::from_secs(15));
    assert_eq!(config.relay.roots, TrustRoots::System);
    assert!(config.relay.proxy.is_none());
    assert_eq!(config.ceiling, Ceiling::default());
    assert_eq!(config.limits.max_head_bytes, 65536);
    assert!(!config.replica.is_empty());
}

/// HAProxy's in Debian is 50 s, nginx's 60 s: a question may be late, or lost. Some forget after 30 s.
#[test]
fn relay_is_asked_well_within_the_patience_of_balancers() {
    let config = check(LEAST).unwrap();
    assert!(config.relay.ping_interval * 2 <= Duration::from_secs(50));
    assert!(config.relay.ping_interval < Duration::from_secs(30));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let yaml = "
relay: { url: 'http://relay.example.com', proxy: 'socks5://proxy.example.com', backoff_base: 5, ping_interval: 0s }
kubernetes: { max_connections: 0, connect_timeout: 0s, ping_interval: 20s }
ceiling: { groups: [ok, 'a*b'], namespaces: [Shop], verbs: [get, exec], subresources: [pods/exec] }
limits: { max_head_bytes: 100, max_queued_bytes: 0, stream_credit_bytes: 8192, max_stream_credit_bytes: 4096 }
admin: { address: localhost }
";
    let mistakes = check(yaml).unwrap_err();
    let keys: Vec<_> = mistakes
        .iter()
        .filter_map(|mistake| mistake.split(": ").next())
        .collect();
    let want = [
        "relay.url",
        "relay.proxy",
        "relay.token_file",
        "relay.backoff_base",
        "relay.ping_interval",
        "kubernetes.connect_timeout",
        "kubernetes.dead_after",
        "kubernetes.max_connections",
        "ceiling.groups[1]",
        "ceiling.namespaces[0]",
        "ceiling.verbs[1]",
        "ceiling.subresources[0]",
        "limits.max_head_bytes",
        "limits.max_queued_bytes",
        "limits.max_stream_credit_bytes",
        "admin.address",
    ];
    let sorted = |mut keys: Vec<&str>| {
        keys.sort_unstable();
        keys.join(" ")
    };
    assert_eq!(sorted(keys), sorted(want.to_vec()), "{mistakes:#?}");
}

#[test]
fn limited_namespaces_shut_the_cluster_unless_it_is_opened() {
    for (said, is_open) in [
        ("", true),
        ("namespaces: ['*']", true),
        ("namespaces: ['*'], cluster_scope: false", false),
        ("namespaces: [shop]", false),
        ("namespaces: []", false),
        ("namespaces: [shop], cluster_scope: true", true),
        ("verbs: [get]", true),
    ] {
        let config = check(&format!("{LEAST}ceiling: {{ {said} }}")).unwrap();
        assert_eq!(config.ceiling.cluster_scope, is_open, "{said}");
    }
}

#[test]
fn unknown_key_is_refused_with_its_place() {
    let bad = RawConfig::from_yaml("relay:\n  urll: https://x\n")
        .unwrap_err()
        .to_string();
    assert!(bad.contains("urll"), "{bad}");
    assert!(
        RawConfig::from_yaml("token: abc\n").is_err(),
        "a token never stands in the file"
    );
}

#[test]
fn token_comes_from_a_file_or_the_environment_but_not_both() {
    let mut raw = RawConfig::from_yaml(LEAST).unwrap();
    raw.token = Some("secret-value".into());
    let mistakes = Config::try_from(raw.clone()).unwrap_err().to_string();
    assert!(mistakes.starts_with("relay.token_file: "), "{mistakes}");
    raw.relay.token_file = None;
    let config = Config::try_from(raw).unwrap();
    assert!(!format!("{config:?}").contains("secret-value"));
}

#[test]
fn password_of_a_proxy_is_never_printed() {
    let mut raw = RawConfig::from_yaml(LEAST).unwrap();
    raw.relay.proxy = Some("http://me:hunter2@proxy.example.com:3128".into());
    let config = Config::try_from(raw.clone()).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    raw.relay.proxy = Some("socks5://me:hunter2@proxy.example.com".into());
    let mistakes = Config::try_from(raw).unwrap_err();
    assert!(
        mistakes.to_string().starts_with("relay.proxy: ")
            && !format!("{mistakes:?}").contains("hunter2")
    );
}

#[test]
fn client_certificate_has_its_key_and_tls_to_be_shown_in() {
    let (certificate, key) = ("client_certificate: a.pem", "client_key: a.key");
    let both = format!("{certificate}, {key}");
    let cases = [
        (
            "https://relay",
            certificate,
            Some("relay.client_key: needed"),
        ),
        (
            "https://relay",
            key,
            Some("relay.client_certificate: needed"),
        ),
        (
            "http://localhost",
            &both,
            Some("relay.client_certificate: is shown in TLS"),
        ),
        ("https://relay", &both, None),
    ];
    for (url, keys, expected) in cases {
        let yaml = format!("relay: {{url: '{url}', token_file: /t, proxy: none, {keys}}}");
        let checked = Config::try_from(RawConfig::from_yaml(&yaml).unwrap());
        match expected {
            Some(expected) => {
                let told = checked.unwrap_err().to_string();
                assert!(told.starts_with(expected), "{told}");
            }
            None => assert!(checked.unwrap().relay.certificate.is_some()),
        }
    }
}
