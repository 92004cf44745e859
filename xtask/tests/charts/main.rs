//! The charts as helm renders them, without a cluster: what each value puts where, what is said of one that would not work, and
//! what whoever installs them is told to do next.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's way to fail"
)]

mod agent;
mod both;
mod chart;
mod effects;
mod notes;
mod nulls;
mod refusals;
mod relay;
mod verdicts;

use chart::{Chart, over};
use effects::all_do_what_they_say;
use serde_json::json;

#[test]
fn each_value_of_the_agents_chart_does_what_it_says() {
    let name = "each_value_of_the_agents_chart_does_what_it_says";
    if let Some(chart) = Chart::agent(name) {
        all_do_what_they_say(&chart, &agent::effects());
    }
}

#[test]
fn each_value_of_the_relays_chart_does_what_it_says() {
    let name = "each_value_of_the_relays_chart_does_what_it_says";
    if let Some(chart) = Chart::relay(name) {
        all_do_what_they_say(&chart, &relay::effects());
    }
}

#[test]
fn every_object_has_the_labels_of_all() {
    let name = "every_object_has_the_labels_of_all";
    let more = [
        json!({
            "commonLabels": { "example.com/team": "platform" },
            "rbac": { "namespaces": ["shop"] },
            "flux": {
                "gitlabUrl": "https://gitlab.example.com",
                "webhookReceiverUrl": "/api/v1/namespaces/flux-system/services/http:webhook-receiver:80/proxy",
            },
        }),
        over(
            &relay::called_by_gitlab(),
            &json!({
                "commonLabels": { "example.com/team": "platform" },
                "dashboards": { "enabled": true },
            }),
        ),
    ];
    for (chart, more) in [Chart::agent(name), Chart::relay(name)]
        .into_iter()
        .zip(more)
    {
        let Some(chart) = chart else { return };
        let monitored = ["podMonitor", "serviceMonitor"].map(|monitor| {
            let objects = chart.rendered(&over(&more, &json!({ monitor: { "enabled": true } })));
            assert!(objects.len() > 7, "{:?}", objects.keys());
            objects
        });
        for (key, object) in monitored.into_iter().flatten() {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["example.com/team"], "platform", "{key}");
            assert_eq!(labels["app.kubernetes.io/instance"], chart.name, "{key}");
        }
    }
}

/// Of one name they would share what is in no namespace of theirs, and helm lets nobody have what another release has.
#[test]
fn agents_of_two_names_share_nothing() {
    let Some(chart) = Chart::agent("agents_of_two_names_share_nothing") else {
        return;
    };
    let values = json!({
        "rbac": { "namespaces": ["shop"] },
        "serviceMonitor": { "enabled": true },
        "flux": {
            "gitlabUrl": "https://gitlab.example.com",
            "webhookReceiverUrl": "/api/v1/namespaces/flux-system/services/http:webhook-receiver:80/proxy",
        },
    });
    let one = chart.rendered(&values);
    let other = chart.rendered(&over(&values, &json!({ "fullnameOverride": "other" })));
    assert_eq!(one.len(), other.len());
    for key in one.keys() {
        assert!(!other.contains_key(key), "both have {key}");
    }
}

/// What the pods read changes, and so they are replaced.
#[test]
fn a_change_of_the_configuration_is_a_rollout() {
    let name = "a_change_of_the_configuration_is_a_rollout";
    let (Some(agent), Some(relay)) = (Chart::agent(name), Chart::relay(name)) else {
        return;
    };
    for (chart, change) in [
        (&agent, json!({ "config": { "drain_grace": "20s" } })),
        (&agent, json!({ "relay": { "ca": chart::PEM } })),
        (&relay, json!({ "config": { "drain": { "grace": "4m" } } })),
    ] {
        let sum = |values| {
            let objects = chart.rendered(values);
            let template = &objects[&format!("Deployment {}", chart.name)]["spec"]["template"];
            let sum = &template["metadata"]["annotations"]["checksum/config"];
            sum.as_str().unwrap().to_owned()
        };
        assert_ne!(sum(&json!({})), sum(&change), "{change}");
    }
}

/// What neither chart nor kustomization may lose, whatever the two agree on.
#[test]
fn what_holds_without_any_value() {
    let name = "what_holds_without_any_value";
    let names =
        json!({ "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }] });
    let tcp = |port: u16| json!({ "port": port, "protocol": "TCP" });
    let egress = "/spec/egress";
    let grace = "/spec/template/spec/terminationGracePeriodSeconds";
    for (chart, object, at, expected) in [
        (
            Chart::agent(name),
            "NetworkPolicy",
            egress,
            json!([names, { "ports": [tcp(443), tcp(6443)] }]),
        ),
        (
            Chart::relay(name),
            "NetworkPolicy",
            egress,
            json!([names, { "ports": [tcp(443)] }]),
        ),
        (Chart::agent(name), "Deployment", "/spec/replicas", json!(2)),
        (Chart::relay(name), "Deployment", "/spec/replicas", json!(1)),
        (Chart::agent(name), "Deployment", grace, json!(30)),
        (Chart::relay(name), "Deployment", grace, json!(320)),
    ] {
        let Some(chart) = chart else { return };
        let objects = chart.rendered(&json!({}));
        let object = &objects[&format!("{object} {}", chart.name)];
        assert_eq!(object.pointer(at), Some(&expected), "{}: {at}", chart.name);
    }
}
