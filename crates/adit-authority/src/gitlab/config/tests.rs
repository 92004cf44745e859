use super::*;
use adit_identity::mistakes::{Key, Mistakes};

fn check(yaml: &str) -> Result<GitLabConfig, Mistakes> {
    let raw: RawGitLab = serde_saphyr::from_str(yaml).unwrap();
    let mut mistakes = Mistakes::new();
    let config = GitLabConfig::check(raw, &Key::root().field("gitlab"), &mut mistakes);
    mistakes.finish(config)
}

#[test]
fn an_address_is_enough() {
    let config = check("url: https://gitlab.example.com/sub/").unwrap();
    assert_eq!(&*config.url, "https://gitlab.example.com/sub");
    assert_eq!(config.recheck, Duration::from_secs(30));
    assert_eq!(config.max_stale, Duration::from_mins(20));
    assert_eq!(config.ci_user, CiUser::Refused);
}

#[test]
fn every_key_is_taken() {
    let config = check(
        "{url: 'http://127.0.0.1:8080', ca_file: /ca.pem, recheck: 10s, max_stale: 1h, timeout: 2s, refused_for: 1m, calls_per_second: 7,
        calls_at_once: 8, bad_tokens_per_second: 9, max_tokens: 11, max_memory: 2MiB, ci_user: true}",
    )
    .unwrap();
    assert_eq!(config.ca_file, Some("/ca.pem".into()));
    let times = [
        config.recheck,
        config.max_stale,
        config.timeout,
        config.refused_for,
    ];
    assert_eq!(times.map(|time| time.as_secs()), [10, 3600, 2, 60]);
    let rates = [
        config.calls_per_second,
        config.calls_at_once,
        config.bad_tokens_per_second,
    ];
    assert_eq!(rates, [7, 8, 9]);
    assert_eq!((config.max_tokens, config.max_memory), (11, 2 << 20));
    assert_eq!(config.ci_user, CiUser::Accepted);
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let mistakes = check(
        "{url: 'http://gitlab.example.com', recheck: 1h, max_stale: 30m, timeout: 0s, refused_for: soon, calls_per_second: 0,
        calls_at_once: 1000000, bad_tokens_per_second: 0, max_tokens: 0, max_memory: 1B}",
    )
    .unwrap_err();
    let keys: Vec<_> = mistakes
        .as_slice()
        .iter()
        .map(|mistake| mistake.key.to_string())
        .collect();
    let expected = [
        "url",
        "timeout",
        "refused_for",
        "max_stale",
        "calls_per_second",
        "calls_at_once",
        "bad_tokens_per_second",
        "max_tokens",
        "max_memory",
    ];
    assert_eq!(keys, expected.map(|key| format!("gitlab.{key}")));
    for url in [
        "gitlab.example.com",
        "",
        "https://",
        "https://gitlab.example.com/?x",
    ] {
        assert!(check(&format!("url: '{url}'")).is_err(), "{url}");
    }
}

#[test]
fn browsers_are_served_pages_of_gitlabs_own_origin_by_default() {
    let browsers = |url: &str, more: &str| {
        let yaml = format!("{{url: '{url}', api_secret_file: /secret, browsers: {{{more}}}}}");
        check(&yaml).unwrap().browsers.unwrap()
    };
    let cases = [
        (
            "https://GitLab.example.com/sub/",
            "https://gitlab.example.com",
        ),
        (
            "https://gitlab.example.com:443",
            "https://gitlab.example.com",
        ),
        (
            "https://gitlab.example.com:8443",
            "https://gitlab.example.com:8443",
        ),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
    ];
    for (url, origin) in cases {
        assert_eq!(browsers(url, "").allowed_origins, [origin.into()]);
    }
    let more = "allowed_origins: ['https://a.test', 'https://b.test:8443'], extra_response_headers: [X-Mine]";
    let listed = browsers("https://gitlab.example.com", more);
    let origins = ["https://a.test".into(), "https://b.test:8443".into()];
    assert_eq!(listed.allowed_origins, origins);
    assert_eq!(listed.extra_response_headers, ["x-mine"]);
    assert_eq!(
        check("url: https://gitlab.example.com").unwrap().browsers,
        None
    );
}

