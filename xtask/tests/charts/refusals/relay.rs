//! What is said of the relay's.

use serde_json::{Value, json};

use super::{needs_its_sections, refuses};
use crate::chart::{Chart, over};

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
