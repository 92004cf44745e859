//! What is said of values that would not work: the key, and what is wrong with it, before anything is installed. Here is what both
//! charts say.

mod agent;
mod relay;

use serde_json::{Value, json};

use crate::chart::{Chart, over};

/// Selectors would no longer find what they should, or there would be two of one label.
#[test]
fn labels_that_the_charts_set_are_refused() {
    let name = "labels_that_the_charts_set_are_refused";
    let (Some(agent), Some(relay)) = (Chart::agent(name), Chart::relay(name)) else {
        return;
    };
    let of_all = ["commonLabels", "podMonitor.labels", "serviceMonitor.labels"];
    let of_the_relay = [
        "service.labels",
        "gitlabService.labels",
        "dashboards.labels",
    ];
    for (chart, values) in [
        (&agent, &of_all[..]),
        (&relay, &[of_all, of_the_relay].concat()),
    ] {
        let objects = chart.rendered(&json!({ "serviceMonitor": { "enabled": true } }));
        let labelled = |object: String, at| objects[&object].pointer(at).unwrap().clone();
        let of_objects = labelled(
            format!("Service {}-metrics", chart.name),
            "/metadata/labels",
        );
        let of_pods = labelled(
            format!("Deployment {}", chart.name),
            "/spec/selector/matchLabels",
        );
        for (value, labels) in values
            .iter()
            .map(|value| (*value, &of_objects))
            .chain([("podLabels", &of_pods)])
        {
            let keys = value.rsplit('.');
            let values = keys.fold(labels.clone(), |below, key| json!({ key: below }));
            let said = chart.refusal_of(&values);
            let labels = labels.as_object().unwrap();
            assert!(labels.len() > 1, "{labels:?}");
            for label in labels.keys() {
                let at = format!("/{}/{}", value.replace('.', "/"), label.replace('/', "~1"));
                let because =
                    format!("at '{at}': value must be 'left out: the chart has this label");
                assert!(said.contains(&because), "{value}: {label}: {said}");
            }
        }
        // Of pods nothing is chosen by it.
        chart.rendered(&json!({ "podLabels": { "app.kubernetes.io/component": "edge" } }));
        let said = chart.refusal_of(&json!({ "commonLabels": { "example.com/team": "a b" } }));
        assert!(
            said.contains("value must be 'the value of a label: "),
            "{said}"
        );
    }
}

/// A probe has one handler, which is the chart's.
#[test]
fn probes_take_times_and_no_handler() {
    let name = "probes_take_times_and_no_handler";
    let (Some(agent), Some(relay)) = (Chart::agent(name), Chart::relay(name)) else {
        return;
    };
    for chart in [agent, relay] {
        for probe in ["livenessProbe", "readinessProbe"] {
            let said = chart.refusal_of(&json!({ probe: {
                "httpGet": { "path": "/" }, "exec": {}, "tcpSocket": {}, "grpc": {}, "period": 5, "timeoutSeconds": 0,
            } }));
            for handler in ["httpGet", "exec", "tcpSocket", "grpc"] {
                let because = format!(
                    "at '/{probe}/{handler}': value must be 'left out: the chart says what is asked, "
                );
                assert!(said.contains(&because), "{said}");
            }
            assert!(
                said.contains("additional properties 'period' not allowed"),
                "{said}"
            );
            assert!(
                said.contains(&format!("at '/{probe}/timeoutSeconds': minimum")),
                "{said}"
            );
        }
    }
}

/// Where there is one, or Kubernetes takes it.
#[test]
fn a_name_that_no_service_can_have_is_refused() {
    let name = "a_name_that_no_service_can_have_is_refused";
    let (Some(agent), Some(relay)) = (Chart::agent(name), Chart::relay(name)) else {
        return;
    };
    let scraped = json!({ "serviceMonitor": { "enabled": true } });
    for release in ["2nd", "a.b"] {
        for (chart, values) in [(&agent, &scraped), (&relay, &json!({}))] {
            let said = chart.refusal_of_release(release, values);
            let because = format!(
                "the release's name: a Service would be called {release}-{}",
                chart.name
            );
            assert!(said.contains(&because), "{said}");
        }
    }
    let named = json!({ "fullnameOverride": "2nd" });
    agent.rendered(&named);
    for (chart, values) in [(&agent, over(&named, &scraped)), (&relay, named)] {
        let said = chart.refusal_of(&values);
        let because =
            "fullnameOverride: a Service would be called 2nd, and its name begins with a letter";
        assert!(said.contains(because), "{said}");
    }
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
