//! What is said of values that would not work: the key, and what is wrong with it, before anything is installed.

use serde_json::{Value, json};

use crate::chart::Chart;

#[test]
fn the_agents_chart_refuses_values_that_would_not_work() {
    let Some(chart) = Chart::agent("the_agents_chart_refuses_values_that_would_not_work") else {
        return;
    };
    let said = chart.refusal(&json!({}));
    assert!(said.contains("relay.url: say where the relay is"), "{said}");
    let of_relay = |url: &str| json!({ "relay": { "url": url } });
    let of_config = |config: Value| json!({ "config": config });
    let cases = [
        (of_relay("http://relay.example.com"), "at '/relay/url': "),
        (
            of_relay("https://relay:99999"),
            "relay.url: 99999 is no port",
        ),
        (of_relay("https://relay:0"), "relay.url: 0 is no port"),
        (of_relay("https://relay/adit"), "relay.url: /adit is a path"),
        (
            of_relay("https://me@relay"),
            "relay.url: write the host and port alone",
        ),
        (
            of_relay("https://relay?a"),
            "relay.url: write the host and port alone",
        ),
        (
            json!({ "rbac": { "impersonation": "plain" } }),
            "rbac.groups: name each group",
        ),
        (
            json!({ "rbac": { "namespaces": ["shop"], "inNamespace": [] } }),
            "rbac.inNamespace: say what",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "verbs": ["*"] }] } }),
            "at '/rbac/everywhere/0/verbs/0': ",
        ),
        (
            json!({ "replica": 3 }),
            "at '': additional properties 'replica' not allowed",
        ),
        (
            json!({ "image": { "pullPolicy": "Sometimes" } }),
            "at '/image/pullPolicy': ",
        ),
        (
            of_config(json!({ "admin": { "address": "127.0.0.1:1" } })),
            "at '/config/admin/address': ",
        ),
        (
            of_config(json!({ "relay": { "url": "https://other.example.com" } })),
            "at '/config/relay/url': ",
        ),
        (
            of_config(json!({ "drain_gracee": "20s" })),
            "at '/config': additional properties 'drain_gracee' not allowed",
        ),
        (
            of_config(json!({ "limits": { "max_stream": 7 } })),
            "at '/config/limits': additional properties 'max_stream' not allowed",
        ),
        (
            of_config(json!({ "limits": { "max_streams": 0 } })),
            "at '/config/limits/max_streams': minimum",
        ),
        (
            of_config(json!({ "drain_grace": "20 s" })),
            "at '/config/drain_grace': ",
        ),
        (
            json!({ "terminationGracePeriodSeconds": 20 }),
            "terminationGracePeriodSeconds: 20 is too few, a pod would be killed while it drains: config.drain_grace may take 25 s",
        ),
    ];
    refuses(&chart, &cases);
    needs_its_sections(
        &chart,
        &[
            "ceiling",
            "config",
            "flux",
            "image",
            "networkPolicy",
            "rbac",
            "relay",
            "token",
        ],
    );
}

#[test]
fn the_relays_chart_refuses_values_that_would_not_work() {
    let Some(chart) = Chart::relay("the_relays_chart_refuses_values_that_would_not_work") else {
        return;
    };
    let said = chart.refusal(&json!({}));
    assert!(said.contains("config.authorities: say whose"), "{said}");
    let of_config = |config: Value| json!({ "config": config });
    let cases = [
        (
            of_config(json!({ "listen": { "address": "a" } })),
            "at '/config/listen/address': ",
        ),
        (
            of_config(json!({ "admin": { "address": "a" } })),
            "at '/config/admin/address': ",
        ),
        (
            of_config(json!({ "admin": { "certificate": "/a.pem" } })),
            "at '/config/admin': properties 'key' required, if 'certificate' exists",
        ),
        (
            of_config(json!({ "gitlab_api": { "address": "a" } })),
            "at '/config/gitlab_api/address': ",
        ),
        (
            of_config(json!({ "limit": {} })),
            "at '/config': additional properties 'limit' not allowed",
        ),
        (
            of_config(json!({ "agents": [{ "id": 7, "name": "a", "token": "b" }] })),
            "at '/config/agents/0': additional properties 'token' not allowed",
        ),
        (
            of_config(json!({ "tunnel": { "max_queued": 16 } })),
            "at '/config/tunnel/max_queued': ",
        ),
        (
            of_config(json!({ "shards": 0 })),
            "at '/config/shards': minimum",
        ),
        (
            of_config(json!({ "drain": { "grace": "20m" } })),
            "terminationGracePeriodSeconds: 320 is too few, a pod would be killed while it drains: config.drain.grace and preStopSeconds may take 1205 s",
        ),
        (json!({ "service": { "port": 0 } }), "at '/service/port': "),
    ];
    // Of somebody who had it in a file.
    let fixed = |(values, because): &(Value, &'static str)| {
        let mut values = values.clone();
        values["terminationGracePeriodSeconds"] = json!(320);
        (values, *because)
    };
    refuses(&chart, &cases.iter().map(fixed).collect::<Vec<_>>());
    needs_its_sections(
        &chart,
        &[
            "clientCa",
            "config",
            "dashboards",
            "image",
            "networkPolicy",
            "service",
            "tls",
        ],
    );
}

fn refuses(chart: &Chart, cases: &[(Value, &str)]) {
    for (values, because) in cases {
        let said = chart.refusal_of(values);
        assert!(said.contains(because), "{}: {values}: {said}", chart.name);
    }
}

/// `--set config=null` takes the defaults away, too.
fn needs_its_sections(chart: &Chart, sections: &[&str]) {
    let none = sections
        .iter()
        .map(|section| ((*section).to_owned(), Value::Null));
    let said = chart.refusal_of(&Value::Object(none.collect()));
    for section in sections {
        let missing = format!("'{section}'");
        assert!(
            said.contains("missing properties") && said.contains(&missing),
            "{section}: {said}"
        );
    }
}
