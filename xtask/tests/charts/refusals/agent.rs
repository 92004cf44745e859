//! What is said of the agent's.

use serde_json::{Value, json};

use super::{needs_its_sections, refuses};
use crate::chart::{Chart, PEM, over};

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
            of_relay("relay.example.com"),
            "at '/relay/url': value must be 'https:// with the host of the relay, and its port unless that is 443: https://relay.example.com:8443'",
        ),
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
            // Else the agent's ceiling would have neither verbs nor subresources.
            json!({ "rbac": {
                "impersonation": "plain", "groups": ["gitlab:ci_job"], "namespaces": ["shop"], "inNamespace": [],
            } }),
            "rbac.inNamespace: say what",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "verbs": ["*"] }] } }),
            "at '/rbac/everywhere/0/verbs/0': ",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "resources": ["pods"], "verbs": ["get"] }] } }),
            "at '/rbac/everywhere/0': missing property 'apiGroups'",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "apiGroups": [""], "nonResourceURLs": ["/metrics"], "verbs": ["get"] }] } }),
            "at '/rbac/everywhere/0/apiGroups': value must be 'left out beside nonResourceURLs: ",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "nonResourceURLs": ["metrics"], "verbs": ["get"] }] } }),
            "at '/rbac/everywhere/0/nonResourceURLs/0': value must be 'a path such as /metrics, ",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "nonResourceURLs": ["/metrics"], "verbs": ["list"] }] } }),
            "at '/rbac/everywhere/0/verbs/0': value must be one of 'get', 'head', ",
        ),
        (
            json!({ "rbac": { "inNamespace": [{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }] } }),
            "at '/rbac/inNamespace/0/nonResourceURLs': value must be 'left out: paths are in no namespace, ",
        ),
        // Kubernetes would take these, and nothing would ever match them.
        (
            json!({ "rbac": { "inNamespace": [{ "apiGroups": [""], "resources": ["pods/*"], "verbs": ["get"] }] } }),
            "at '/rbac/inNamespace/0/resources/0': value must be 'a resource such as pods, ",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "apiGroups": ["*"], "resources": ["*", "*/*"], "verbs": ["get"] }] } }),
            "at '/rbac/everywhere/0/resources/1': value must be 'a resource such as pods, ",
        ),
        (
            json!({ "rbac": { "inNamespace": [{ "apiGroups": ["apps/v1"], "resources": ["deployments"], "verbs": ["get"] }] } }),
            "at '/rbac/inNamespace/0/apiGroups/0': value must be 'the group of an API without its version, ",
        ),
        (
            json!({ "rbac": { "inNamespace": [{ "apiGroups": ["core"], "resources": ["Pods"], "verbs": ["get"] }] } }),
            "at '/rbac/inNamespace/0/apiGroups/0': value must be 'the group of an API without its version, ",
        ),
        (
            json!({ "rbac": { "inNamespace": [{ "apiGroups": [""], "resources": ["Pods"], "verbs": ["get"] }] } }),
            "at '/rbac/inNamespace/0/resources/0': value must be 'a resource such as pods, ",
        ),
        (
            json!({ "rbac": { "inNamespace": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["post"] }] } }),
            "at '/rbac/inNamespace/0/verbs/0': value must be one of 'get', 'list', ",
        ),
        (
            json!({ "rbac": { "inNamespace": [{ "apiGroups": ["", "metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get"] }] } }),
            "rbac.inNamespace[0].resources: nodes: it is in no namespace, so this would never hold: leave it out, or name it in rbac.everywhere",
        ),
        (
            json!({ "rbac": { "everywhere": [{ "apiGroups": ["", "apps"], "resources": ["pods", "deploy/scale"], "verbs": ["get"] }] } }),
            "rbac.everywhere[0].resources: deploy/scale: no group of apiGroups has it by this name, so this would never hold: write deployments",
        ),
        (
            json!({ "rbac": { "inNamespace": [{ "apiGroups": [""], "resources": ["deployments"], "verbs": ["get"] }] } }),
            "rbac.inNamespace[0].resources: deployments: no group of apiGroups has it by this name, so this would never hold: write its group in apiGroups",
        ),
        (
            json!({ "replica": 3 }),
            "at '': additional properties 'replica' not allowed",
        ),
        // Kubernetes drops what it does not know of a rule, and one without anything lets all pass.
        (
            json!({ "networkPolicy": { "extraEgress": [{ "port": 3128 }] } }),
            "at '/networkPolicy/extraEgress/0': additional properties 'port' not allowed",
        ),
        (
            json!({ "networkPolicy": { "extraEgress": [{}] } }),
            "at '/networkPolicy/extraEgress/0': minProperties: got 0, want 1",
        ),
        (
            json!({ "networkPolicy": { "scrapeFrom": [{ "cidr": "10.0.0.0/8" }] } }),
            "at '/networkPolicy/scrapeFrom/0': additional properties 'cidr' not allowed",
        ),
        (
            json!({ "image": { "pullPolicy": "Sometimes" } }),
            "at '/image/pullPolicy': ",
        ),
        (
            of_config(json!({ "admin": { "address": "127.0.0.1:1" } })),
            "at '/config/admin/address': value must be 'left out: it is 0.0.0.0:8152 in the pod'",
        ),
        (
            of_config(json!({ "relay": { "url": "https://other.example.com" } })),
            "at '/config/relay/url': value must be 'left out: the value relay.url names the relay'",
        ),
        // There are values for these, of which more comes than this.
        (
            of_config(json!({ "ceiling": { "cluster_scope": true } })),
            "at '/config/ceiling/cluster_scope': value must be 'left out: the value ceiling.clusterScope says it'",
        ),
        (
            of_config(json!({ "ceiling": { "verbs": ["get"] } })),
            "at '/config/ceiling/verbs': value must be 'left out: the value ceiling.verbs says it'",
        ),
        (
            of_config(json!({ "flux": { "gitlab_url": "https://gitlab.example.com" } })),
            "at '/config/flux': value must be 'left out: the values flux.gitlabUrl, flux.namespaces and flux.webhookReceiverUrl say it, ",
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
            "at '/config/drain_grace': value must be 'a whole number and a unit, such as 30s or 5m'",
        ),
        (
            of_config(json!({ "drain_grace": 20 })),
            "at '/config/drain_grace': value must be 'a whole number and a unit, ",
        ),
        (
            json!({ "ceiling": { "verbs": ["read"] } }),
            "at '/ceiling/verbs/0': value must be 'get, list, watch, ",
        ),
        (
            json!({ "ceiling": { "namespaces": ["Shop"] } }),
            "at '/ceiling/namespaces/0': value must be 'a namespace, or the beginning of some",
        ),
        (
            json!({ "rbac": { "namespaces": ["Shop"] } }),
            "at '/rbac/namespaces/0': value must be 'the name of a namespace: ",
        ),
        (
            json!({ "rbac": { "groups": ["system:masters"] } }),
            "at '/rbac/groups/0': value must be 'a group other than system:masters, ",
        ),
        (
            json!({ "rbac": { "groups": ["gitlab:*"] } }),
            "at '/rbac/groups/0': value must be 'the whole name of a group: ",
        ),
        (
            json!({ "rbac": { "users": ["gitlab:*"] } }),
            "at '/rbac/users/0': value must be 'the name of a user that is no service account and no node: ",
        ),
        (
            json!({ "rbac": { "users": ["system:serviceaccount:a:b"] } }),
            "at '/rbac/users/0': value must be 'the name of a user that is no service account and no node: ",
        ),
        (
            json!({ "image": { "repository": "Adit/Foo" } }),
            "at '/image/repository': value must be 'an image without its tag, and in lower case, ",
        ),
        (
            of_config(json!({ "relay": { "ca_file": "/ca.pem" } })),
            "config.relay.ca_file: the pod is not known to have /ca.pem: mount the Secret or ConfigMap",
        ),
        (
            of_config(json!({ "relay": { "ca_file": "/etc/adit/config/ca.pem" } })),
            "config.relay.ca_file: the pod is not known to have /etc/adit/config/ca.pem: set relay.ca, or mount",
        ),
        (
            of_config(json!({ "relay": {
                "client_certificate": "/etc/adit/client/tls.crt", "client_key": "/etc/adit/client/tls.key",
            } })),
            "config.relay.client_certificate: the pod is not known to have /etc/adit/client/tls.crt: set relay.clientCertificate.secretName, or mount",
        ),
        // One of both would be lost.
        (
            json!({ "relay": { "ca": PEM }, "config": { "relay": { "ca_file": "/etc/ssl/own.pem" } } }),
            "relay.ca, config.relay.ca_file: both say whom to believe",
        ),
        (
            json!({
                "relay": { "clientCertificate": { "secretName": "certificate" } },
                "config": { "relay": { "client_certificate": "/etc/ssl/a.pem", "client_key": "/etc/ssl/a.key" } },
            }),
            "relay.clientCertificate.secretName, config.relay.client_certificate: both say what",
        ),
        (
            json!({
                "token": { "key": "agent.token" },
                "config": { "relay": { "token_file": "/etc/adit/token/agent.token" } },
            }),
            "config.relay.token_file: the pod is not known to have /etc/adit/token/agent.token: mount",
        ),
        (
            json!({ "nameOverride": "a_b" }),
            "at '/nameOverride': value must be 'a name of at most 63 lower-case letters, ",
        ),
        (
            json!({ "fullnameOverride": "Adit" }),
            "at '/fullnameOverride': value must be 'a name of at most 55 lower-case letters, ",
        ),
        (
            json!({ "fullnameOverride": "o".repeat(56) }),
            "at '/fullnameOverride': value must be 'a name of at most 55 lower-case letters, ",
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

/// Those that the agent's values bring, and whatever else is in the Secret of its token, if all of that is mounted.
#[test]
fn files_of_the_agents_pod_may_be_named() {
    let Some(chart) = Chart::agent("files_of_the_agents_pod_may_be_named") else {
        return;
    };
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    let collector = |ca: &str, token: &str| {
        let endpoint = "https://collector.example.com";
        json!({ "config": { "traces": { "endpoint": endpoint, "ca_file": ca, "token_file": token } } })
    };
    let shown = json!({
        "relay": { "ca": PEM, "clientCertificate": { "secretName": "certificate" } },
    });
    for values in [
        collector(&format!("{account}/ca.crt"), &format!("{account}/token")),
        over(
            &shown,
            &collector("/etc/adit/config/ca.pem", "/etc/adit/token/collector"),
        ),
        over(
            &shown,
            &collector("/etc/adit/client/ca.crt", "/etc/adit/token/token"),
        ),
    ] {
        chart.rendered(&values);
    }
    let said = chart.refusal_of(&over(
        &shown,
        &collector("/etc/adit/client/ca.pem", "/etc/ssl/a"),
    ));
    assert!(
        said.contains(
            "config.traces.ca_file: the pod is not known to have /etc/adit/client/ca.pem"
        ),
        "{said}"
    );
}