#[test]
fn what_no_browser_writes_or_may_see_is_told_with_its_key() {
    let mistakes = check(
        "{url: 'https://gitlab.example.com', browsers: {
            allowed_origins: ['*', 'https://a.test/', 'https://A.test', 'https://a.test:443', 'http://a.test', 'null'],
            extra_response_headers: [Set-Cookie, access-control-allow-origin, 'x y']}}",
    )
    .unwrap_err();
    let keys: Vec<_> = mistakes
        .as_slice()
        .iter()
        .map(|mistake| mistake.key.to_string())
        .collect();
    let mut expected = vec!["gitlab.browsers".to_owned()];
    expected.extend((0..6).map(|at| format!("gitlab.browsers.allowed_origins[{at}]")));
    expected.extend((0..3).map(|at| format!("gitlab.browsers.extra_response_headers[{at}]")));
    assert_eq!(keys, expected);
}

#[test]
fn agents_files_have_something_to_be_read_with() {
    const SECRET: &str = "api_secret_file: /secret, ";
    const TOKEN: &str = "token_file: /token, ";
    let files = |secret: &str, more: &str| {
        let yaml = format!("{{url: 'https://gitlab.test', {secret}agent_files: {{{more}}}}}");
        check(&yaml).map(|config| {
            let files = config.agent_files.unwrap();
            (files.asks_gitaly, files.token_file.is_some())
        })
    };
    let good = [
        (SECRET, "", (true, false)),
        (SECRET, TOKEN, (true, true)),
        ("", TOKEN, (false, true)),
        (SECRET, "source: gitaly", (true, false)),
        (SECRET, "token_file: /token, source: api", (false, true)),
    ];
    for (secret, more, expected) in good {
        assert_eq!(files(secret, more).unwrap(), expected, "{secret} {more}");
    }
    let bad = [
        ("", "", "token_file"),
        ("", "source: gitaly", "source"),
        (SECRET, "source: api", "token_file"),
        (SECRET, "token_file: /token, source: gitaly", "token_file"),
        (SECRET, "every: 1ms", "every"),
    ];
    for (secret, more, key) in bad {
        let mistakes = files(secret, more).unwrap_err();
        let found = mistakes.as_slice().iter().map(|one| one.key.to_string());
        let expected = [format!("gitlab.agent_files.{key}")];
        assert_eq!(found.collect::<Vec<_>>(), expected, "{secret} {more}");
    }
}

#[test]
fn gitaly_is_asked_as_gitlabs_own_agent_server_asks_it_unless_told_otherwise() {
    let usual = check("url: https://gitlab.test").unwrap().gitaly;
    let config = check(
        "{url: 'https://gitlab.test', gitaly: {ca_file: /ca.pem, timeout: 2s, calls_per_second: 1, calls_at_once: 2,
        server_calls_per_second: 3, server_calls_at_once: 4}}",
    );
    let taken = config.unwrap().gitaly;
    let rates = |config: &GitalyConfig| {
        [
            config.calls_per_second,
            config.calls_at_once,
            config.server_calls_per_second,
            config.server_calls_at_once,
        ]
    };
    assert_eq!(rates(&usual), [30, 70, 15, 40]);
    assert_eq!(rates(&taken), [1, 2, 3, 4]);
    assert_eq!(taken.timeout, Duration::from_secs(2));
    assert_eq!(taken.ca_file, Some("/ca.pem".into()));
    let mistakes = check("{url: 'https://gitlab.test', gitaly: {timeout: 1h, calls_at_once: 0}}");
    assert_eq!(mistakes.unwrap_err().as_slice().len(), 2);
}
