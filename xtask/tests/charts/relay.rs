//! What comes of the relay's values.

use serde_json::json;

use crate::both;
use crate::chart::over;
use crate::effects::{Effect, value};

pub(super) fn effects() -> Vec<Effect> {
    let mut all = both::effects("adit-relay");
    for own in [
        of_configuration(),
        of_certificates(),
        of_services(),
        of_endings(),
        of_networks(),
        of_what_it_dials(),
        of_monitoring(),
    ] {
        all.extend(own);
    }
    all
}

fn of_configuration() -> Vec<Effect> {
    let told = |key: &'static str, to: serde_json::Value| {
        let below = key.trim_start_matches("config.").replace('.', "/");
        value(key, to).stands_at(CONFIG, &format!("/data/relay.yaml/{below}"))
    };
    vec![
        told("config.shards", json!(3)),
        value("config.authorities", json!({ "gitlab": { "url": "https://gitlab.example.com" } }))
            .gives(CONFIG, "/data/relay.yaml/authorities/gitlab/url", "https://gitlab.example.com"),
        told("config.agents", json!([{ "id": 7, "name": "demo", "project": "group/app" }])),
        told("config.limits.connections", json!(100)),
        told("config.limits.connections_per_address", json!(50)),
        told("config.tunnel.max_buffered", json!("64MiB")),
        told("config.tunnel.max_buffered_in_all", json!("128MiB")),
        told("config.tunnel.max_queued", json!("8MiB")),
        told("config.route.wait", json!("20s")),
        told("config.drain.grace", json!("4m"))
            .leaves(CONFIG, "/data/relay.yaml/listen", json!({
                "address": "0.0.0.0:8150", "certificate": "/etc/adit/tls/tls.crt", "key": "/etc/adit/tls/tls.key",
            }))
            .leaves(CONFIG, "/data/relay.yaml/admin/address", "0.0.0.0:8151"),
        value("config.gitlab_api", json!({}))
            .beside(gitlab())
            .gives(CONFIG, "/data/relay.yaml/gitlab_api", json!({
                "address": "0.0.0.0:8153", "certificate": "/etc/adit/tls/tls.crt", "key": "/etc/adit/tls/tls.key",
            }))
            .makes("Service adit-relay-gitlab")
            .adds(DEPLOYMENT, "/spec/template/spec/containers/0/ports", json!({
                "name": "gitlab-api", "containerPort": 8153,
            }))
            .adds(POLICY, "/spec/ingress", json!({ "ports": [{ "port": 8153, "protocol": "TCP" }] })),
    ]
}

/// A GitLab, with the secret that it and the relay share.
fn gitlab() -> serde_json::Value {
    let gitlab = json!({ "url": "https://gitlab.example.com", "api_secret_file": "/etc/adit/secrets/gitlab" });
    json!({
        "config": { "authorities": { "gitlab": gitlab } },
        "extraVolumeMounts": [{ "name": "secrets", "mountPath": "/etc/adit/secrets" }],
    })
}

/// That has a port to call.
pub(super) fn called_by_gitlab() -> serde_json::Value {
    over(&gitlab(), &json!({ "config": { "gitlab_api": {} } }))
}

fn of_certificates() -> Vec<Effect> {
    let admin = json!({ "certificate": "/etc/adit/tls/tls.crt", "key": "/etc/adit/tls/tls.key" });
    let probe = |name: &str| format!("/spec/template/spec/containers/0/{name}/httpGet/scheme");
    vec![
        value("tls.secretName", "certificate").adds(DEPLOYMENT, VOLUMES, json!({
            "name": "tls", "secret": { "secretName": "certificate", "defaultMode": 0o440 },
        })),
        value("checkFiles", false)
            .lets_pass(json!({ "config": { "admin": { "token_file": "/own/token" } } }), "the pod is not known to have /own/token")
            .gives(CONFIG, "/data/relay.yaml/admin/token_file", "/own/token"),
        value("clientCa.configMapName", "cas")
            .alone()
            .gives(CONFIG, "/data/relay.yaml/tunnel/client_ca_file", "/etc/adit/client-ca/ca.crt")
            .adds(DEPLOYMENT, VOLUMES, client_ca("ca.crt"))
            .adds(DEPLOYMENT, MOUNTS, json!({
                "name": "client-ca", "mountPath": "/etc/adit/client-ca", "readOnly": true,
            })),
        value("clientCa.key", "bundle.pem")
            .beside(json!({ "clientCa": { "configMapName": "cas" } }))
            .adds(DEPLOYMENT, VOLUMES, client_ca("bundle.pem")),
        value("config.listen", json!({ "tls_ended_before": true, "forwarded_for_from": ["10.0.0.0/8"] }))
            .alone()
            .gives(CONFIG, "/data/relay.yaml/listen", json!({
                "address": "0.0.0.0:8150", "tls_ended_before": true, "forwarded_for_from": ["10.0.0.0/8"],
            }))
            .gives(DEPLOYMENT, "/spec/template/spec/volumes/1", json!(null))
            .gives(DEPLOYMENT, "/spec/template/spec/containers/0/volumeMounts/1", json!(null))
            .gives(SERVICE, "/spec/ports/0/appProtocol", "http"),
        value("config.admin", admin.clone())
            .beside(json!({ "podMonitor": { "enabled": true } }))
            .gives(DEPLOYMENT, &probe("livenessProbe"), "HTTPS")
            .gives(DEPLOYMENT, &probe("readinessProbe"), "HTTPS")
            .gives("PodMonitor adit-relay", "/spec/podMetricsEndpoints/0/scheme", "https"),
        value("config.admin", admin.clone())
            .beside(json!({ "serviceMonitor": { "enabled": true } }))
            .gives("ServiceMonitor adit-relay", "/spec/endpoints/0/scheme", "https"),
        value("scrapeTlsConfig", json!({ "serverName": "relay.example.com" }))
            .beside(json!({ "config": { "admin": admin }, "podMonitor": { "enabled": true } }))
            .stands_at("PodMonitor adit-relay", "/spec/podMetricsEndpoints/0/tlsConfig"),
        value("scrapeTlsConfig", json!({ "serverName": "relay.example.com" }))
            .beside(json!({ "config": { "admin": admin }, "serviceMonitor": { "enabled": true } }))
            .stands_at("ServiceMonitor adit-relay", "/spec/endpoints/0/tlsConfig"),
    ]
}

