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
    refuses(
        &chart,
        &[
            (
                json!({ "relay": { "url": "http://relay.example.com" } }),
                "at '/relay/url': ",
            ),
            (
                json!({ "rbac": { "impersonation": "plain" } }),
                "rbac.groups: name each group",
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
    refuses(
        &chart,
        &[
            (
                json!({ "config": { "listen": { "address": "a" } } }),
                "at '/config/listen/address': ",
            ),
            (
                json!({ "config": { "gitlab_api": { "address": "a" } } }),
                "at '/config/gitlab_api/address': ",
            ),
            (json!({ "service": { "port": 0 } }), "at '/service/port': "),
        ],
    );
}

fn refuses(chart: &Chart, cases: &[(Value, &str)]) {
    for (values, because) in cases {
        let said = chart.refusal_of(values);
        assert!(said.contains(because), "{}: {values}: {said}", chart.name);
    }
}
