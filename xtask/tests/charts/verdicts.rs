//! What the relay's chart and the relay say of a configuration: the same. Rendered without the schema, it is what the relay would read.

use serde_json::{Value, json};

use crate::chart::{Chart, over};

#[test]
fn the_relays_chart_takes_what_the_relay_takes() {
    let Some(chart) = Chart::relay("the_relays_chart_takes_what_the_relay_takes") else {
        return;
    };
    let cases = behind_a_balancer().into_iter();
    let cases = cases.chain(audited()).chain(called_by_gitlab());
    for (config, is_taken) in cases.chain(whole_and_not()) {
        let values = json!({ "checkFiles": false, "config": config });
        let verdict =
            relays(&chart.unchecked(&values)["ConfigMap adit-relay"]["data"]["relay.yaml"]);
        assert_eq!(verdict.is_ok(), is_taken, "{config}: relay: {verdict:?}");
        if is_taken {
            chart.rendered(&values);
        } else {
            let said = chart.refusal_of(&values);
            assert!(said.contains("at '/config/"), "{config}: {said}");
        }
    }
}

fn relays(config: &Value) -> Result<(), String> {
    let raw = serde_json::from_value::<adit_relay::RawConfig>(config.clone());
    let raw = raw.map_err(|error| error.to_string())?;
    let config = adit_relay::Config::try_from(raw);
    config.map(drop).map_err(|mistakes| mistakes.to_string())
}

fn behind_a_balancer() -> Vec<(Value, bool)> {
    let ended = |more: Value| over(&json!({ "tls_ended_before": true }), &more);
    let listens = [
        (ended(json!({})), false),
        (ended(json!({ "forwarded_for_from": [] })), false),
        (
            ended(json!({ "forwarded_for_from": ["10.0.7.0/28"] })),
            true,
        ),
        (ended(json!({ "proxy_protocol_from": ["10.0.7.9"] })), true),
        (
            ended(json!({ "proxy_protocol_from": ["0.0.0.0/0"] })),
            false,
        ),
        (
            ended(json!({ "forwarded_for_from": ["10.0.7.9", "::/0"] })),
            false,
        ),
        (
            ended(json!({ "proxy_protocol_from": ["10.0.0.0/00"] })),
            false,
        ),
        (
            ended(json!({ "proxy_protocol_from": ["0.0.0.0/1", "128.0.0.0/1"] })),
            false,
        ),
        (
            ended(json!({ "proxy_protocol_from": ["10.0.0.0/7"] })),
            false,
        ),
        (ended(json!({ "forwarded_for_from": ["fc00::/6"] })), false),
        (
            ended(json!({ "forwarded_for_from": ["10.0.0.0/08", "fc00::/7", "fd00::7"] })),
            true,
        ),
        (
            json!({ "forwarded_for_from": ["::ffff:10.0.0.1/104"] }),
            false,
        ),
        (
            json!({ "proxy_protocol_from": ["10.0.0.9", "::FFFF:a00:1"] }),
            false,
        ),
        (
            json!({ "proxy_protocol_from": ["0:0:0:0:0:ffff::/96"] }),
            false,
        ),
        (
            json!({ "proxy_protocol_from": ["0::0000:ffff:10.0.0.1"] }),
            false,
        ),
        (
            json!({ "proxy_protocol_from": ["::fffe:10.0.0.1", "1::ffff:10.0.0.1", "::ffff:0:0/95"] }),
            true,
        ),
        (json!({ "proxy_protocol_from": ["0.0.0.0/0"] }), true),
        (json!({ "tls_ended_before": false }), true),
        (json!({ "proxy_protocol_from": ["balancer"] }), false),
        (json!({ "proxy_protocol_from": ["2001:db8::1/64"] }), true),
        (json!({ "proxy_protocol_from": ["2001:db8"] }), false),
        (json!({ "proxy_protocol_from": ["1::2::3"] }), false),
        (json!({ "forwarded_for_from": ["10.0.7.0/33"] }), false),
    ];
    let shown = json!({ "client_ca_file": "/ca.pem" });
    let listen = ended(json!({ "proxy_protocol_from": ["10.0.7.9"] }));
    let listens = listens.map(|(listen, is_taken)| (json!({ "listen": listen }), is_taken));
    listens
        .into_iter()
        .chain([
            (json!({ "tunnel": shown }), true),
            (json!({ "tunnel": shown, "listen": listen }), false),
        ])
        .collect()
}