fn client_ca(key: &str) -> serde_json::Value {
    json!({
        "name": "client-ca",
        "configMap": { "name": "cas", "defaultMode": 0o440, "items": [{ "key": key, "path": "ca.crt" }] },
    })
}

fn of_services() -> Vec<Effect> {
    let of_gitlab = "Service adit-relay-gitlab";
    vec![
        value("service.type", "NodePort")
            .alone()
            .stands_at(SERVICE, "/spec/type"),
        value("service.type", "ClusterIP")
            .alone()
            .stands_at(SERVICE, "/spec/type")
            .takes_away(SERVICE, "/spec/externalTrafficPolicy"),
        value("service.port", 8443)
            .stands_at(SERVICE, "/spec/ports/0/port")
            .leaves(SERVICE, "/spec/ports/0/targetPort", "public")
            .leaves(SERVICE, "/spec/ports/0/appProtocol", "https"),
        value("service.externalTrafficPolicy", "Cluster")
            .stands_at(SERVICE, "/spec/externalTrafficPolicy"),
        value(
            "service.annotations",
            json!({ "example.com/balancer": "a" }),
        )
        .stands_at(SERVICE, "/metadata/annotations"),
        value("service.labels", json!({ "example.com/public": "a" })).gives(
            SERVICE,
            "/metadata/labels/example.com~1public",
            "a",
        ),
        value("service.nodePort", 30443).stands_at(SERVICE, "/spec/ports/0/nodePort"),
        value("service.loadBalancerClass", "example.com/own")
            .stands_at(SERVICE, "/spec/loadBalancerClass"),
        value("service.loadBalancerSourceRanges", json!(["192.0.2.0/24"]))
            .stands_at(SERVICE, "/spec/loadBalancerSourceRanges"),
        value("gitlabService.port", 8154)
            .beside(called_by_gitlab())
            .stands_at(of_gitlab, "/spec/ports/0/port"),
        value("gitlabService.annotations", json!({ "example.com/a": "b" }))
            .beside(called_by_gitlab())
            .stands_at(of_gitlab, "/metadata/annotations"),
        value("gitlabService.labels", json!({ "example.com/gitlab": "a" }))
            .beside(called_by_gitlab())
            .gives(of_gitlab, "/metadata/labels/example.com~1gitlab", "a")
            .leaves(of_gitlab, "/spec/type", "ClusterIP"),
    ]
}

fn of_endings() -> Vec<Effect> {
    let grace = "/spec/template/spec/terminationGracePeriodSeconds";
    let sleeps = "/spec/template/spec/containers/0/lifecycle/preStop/sleep/seconds";
    vec![
        value("terminationGracePeriodSeconds", 700).stands_at(DEPLOYMENT, grace),
        value("config.drain.grace", "20m")
            .alone()
            .gives(DEPLOYMENT, grace, 1220),
        value("preStopSeconds", 3).stands_at(DEPLOYMENT, sleeps),
        value("preStopSeconds", 0)
            .alone()
            .takes_away(DEPLOYMENT, "/spec/template/spec/containers/0/lifecycle")
            .gives(DEPLOYMENT, grace, 315),
        value("preStopSeconds", 0)
            .lets_pass(
                json!({ "config": { "route": { "wait": "0s" } } }),
                "preStopSeconds: 5 is too long",
            )
            .gives(CONFIG, "/data/relay.yaml/route/wait", "0s"),
        // There is no new pod that could be asked meanwhile.
        value(
            "strategy",
            json!({ "type": "Recreate", "rollingUpdate": null }),
        )
        .lets_pass(
            json!({ "preStopSeconds": 10 }),
            "preStopSeconds: 10 is too long",
        )
        .gives(DEPLOYMENT, "/spec/strategy", json!({ "type": "Recreate" }))
        .gives(DEPLOYMENT, sleeps, 10),
    ]
}

