//! What is said of values that would not work: the key, and what is wrong with it, before anything is installed.

use serde_json::{Value, json};

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
            "at '/config/listen/address': value must be 'left out: it is 0.0.0.0:8150 in the pod, and the port that others dial is the value service.port'",
        ),
        (
            of_config(json!({ "listen": { "certificate": "a" } })),
            "at '/config/listen/certificate': value must be 'left out: the certificate and its key are in the Secret of the value tls.secretName'",
        ),
        (
            of_config(json!({ "admin": { "address": "a" } })),
            "at '/config/admin/address': value must be 'left out: ",
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
            of_config(json!({ "agents": [{ "id": 7, "name": "Demo" }] })),
            "at '/config/agents/0/name': value must be 'lower-case letters, digits and dashes, such as demo'",
        ),
        (
            of_config(json!({ "authorities": { "oidc": { "issuers": [{ "url": "gitlab" }] } } })),
            "at '/config/authorities/oidc/issuers/0/url': value must be 'a URL, such as https://gitlab.example.com'",
        ),
        (
            of_config(json!({ "tunnel": { "client_ca_file": "/x" } })),
            "config.tunnel.client_ca_file: the pod is not known to have /x: mount the Secret or ConfigMap",
        ),
        (
            of_config(json!({ "tunnel": { "client_ca_file": "/etc/adit/client-ca/ca.crt" } })),
            "config.tunnel.client_ca_file: the pod is not known to have /etc/adit/client-ca/ca.crt: set clientCa.configMapName, or mount",
        ),
        (
            json!({
                "clientCa": { "configMapName": "cas", "key": "bundle.pem" },
                "config": { "admin": { "token_file": "/etc/adit/client-ca/bundle.pem" } },
            }),
            "config.admin.token_file: the pod is not known to have /etc/adit/client-ca/bundle.pem: mount",
        ),
        (
            of_config(json!({ "admin": { "token_file": "/x/token" } })),
            "config.admin.token_file: the pod is not known to have /x/token: ",
        ),
        (
            of_config(json!({ "listen": { "tls_ended_before": true } })),
            "at '/config/listen/tls_ended_before': value must be 'left out, unless proxy_protocol_from or forwarded_for_from has the addresses of what ends TLS'",
        ),
        (
            of_config(json!({ "gitlab_api": {} })),
            "at '/config/gitlab_api': value must be 'left out, unless authorities.gitlab says which GitLab calls'",
        ),
        (
            json!({
                "clientCa": { "configMapName": "cas" },
                "config": { "listen": { "tls_ended_before": true, "proxy_protocol_from": ["10.0.7.9"] } },
            }),
            "clientCa.configMapName: where TLS ends before the relay",
        ),
        (
            json!({
                "clientCa": { "configMapName": "cas" },
                "config": { "tunnel": { "client_ca_file": "/etc/ssl/own.pem" } },
            }),
            "clientCa.configMapName, config.tunnel.client_ca_file: both say who issues",
        ),
        (
            of_config(json!({ "audit": { "to": "file", "file": "/var/log/adit/audit.log" } })),
            "config.audit.file: the pod cannot write to /var/log/adit/: mount a volume there",
        ),
        (
            json!({ "replicas": 2 }),
            "replicas: 2 relays would not know of each other's agents",
        ),
        (
            json!({ "preStopSeconds": 30 }),
            "preStopSeconds: 30 is too long: in a rollout the new pod is asked meanwhile, and waits for its agents no longer than config.route.wait, 10s",
        ),
        (
            json!({ "podMonitor": { "enabled": true }, "serviceMonitor": { "enabled": true } }),
            "podMonitor.enabled, serviceMonitor.enabled: each pod would be scraped twice",
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
        (
            json!({ "service": { "type": "ClusterIP", "nodePort": 30443 } }),
            "service.nodePort: a ClusterIP has none",
        ),
        (
            json!({ "service": { "type": "NodePort", "loadBalancerClass": "example.com/own" } }),
            "service.loadBalancerClass, service.loadBalancerSourceRanges: service.type is NodePort",
        ),
        (
            json!({ "networkPolicy": { "publicFrom": [{ "cidr": "10.0.0.0/8" }] } }),
            "at '/networkPolicy/publicFrom/0': additional properties 'cidr' not allowed",
        ),
        (
            json!({ "networkPolicy": { "extraEgress": [{ "port": 8075 }] } }),
            "at '/networkPolicy/extraEgress/0': additional properties 'port' not allowed",
        ),
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

/// It would lie in a ConfigMap and in helm's history, where the relay would refuse it later.
#[test]
fn a_token_in_the_place_of_its_hash_is_refused_and_not_shown() {
    let name = "a_token_in_the_place_of_its_hash_is_refused_and_not_shown";
    let Some(chart) = Chart::relay(name) else {
        return;
    };
    let hash = format!("sha256:{}", "0".repeat(64));
    for tokens in [json!(["s3cret"]), json!([hash, "s3cret"]), json!("s3cret")] {
        let agents = json!([{ "id": 7, "name": "demo", "tokens": tokens }]);
        let said = chart.refusal_of(&json!({ "config": { "agents": agents } }));
        assert!(said.contains("at '/config/agents/0/tokens"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    let said = chart.refusal_of(
        &json!({ "config": { "agents": [{ "id": 7, "name": "demo", "tokens": ["s3cret"] }] } }),
    );
    let instead = "value must be 'the hash of a token, sha256:<64 hexadecimal digits>, as `adit token new` prints it, and never the token'";
    assert!(said.contains(instead), "{said}");
}

/// What is mounted may be named, and what the image has of certificates. That a pod has labels says nothing of files.
#[test]
fn files_that_are_there_are_not_asked_for() {
    let name = "files_that_are_there_are_not_asked_for";
    let Some(chart) = Chart::relay(name) else {
        return;
    };
    let config = |file: &str| json!({ "config": { "admin": { "token_file": file } } });
    let mount = |path: &str| json!({ "extraVolumeMounts": [{ "name": "a", "mountPath": path }] });
    for (file, beside) in [
        ("/etc/adit/secrets/token", mount("/etc/adit/secrets/")),
        ("/etc/adit/token", mount("/etc/adit/token")),
        ("/etc/adit/tls/ca.crt", json!({})),
        ("/etc/ssl/token", json!({})),
    ] {
        chart.rendered(&over(&config(file), &beside));
    }
    // A Secret of this type may have more than its three: that is not known, and so it is said.
    for file in ["/etc/adit/tls/token", "/etc/adit/config/token"] {
        let said = chart.refusal_of(&config(file));
        let instead = format!(
            "the pod is not known to have {file}: mount the Secret or ConfigMap that has it"
        );
        assert!(said.contains(&instead), "{said}");
    }
    let marked = json!({ "podAnnotations": { "a": "b" }, "podLabels": { "a": "b" } });
    let said = chart.refusal_of(&over(&config("/vault/secrets/token"), &marked));
    assert!(said.contains("or set checkFiles to false"), "{said}");
    let audit = json!({ "config": { "audit": { "to": "file", "file": "/log/adit/audit" } } });
    chart.rendered(&over(&audit, &mount("/log")));
    let said = chart.refusal_of(&over(
        &config("/etc/adit/secretstoken"),
        &mount("/etc/adit/secrets"),
    ));
    assert!(
        said.contains("the pod is not known to have /etc/adit/secretstoken"),
        "{said}"
    );
    let read_only =
        json!({ "extraVolumeMounts": [{ "name": "a", "mountPath": "/log", "readOnly": true }] });
    let said = chart.refusal_of(&over(&audit, &read_only));
    assert!(
        said.contains("config.audit.file: the pod cannot write"),
        "{said}"
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
