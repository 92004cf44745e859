use std::collections::BTreeSet;

use super::*;

fn check(yaml: &str) -> Result<Config, String> {
    let raw = RawConfig::from_yaml(yaml).map_err(|mistakes| mistakes.to_string())?;
    Config::try_from(raw).map_err(|mistakes| mistakes.to_string())
}

fn mistakes(yaml: &str) -> BTreeSet<String> {
    let told = check(yaml).expect_err("the file has mistakes");
    told.lines()
        .map(|line| line.split(": ").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn defaults_are_those_that_are_documented() {
    let config = check("listen: {address: '127.0.0.1:0'}").unwrap();
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:8151");
    assert_eq!(config.tunnel.ping_interval, Duration::from_secs(27));
    assert_eq!(config.tunnel.dead_after, Duration::from_secs(15));
    assert_eq!(config.drain_grace, Duration::from_secs(300));
    assert_eq!(config.limits, LimitsConfig::default());
    assert_eq!(config.route, RouteConfig::default());
}

/// HAProxy's in Debian is 50 s, nginx's 60 s, and some forget after 30 s. The relay asks only where the agent has not.
#[test]
fn agents_are_asked_well_within_the_patience_of_balancers() {
    let config = check("listen: {address: '127.0.0.1:0'}").unwrap();
    assert!(config.tunnel.ping_interval < Duration::from_secs(30));
}

#[test]
fn plain_text_is_for_loopback_only() {
    assert!(check("listen: {address: '127.0.0.1:80'}").is_ok());
    assert!(check("listen: {address: '[::1]:80'}").is_ok());
    assert_eq!(
        mistakes("listen: {address: '10.0.0.1:80'}"),
        BTreeSet::from(["listen.certificate".to_owned()])
    );
    assert_eq!(
        mistakes("{}"),
        BTreeSet::from(["listen.certificate".to_owned()])
    );
    assert_eq!(
        mistakes("listen: {address: '127.0.0.1:80', certificate: a.pem}"),
        BTreeSet::from(["listen.key".to_owned()])
    );
}

#[test]
fn plain_text_beyond_loopback_is_on_purpose_and_for_balancers_that_are_named() {
    let told = check("listen: {address: '10.0.0.1:80'}").unwrap_err();
    assert!(told.contains("listen.tls_ended_before"), "{told}");
    let behind = |rest: &str| {
        let yaml = format!("listen: {{address: '10.0.0.1:80', tls_ended_before: true, {rest}}}");
        check(&yaml)
    };
    let door = behind("proxy_protocol_from: [10.1.0.0/16], forwarded_for_from: ['fd00::7']");
    let door = door.unwrap().front_door;
    for (from, is_taken) in [
        ("10.1.2.3", true),
        ("fd00::7", true),
        ("127.0.0.5", true),
        ("::1", true),
        ("10.2.0.1", false),
        ("10.0.0.1", false),
        ("fd00::8", false),
    ] {
        assert_eq!(
            door.takes_plain_from(from.parse().unwrap()),
            is_taken,
            "{from}"
        );
    }
    behind("proxy_protocol_from: [10.0.0.0/8], forwarded_for_from: ['fc00::/7']").unwrap();
    let cases = [
        ("", "listen.tls_ended_before: needs the addresses"),
        (
            "forwarded_for_from: [10.1.0.1], certificate: a.pem, key: a.key",
            "listen.tls_ended_before: either",
        ),
        (
            "forwarded_for_from: [10.1.0.1, 0.0.0.0/0]",
            "listen.forwarded_for_from: names everybody",
        ),
        (
            "proxy_protocol_from: ['::/0']",
            "listen.proxy_protocol_from: names everybody",
        ),
        (
            "proxy_protocol_from: [10.0.0.0/00]",
            "listen.proxy_protocol_from: names everybody",
        ),
        (
            "proxy_protocol_from: [0.0.0.0/1, 128.0.0.0/1]",
            "listen.proxy_protocol_from: names everybody",
        ),
        (
            "forwarded_for_from: ['fc00::/6']",
            "listen.forwarded_for_from: names everybody",
        ),
    ];
    for (rest, expected) in cases {
        let told = behind(rest).unwrap_err();
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn private_port_has_a_certificate_or_none_wherever_it_is() {
    let admin = |keys: &str| {
        let yaml = format!("{{listen: {{address: '127.0.0.1:0'}}, admin: {{{keys}}}}}");
        Ok::<_, String>(check(&yaml)?.admin)
    };
    assert_eq!(admin("address: '0.0.0.0:8151'").unwrap().tls, None);
    let both = admin("certificate: a.pem, key: a.key").unwrap();
    assert!(both.tls.is_some());
    for (keys, expected) in [
        ("certificate: a.pem", "admin.key: needed"),
        ("key: a.key", "admin.certificate: needed"),
        ("client_ca_file: ca.pem", "admin.client_ca_file: needs"),
    ] {
        let told = admin(keys).unwrap_err();
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn two_ports_in_one_place_are_a_mistake() {
    let file = |listen: &str, admin: &str, api: &str| {
        let tls = "certificate: a.pem, key: a.key";
        let yaml = format!(
            "{{listen: {{{tls}, address: '{listen}'}}, admin: {{address: '{admin}'}}, gitlab_api: {{{tls}, address: '{api}'}}, \
             authorities: {{gitlab: {{url: 'https://gitlab.example.com', api_secret_file: /secret}}}}}}"
        );
        check(&yaml).map(drop)
    };
    let apart = [
        ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"],
        ["0.0.0.0:8150", "127.0.0.1:8151", "127.0.0.1:8153"],
        ["127.0.0.2:8150", "127.0.0.1:8150", "[::1]:8150"],
        ["0.0.0.0:8150", "[::1]:8150", "127.0.0.1:8153"],
    ];
    for [listen, admin, api] in apart {
        assert_eq!(file(listen, admin, api), Ok(()), "{listen} {admin} {api}");
    }
    for (listen, admin) in [
        ("127.0.0.1:8150", "127.0.0.1:8150"),
        ("0.0.0.0:8150", "127.0.0.1:8150"),
        ("127.0.0.1:8150", "[::]:8150"),
        ("127.0.0.1:8150", "[::ffff:127.0.0.1]:8150"),
    ] {
        let told = file(listen, admin, "127.0.0.1:8153").unwrap_err();
        let expected = format!("admin.address: {admin} is taken by listen.address, {listen}: ");
        assert!(told.starts_with(&expected), "{told}");
    }
    let told = file("127.0.0.1:8150", "127.0.0.1:8151", "0.0.0.0:8151").unwrap_err();
    let expected = "gitlab_api.address: 0.0.0.0:8151 is taken by admin.address, 127.0.0.1:8151: ";
    assert!(told.starts_with(expected), "{told}");
    // What goes without saying counts.
    let told = check("listen: {address: '127.0.0.1:8151'}").unwrap_err();
    assert!(told.contains("admin.address: "), "{told}");
}

/// Whoever comes by IPv4 is known by that address: a network of those that these are mapped to in IPv6 has none of them.
#[test]
fn networks_of_mapped_addresses_are_told_as_those_of_ipv4() {
    for (text, plain) in [
        ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
        ("::ffff:c000:0207", "192.0.2.7/32"),
        ("0:0:0:0:0:ffff::/96", "0.0.0.0/0"),
    ] {
        let yaml = format!("listen: {{address: '127.0.0.1:0', forwarded_for_from: ['{text}']}}");
        let told = check(&yaml).unwrap_err();
        let expected = format!(
            "listen.forwarded_for_from[0]: never matches, for addresses of IPv4 are known as such: write {plain}"
        );
        assert_eq!(told, expected);
    }
    check("listen: {address: '127.0.0.1:0', forwarded_for_from: ['::/0', '64:ff9b::/96']}")
        .unwrap();
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = mistakes(
        "
        listen: {address: nowhere, head_timeout: 10, proxy_protocol_from: [10.0.0.0/8, nobody], forwarded_for_from: ['10.0.0.0/33']}
        admin: {address: '8151'}
        shards: 0
        route: {wait: soon}
        tunnel: {ping_interval: 0s, max_stream_credit: 1B, stream_queue: 1B, max_queued: 1B}
        limits: {connections: 0, head_size: 64}
        drain: {grace: -1s}
        ",
    );
    let expected = [
        "admin.address",
        "drain.grace",
        "limits.connections",
        "listen.address",
        "listen.forwarded_for_from[0]",
        "listen.proxy_protocol_from[1]",
        "route.wait",
        "shards",
        "tunnel.ping_interval",
        "tunnel.max_queued",
        "tunnel.max_stream_credit",
        "tunnel.stream_queue",
    ];
    for key in expected {
        assert!(told.contains(key), "{key} is missing in {told:?}");
    }
}

#[test]
fn window_that_starts_above_its_limit_is_a_mistake() {
    let told = mistakes(
        "{listen: {address: '127.0.0.1:0'}, tunnel: {stream_credit: 2MiB, max_stream_credit: 1MiB}}",
    );
    assert_eq!(
        told,
        BTreeSet::from(["tunnel.max_stream_credit".to_owned()])
    );
}

#[test]
fn unknown_key_is_refused() {
    let told = check("limits: {conections: 1}").unwrap_err();
    assert!(told.contains("conections"), "{told}");
}

#[test]
fn mistake_in_yaml_shows_no_value() {
    let told = check("agents:\n- id: s3cret-in-the-wrong-line\n").unwrap_err();
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn examples_are_right() {
    check(include_str!("../../../../deploy/relay.example.yaml")).unwrap();
    check(include_str!(
        "../../../../deploy/manifests/relay/relay.yaml"
    ))
    .unwrap();
}

#[test]
fn port_that_gitlab_calls_has_tls_or_is_on_loopback() {
    let file = |api: &str, gitlab: &str| {
        let yaml = format!(
            "{{listen: {{address: '127.0.0.1:0'}}, gitlab_api: {{{api}}}, authorities: {{{gitlab}}}}}"
        );
        check(&yaml)
    };
    let asking = "gitlab: {url: 'https://gitlab.example.com', api_secret_file: /secret}";
    let config = file("", asking).unwrap().gitlab_api.unwrap();
    assert_eq!(config.address.to_string(), "127.0.0.1:8153");
    assert_eq!((config.secret_file, config.connections), (None, 1000));
    let open = "address: '0.0.0.0:8153', certificate: a.pem, key: a.key";
    assert!(file(open, asking).is_ok());
    let unproved = "gitlab: {url: 'https://gitlab.example.com'}";
    assert!(file("secret_file: /secret", unproved).is_ok());
    let cases = [
        ("address: '0.0.0.0:8153'", asking, "gitlab_api.certificate"),
        ("key: a.key", asking, "gitlab_api.certificate"),
        ("certificate: a.pem", asking, "gitlab_api.key"),
        ("address: '8153'", asking, "gitlab_api.address"),
        ("connections: 0", asking, "gitlab_api.connections"),
        (
            "",
            unproved,
            "gitlab_api.secret_file: needed, as authorities.gitlab.api_secret_file is not there: without it the relay could not tell",
        ),
        (
            "secret_file: /secret",
            "",
            "gitlab_api: needs authorities.gitlab",
        ),
    ];
    for (api, gitlab, expected) in cases {
        let told = file(api, gitlab).unwrap_err();
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn agents_certificates_cannot_be_wanted_where_tls_has_ended() {
    let plain = "{listen: {address: '127.0.0.1:0'}, tunnel: {client_ca_file: ca.pem}}";
    let told = check(plain).unwrap_err();
    let key = "tunnel.client_ca_file: cannot be checked without listen.certificate";
    assert!(told.starts_with(key), "{told}");
    let tls = "{listen: {certificate: a.pem, key: a.key}, tunnel: {client_ca_file: ca.pem}}";
    let file = check(tls).unwrap().client_ca_file;
    assert_eq!(file.unwrap().display().to_string(), "ca.pem");
}

#[test]
fn series_of_agents_that_everybody_may_read_are_doubted() {
    let doubts = |admin: &str, agents: u64| {
        let yaml = format!(
            "listen: {{address: '127.0.0.1:0'}}\nadmin: {{address: '{admin}'}}\nmetrics: {{agents: {agents}}}"
        );
        let doubts = check(&yaml).unwrap().doubts();
        let keys = doubts.iter().map(|doubt| doubt.key.to_string());
        keys.filter(|key| key.starts_with("metrics"))
            .collect::<Vec<_>>()
    };
    assert_eq!(doubts("0.0.0.0:8151", 1), ["metrics.agents"]);
    assert_eq!(doubts("127.0.0.1:8151", 1), [""; 0]);
    assert_eq!(doubts("[::1]:8151", 1), [""; 0]);
    assert_eq!(doubts("0.0.0.0:8151", 0), [""; 0]);
}

#[test]
fn an_address_that_may_have_every_place_is_doubted() {
    let is_doubted = |limits: &str| {
        let yaml = format!("listen: {{address: '127.0.0.1:0'}}\nlimits: {{{limits}}}");
        let doubts = check(&yaml).unwrap().doubts();
        let mut keys = doubts.iter().map(|doubt| doubt.key.to_string());
        keys.any(|key| key == "limits.connections_per_address")
    };
    for (limits, expected) in [
        ("", false),
        ("connections: 5001", false),
        ("connections: 5000", true),
        ("connections: 5000, connections_per_address: 4999", false),
        ("connections_per_address: 20000", true),
    ] {
        assert_eq!(is_doubted(limits), expected, "{limits}");
    }
}