fn of_networks() -> Vec<Effect> {
    let from = |name: &str| json!([{ "namespaceSelector": { "matchLabels": { "name": name } } }]);
    vec![
        value(
            "networkPolicy.publicFrom",
            json!([{ "ipBlock": { "cidr": "192.0.2.0/24" } }]),
        )
        .stands_at(POLICY, "/spec/ingress/0/from")
        .leaves(
            POLICY,
            "/spec/ingress/0/ports",
            json!([{ "port": 8150, "protocol": "TCP" }]),
        ),
        value("networkPolicy.scrapeFrom", from("monitoring"))
            .stands_at(POLICY, "/spec/ingress/1/from")
            .leaves(
                POLICY,
                "/spec/ingress/1/ports",
                json!([{ "port": 8151, "protocol": "TCP" }]),
            )
            .leaves(POLICY, "/spec/policyTypes", json!(["Ingress", "Egress"])),
        value("networkPolicy.gitlabFrom", from("gitlab"))
            .beside(called_by_gitlab())
            .stands_at(POLICY, "/spec/ingress/2/from"),
        value("networkPolicy.issuerPorts", json!([8443]))
            .gives(POLICY, DIALLED, tcp(&[8443, 443]))
            .leaves(
                POLICY,
                "/spec/egress/0/ports",
                json!([
                    { "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" },
                ]),
            ),
    ]
}

/// The ports of what the configuration names are open.
fn of_what_it_dials() -> Vec<Effect> {
    let issuer = |more: serde_json::Value| {
        let issuer = json!({ "url": "https://gitlab.example.com", "audiences": ["adit"] });
        json!([over(&issuer, &more)])
    };
    let issuers = "config.authorities.oidc.issuers";
    let collector = json!({ "endpoint": "https://collector.example.com" });
    vec![
        value(
            issuers,
            issuer(json!({ "url": "https://gitlab.example.com:8443/sub" })),
        )
        .alone()
        .gives(POLICY, DIALLED, tcp(&[443, 8443])),
        value(
            issuers,
            issuer(json!({ "jwks_url": "https://[2001:db8::1]:9443/keys" })),
        )
        .alone()
        .gives(POLICY, DIALLED, tcp(&[443, 9443])),
        value(
            issuers,
            issuer(
                json!({ "url": "https://gitlab.example.com:8443", "jwks_file": "/keys/keys.json" }),
            ),
        )
        .beside(json!({ "extraVolumeMounts": [{ "name": "keys", "mountPath": "/keys" }] }))
        .leaves(POLICY, DIALLED, tcp(&[443])),
        // Without a port in it an entry would let it dial all.
        value("networkPolicy.issuerPorts", json!([]))
            .beside(json!({
                "config": { "authorities": { "oidc": { "issuers": issuer(json!({ "jwks_file": "/keys/keys.json" })) } } },
                "extraVolumeMounts": [{ "name": "keys", "mountPath": "/keys" }],
            }))
            .takes_away(POLICY, "/spec/egress/1"),
        value(
            "config.authorities.gitlab",
            json!({ "url": "https://gitlab.example.com:8444" }),
        )
        .alone()
        .gives(POLICY, DIALLED, tcp(&[443, 8444])),
        value("config.traces", collector.clone())
            .alone()
            .gives(POLICY, DIALLED, tcp(&[443, 4317])),
        value("config.audit", json!({ "to": "otlp", "otlp": collector }))
            .alone()
            .gives(POLICY, DIALLED, tcp(&[443, 4317])),
    ]
}

fn tcp(ports: &[u16]) -> serde_json::Value {
    let ports = ports.iter();
    ports
        .map(|port| json!({ "port": port, "protocol": "TCP" }))
        .collect()
}

fn of_monitoring() -> Vec<Effect> {
    let shown = || json!({ "dashboards": { "enabled": true } });
    let fleet = "ConfigMap adit-relay-dashboard-fleet";
    vec![
        value("dashboards.enabled", true)
            .alone()
            .makes(fleet)
            .makes("ConfigMap adit-relay-dashboard-relay")
            .gives(fleet, "/metadata/labels/grafana_dashboard", "1"),
        value("dashboards.labels", json!({ "grafana_dashboard": "2" }))
            .beside(shown())
            .gives(fleet, "/metadata/labels/grafana_dashboard", "2"),
        value(
            "dashboards.annotations",
            json!({ "grafana_folder": "adit" }),
        )
        .beside(shown())
        .stands_at(fleet, "/metadata/annotations"),
    ]
}

const CONFIG: &str = "ConfigMap adit-relay";
const DEPLOYMENT: &str = "Deployment adit-relay";
const POLICY: &str = "NetworkPolicy adit-relay";
const SERVICE: &str = "Service adit-relay";
const DIALLED: &str = "/spec/egress/1/ports";
const VOLUMES: &str = "/spec/template/spec/volumes";
const MOUNTS: &str = "/spec/template/spec/containers/0/volumeMounts";
