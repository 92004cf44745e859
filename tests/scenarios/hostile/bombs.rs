//! YAML that is short, and grows when it is read (CVE-2019-11253): in a request it is bytes to us, and in our own files refused.

use std::iter::repeat_n;

use adit_tests::{body, caller::request, scenario, world};
use http::{HeaderValue, Method, header};

/// Ten of ten of ten: a billion when it is read.
fn billion() -> String {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in ('b'..='i').zip('a'..) {
        let tens = repeat_n(format!("*{of}"), 10)
            .collect::<Vec<_>>()
            .join(", ");
        text += &format!("{name}: &{name} [{tens}]\n");
    }
    text
}

#[test]
fn bomb_in_a_request_is_bytes_to_us() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        let sent = || {
            let mut sent = request(
                Method::POST,
                "/api/v1/namespaces/shop/configmaps",
                body::full(billion()),
            );
            let yaml = HeaderValue::from_static("application/yaml");
            sent.headers_mut().insert(header::CONTENT_TYPE, yaml);
            sent
        };
        for answer in [http1.answer(sent()).await, http2.answer(sent()).await] {
            assert_eq!(answer.echo().body(), billion());
        }
        drop((http1, http2));
        world.stop().await;
    });
}

/// A list of names, each said once more: 200 MB when it is read.
fn long_list() -> String {
    format!("[&a '{}'{}]", "x".repeat(10_000), ", *a".repeat(20_000))
}

#[test]
fn bomb_in_a_config_is_refused() {
    let deep = "[".repeat(100_000);
    for (what, list) in [("a long list", long_list()), ("a deep one", deep)] {
        let agent = format!("ceiling:\n  users: {list}\n");
        assert!(adit_agent::RawConfig::from_yaml(&agent).is_err(), "{what}");
        let relay = format!("agents:\n- id: 1\n  name: a\n  project: b\n  tokens: {list}\n");
        assert!(adit_relay::RawConfig::from_yaml(&relay).is_err(), "{what}");
    }
    for text in [billion(), format!("agents: []\n{}", billion())] {
        assert!(adit_agent::RawConfig::from_yaml(&text).is_err());
        assert!(adit_relay::RawConfig::from_yaml(&text).is_err());
    }
}