fn audited() -> Vec<(Value, bool)> {
    let collector = json!({ "endpoint": "https://collector.example.com" });
    let audits = [
        (json!({}), true),
        (json!({ "to": "stdout" }), true),
        (json!({ "to": "file" }), false),
        (json!({ "file": "/etc/adit/audit/log" }), false),
        (
            json!({ "to": "stdout", "file": "/etc/adit/audit/log" }),
            false,
        ),
        (json!({ "to": "otlp" }), false),
        (json!({ "to": "otlp", "otlp": {} }), false),
        (json!({ "to": "otlp", "otlp": collector }), true),
        (json!({ "to": "stdout", "otlp": collector }), false),
        (json!({ "otlp": collector }), false),
    ];
    audits
        .map(|(audit, is_taken)| (json!({ "audit": audit }), is_taken))
        .into()
}

fn called_by_gitlab() -> Vec<(Value, bool)> {
    let gitlab = json!({ "url": "https://gitlab.example.com" });
    let trusted = over(&gitlab, &json!({ "api_secret_file": "/secret" }));
    let secret = json!({ "secret_file": "/secret" });
    vec![
        (json!({ "gitlab_api": {} }), false),
        (json!({ "gitlab_api": secret }), false),
        (json!({ "authorities": { "gitlab": gitlab } }), true),
        (
            json!({ "authorities": { "gitlab": gitlab }, "gitlab_api": {} }),
            false,
        ),
        (
            json!({ "authorities": { "gitlab": gitlab }, "gitlab_api": secret }),
            true,
        ),
        (
            json!({ "authorities": { "gitlab": trusted }, "gitlab_api": {} }),
            true,
        ),
    ]
}

/// Sections of which each has what it must, and without it.
fn whole_and_not() -> Vec<(Value, bool)> {
    let endpoint = json!({ "endpoint": "https://collector.example.com" });
    let agent = json!({
        "id": 1, "name": "demo", "project": "group/app", "tokens": [format!("sha256:{}", "0".repeat(64))],
    });
    let agents = |agent: &Value| json!({ "agents": [agent] });
    let without = |key: &str| {
        let mut agent = agent.clone();
        agent.as_object_mut().unwrap().remove(key);
        (agents(&agent), false)
    };
    let with = |more: Value| agents(&over(&agent, &more));
    let acts = |with_more: Value| with(json!({ "ci_access": with_more }));
    let as_robot =
        json!({ "username": "robot", "extra": [{ "key": "example.com/a", "val": ["a"] }] });
    let nobody = json!({ "extra": [{ "key": "example.com/a", "val": ["a"] }] });
    let of_robot =
        |who: Value| acts(json!({ "instance": { "access_as": { "impersonate": who } } }));
    let issuers = |issuer: Value| json!({ "authorities": { "oidc": { "issuers": [issuer] } } });
    vec![
        (json!({ "authorities": { "gitlab": {} } }), false),
        (issuers(json!({ "audiences": ["adit"] })), false),
        (
            issuers(json!({ "url": "https://gitlab.example.com" })),
            false,
        ),
        (json!({ "traces": {} }), false),
        (json!({ "traces": endpoint }), true),
        (agents(&agent), true),
        without("id"),
        without("name"),
        without("project"),
        (with(json!({ "id": 0 })), false),
        (with(json!({ "project_id": 0 })), false),
        (
            acts(json!({ "projects": [{ "id": "group/a" }], "groups": [{ "id": "group" }] })),
            true,
        ),
        (acts(json!({ "projects": [{}] })), false),
        (acts(json!({ "groups": [{}] })), false),
        (of_robot(as_robot), true),
        (of_robot(nobody), false),
        (
            of_robot(json!({ "username": "robot", "extra": [{ "val": ["a"] }] })),
            false,
        ),
        (
            of_robot(json!({ "username": "robot", "extra": [{ "key": "example.com/a" }] })),
            false,
        ),
    ]
}
