//! What comes of the agent's values.

use serde_json::json;

use crate::both;
use crate::chart::{HOME, PEM};
use crate::effects::{Effect, value};

pub(super) fn effects() -> Vec<Effect> {
    let mut all = both::effects("adit-agent");
    for own in [
        of_the_relay(),
        of_the_ceiling(),
        of_flux(),
        of_rights(),
        of_roles(),
        of_networks(),
    ] {
        all.extend(own);
    }
    all
}

fn of_the_relay() -> Vec<Effect> {
    vec![
        value("relay.url", "https://relay.example.com:8443")
            .stands_at(CONFIG, "/data/agent.yaml/relay/url")
            .adds(POLICY, "/spec/egress/1/ports", json!({ "port": 8443, "protocol": "TCP" })),
        value("relay.ca", PEM)
            .stands_at(CONFIG, "/data/ca.pem")
            .gives(CONFIG, "/data/agent.yaml/relay/ca_file", "/etc/adit/config/ca.pem"),
        value("relay.clientCertificate.secretName", "certificate")
            .adds(DEPLOYMENT, VOLUMES, json!({
                "name": "client", "secret": { "secretName": "certificate", "defaultMode": 0o440 },
            }))
            .adds(DEPLOYMENT, MOUNTS, json!({
                "name": "client", "mountPath": "/etc/adit/client", "readOnly": true,
            }))
            .gives(CONFIG, "/data/agent.yaml/relay/client_certificate", "/etc/adit/client/tls.crt")
            .gives(CONFIG, "/data/agent.yaml/relay/client_key", "/etc/adit/client/tls.key"),
        value("checkFiles", false)
            .lets_pass(json!({ "config": { "relay": { "ca_file": "/own/ca.pem" } } }), "the pod is not known to have /own/ca.pem")
            .gives(CONFIG, "/data/agent.yaml/relay/ca_file", "/own/ca.pem"),
        value("token.secretName", "own")
            .alone()
            .adds(DEPLOYMENT, VOLUMES, json!({
                "name": "token", "secret": { "secretName": "own", "defaultMode": 0o440 },
            }))
            .leaves(CONFIG, "/data/agent.yaml/relay/token_file", "/etc/adit/token/token"),
        value("token.key", "agent.token").alone().adds(DEPLOYMENT, VOLUMES, json!({
            "name": "token",
            "secret": {
                "secretName": "adit-agent-token", "defaultMode": 0o440,
                "items": [{ "key": "agent.token", "path": "token" }],
            },
        })),
        value("config", json!({ "drain_grace": "20s", "limits": { "max_buffered_bytes": 33_554_432 } }))
            .gives(CONFIG, "/data/agent.yaml/drain_grace", "20s")
            .gives(CONFIG, "/data/agent.yaml/limits/max_buffered_bytes", 33_554_432)
            .leaves(CONFIG, "/data/agent.yaml/limits/max_streams", 2000)
            .leaves(CONFIG, "/data/agent.yaml/kubernetes", json!({ "max_connections": 64, "max_upgrades": 250 }))
            .leaves(CONFIG, "/data/agent.yaml/admin/address", "0.0.0.0:8152"),
        value("config.drain_grace", "1500ms")
            .alone()
            .gives(DEPLOYMENT, GRACE, 7),
        value("terminationGracePeriodSeconds", 45)
            .stands_at(DEPLOYMENT, GRACE)
            // What it is for the API server by itself ends soon, and another comes.
            .leaves(DEPLOYMENT, "/spec/template/spec/automountServiceAccountToken", false)
            .leaves(DEPLOYMENT, "/spec/template/spec/volumes/2/projected/sources/0", json!({
                "serviceAccountToken": { "path": "token", "expirationSeconds": 3600 },
            })),
    ]
}

fn of_the_ceiling() -> Vec<Effect> {
    let derived = json!({ "rbac": { "namespaces": ["shop"], "everywhere": [] } });
    let plain = json!({ "rbac": { "namespaces": ["shop"], "groups": ["gitlab:ci_job"] } });
    let mut is_plain = plain.clone();
    is_plain["rbac"]["impersonation"] = "plain".into();
    vec![
        value("ceiling.agent", true).stands_at(CONFIG, "/data/agent.yaml/ceiling/agent"),
        value("ceiling.users", json!(["gitlab:ci_job:*"])).stands_at(CONFIG, "/data/agent.yaml/ceiling/users"),
        value("ceiling.groups", json!(["gitlab:ci_job"])).stands_at(CONFIG, "/data/agent.yaml/ceiling/groups"),
        value("ceiling.namespaces", json!(["review-*"])).stands_at(CONFIG, "/data/agent.yaml/ceiling/namespaces"),
        value("ceiling.clusterScope", false).stands_at(CONFIG, "/data/agent.yaml/ceiling/cluster_scope"),
        value("ceiling.verbs", json!(["get"])).stands_at(CONFIG, "/data/agent.yaml/ceiling/verbs"),
        value("ceiling.subresources", json!([])).stands_at(CONFIG, "/data/agent.yaml/ceiling/subresources"),
        // What its roles say, unless its own values do.
        value("rbac.inNamespace", json!([
            { "apiGroups": [""], "resources": ["pods/exec", "pods/log", "secrets"], "verbs": ["get", "create"] },
        ]))
            .beside(derived.clone())
            .gives(CONFIG, "/data/agent.yaml/ceiling/verbs", json!(["get", "create"]))
            .gives(CONFIG, "/data/agent.yaml/ceiling/subresources", json!(["exec", "log"]))
            .leaves(CONFIG, "/data/agent.yaml/ceiling/namespaces", json!(["shop"])),
        value("ceiling.namespaces", json!(["other"]))
            .beside(derived)
            .stands_at(CONFIG, "/data/agent.yaml/ceiling/namespaces"),
        value("rbac.namespaces", json!(["shop", "review"]))
            .beside(json!({ "rbac": { "everywhere": [] } }))
            .stands_at(CONFIG, "/data/agent.yaml/ceiling/namespaces"),
        value("rbac.impersonation", "plain")
            .beside(plain)
            .gives(CONFIG, "/data/agent.yaml/ceiling/namespaces", json!(["shop"]))
            .leaves(CONFIG, "/data/agent.yaml/ceiling/verbs", json!(null))
            .leaves(CONFIG, "/data/agent.yaml/ceiling/subresources", json!(null)),
        // There is no role for it then, and the ceiling alone says it.
        value("rbac.inNamespace", json!([{ "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] }]))
            .beside(is_plain)
            .gives(CONFIG, "/data/agent.yaml/ceiling/verbs", json!(["get"]))
            .gives(CONFIG, "/data/agent.yaml/ceiling/subresources", json!(["log"]))
            .leaves(CONFIG, "/data/agent.yaml/ceiling/namespaces", json!(["shop"])),
    ]
}

fn of_flux() -> Vec<Effect> {
    let gitlab = json!({ "flux": { "gitlabUrl": "https://gitlab.example.com" } });
    vec![
        value("flux.gitlabUrl", "https://gitlab.example.com")
            .alone()
            .stands_at(CONFIG, "/data/agent.yaml/flux/gitlab_url")
            .gives(CONFIG, "/data/agent.yaml/flux/lease_name", "adit-agent-flux")
            .gives(CONFIG, "/data/agent.yaml/flux/lease_namespace", "home")
            .makes("Role adit-agent-flux")
            .makes("RoleBinding adit-agent-flux")
            .makes("ClusterRole adit-agent-flux-receivers")
            .makes("RoleBinding adit-agent-flux-receivers in flux-system")
            .adds(POLICY, "/spec/egress", json!({
                "to": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "flux-system" } } }],
                "ports": [{ "port": 9292, "protocol": "TCP" }],
            })),
        value("flux.namespaces", json!(["sources"]))
            .beside(gitlab.clone())
            .stands_at(CONFIG, "/data/agent.yaml/flux/namespaces")
            .makes("RoleBinding adit-agent-flux-receivers in sources")
            .removes("RoleBinding adit-agent-flux-receivers in flux-system"),
        value("flux.webhookReceiverUrl", "/api/v1/namespaces/other/services/http:webhook-receiver:80/proxy")
            .beside(gitlab.clone())
            .stands_at(CONFIG, "/data/agent.yaml/flux/webhook_receiver_url")
            .gives("Role adit-agent-flux-webhook in other", "/rules", json!([{
                "apiGroups": [""], "resources": ["services/proxy"],
                "resourceNames": ["http:webhook-receiver:80"], "verbs": ["create"],
            }]))
            .makes("RoleBinding adit-agent-flux-webhook in other"),
        receivers_at("http://webhook-receiver.flux.svc.cluster.local:8080", "flux"),
        receivers_at("https://webhook-receiver.flux", "flux"),
        receivers_at("http://webhook-receiver", HOME),
        receivers_at("http://webhook-receiver:8080/", HOME),
        value("flux.webhookReceiverUrl", "http://webhook-receivers.flux")
            .beside(gitlab)
            .stands_at(CONFIG, "/data/agent.yaml/flux/webhook_receiver_url")
            .takes_away(POLICY, "/spec/egress/2"),
    ]
}

/// Flux's own Service, wherever it is.
fn receivers_at(url: &str, namespace: &str) -> Effect {
    value("flux.webhookReceiverUrl", url)
        .beside(json!({ "flux": { "gitlabUrl": "https://gitlab.example.com" } }))
        .stands_at(CONFIG, "/data/agent.yaml/flux/webhook_receiver_url")
        .gives(
            POLICY,
            "/spec/egress/2",
            json!({
                "to": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } } }],
                "ports": [{ "port": 9292, "protocol": "TCP" }],
            }),
        )
}

fn of_rights() -> Vec<Effect> {
    let everything = json!({
        "rbac": { "namespaces": ["shop"] }, "flux": { "gitlabUrl": "https://gitlab.example.com" },
    });
    let groups = json!({ "rbac": { "groups": ["gitlab:ci_job"], "users": ["deployer"] } });
    vec![
        value("rbac.create", false)
            .beside(everything)
            .removes("ClusterRole *")
            .removes("ClusterRoleBinding *")
            .removes("Role *")
            .removes("RoleBinding *")
            .leaves(DEPLOYMENT, "/metadata/name", "adit-agent"),
        value("rbac.impersonation", "plain")
            .beside(groups)
            .gives("ClusterRole adit-agent-impersonator", "/rules/0", json!({
                "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["deployer"],
            }))
            .gives("ClusterRole adit-agent-impersonator", "/rules/1", json!({
                "apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"],
                "resourceNames": ["gitlab:ci_job"],
            }))
            .gives("ClusterRole adit-agent-impersonator", "/rules/2/verbs", json!(["impersonate"]))
            .makes("ClusterRoleBinding adit-agent-impersonator")
            .removes(IDENTITIES)
            .removes("ClusterRole adit-agent-discovery")
            .removes("ClusterRole adit-agent-everywhere")
            .removes("ClusterRole adit-agent-in-namespace"),
        value("rbac.users", json!(["deployer"]))
            .stands_at(IDENTITIES, "/rules/0/resourceNames")
            .leaves(IDENTITIES, "/rules/0/resources", json!(["users"]))
            .leaves(IDENTITIES, "/rules/0/verbs", json!(["impersonate:user-info"])),
        value("rbac.groups", json!(["gitlab:ci_job", "gitlab:project:150"]))
            .stands_at(IDENTITIES, "/rules/1/resourceNames")
            .leaves(IDENTITIES, "/rules/1/resources", json!(["groups"]))
            .leaves(IDENTITIES, "/rules/1/verbs", json!(["impersonate:user-info"])),
        value("rbac.extraKeys", json!(["example.com/team"]))
            .adds(IDENTITIES, "/rules/2/resources", "userextras/example.com/team"),
        value("rbac.uids", true)
            .adds(IDENTITIES, "/rules/2/resources", "uids")
            .leaves(IDENTITIES, "/rules/2/verbs", json!(["impersonate:user-info"])),
        value("serviceAccount.name", "dialler")
            .beside(json!({ "rbac": { "namespaces": ["shop"] } }))
            .stands_at("ClusterRoleBinding adit-agent-identities", "/subjects/0/name")
            .stands_at("ClusterRoleBinding adit-agent-discovery", "/subjects/0/name")
            .stands_at("RoleBinding adit-agent in shop", "/subjects/0/name"),
    ]
}

fn of_roles() -> Vec<Effect> {
    let of_resources = json!({
        "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"], "verbs": ["get", "patch"],
    });
    let of_paths = json!({ "nonResourceURLs": ["/metrics"], "verbs": ["get"] });
    let held_of_resources = json!({
        "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"],
        "verbs": ["impersonate-on:user-info:get", "impersonate-on:user-info:patch"],
    });
    let held_of_paths =
        json!({ "nonResourceURLs": ["/metrics"], "verbs": ["impersonate-on:user-info:get"] });
    vec![
        value("rbac.namespaces", json!(["shop", "review"]))
            .makes("RoleBinding adit-agent in review")
            .gives(
                "RoleBinding adit-agent in shop",
                "/roleRef",
                json!({
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                    "name": "adit-agent-in-namespace",
                }),
            )
            .gives(
                "RoleBinding adit-agent in shop",
                "/subjects",
                json!([{
                    "kind": "ServiceAccount", "name": "adit-agent", "namespace": "home",
                }]),
            ),
        value("rbac.inNamespace", json!([of_resources])).gives(
            "ClusterRole adit-agent-in-namespace",
            "/rules",
            json!([held_of_resources]),
        ),
        // A namespace is in itself; and others have nodes that are in one.
        value("rbac.inNamespace", json!([
            { "apiGroups": ["", "longhorn.io"], "resources": ["namespaces", "nodes"], "verbs": ["get"] },
        ]))
            .beside(json!({ "rbac": { "namespaces": ["shop"] } }))
            .gives("ClusterRole adit-agent-in-namespace", "/rules/0/resources", json!(["namespaces", "nodes"])),
        value("rbac.everywhere", json!([of_resources, of_paths]))
            .gives("ClusterRole adit-agent-everywhere", "/rules", json!([held_of_resources, held_of_paths]))
            .leaves(
                "ClusterRoleBinding adit-agent-everywhere",
                "/subjects/0/name",
                "adit-agent",
            ),
        value("rbac.everywhere", json!([]))
            .alone()
            .removes("ClusterRole adit-agent-everywhere")
            .removes("ClusterRoleBinding adit-agent-everywhere")
            .leaves(
                "ClusterRole adit-agent-discovery",
                "/rules/0/verbs",
                json!(["impersonate-on:user-info:get"]),
            ),
    ]
}

fn of_networks() -> Vec<Effect> {
    let monitoring = json!([{ "namespaceSelector": { "matchLabels": { "name": "monitoring" } } }]);
    vec![
        value("networkPolicy.scrapeFrom", monitoring)
            .stands_at(POLICY, "/spec/ingress/0/from")
            .leaves(
                POLICY,
                "/spec/ingress/0/ports",
                json!([{ "port": 8152, "protocol": "TCP" }]),
            )
            .leaves(POLICY, "/spec/policyTypes", json!(["Ingress", "Egress"])),
        value(
            "config.relay.proxy",
            "http://user:password@proxy.example.com:3128",
        )
        .alone()
        .gives(POLICY, "/spec/egress/1/ports/2/port", 3128),
        value("config.relay.proxy", "proxy.example.com:3128")
            .alone()
            .gives(POLICY, "/spec/egress/1/ports/2/port", 3128),
        value("config.relay.proxy", "proxy.example.com")
            .alone()
            .gives(POLICY, "/spec/egress/1/ports/2/port", 80),
        value("config.relay.proxy", "none").alone().leaves(
            POLICY,
            "/spec/egress/1/ports/2",
            json!(null),
        ),
        value("config.traces.endpoint", "https://collector.example.com")
            .alone()
            .gives(POLICY, "/spec/egress/1/ports/2/port", 4317),
        value("networkPolicy.apiServerPorts", json!([16443]))
            .alone()
            // Beside the relay's.
            .gives(
                POLICY,
                "/spec/egress/1/ports",
                json!([
                    { "port": 16443, "protocol": "TCP" }, { "port": 443, "protocol": "TCP" },
                ]),
            )
            .leaves(
                POLICY,
                "/spec/egress/0/ports",
                json!([
                    { "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" },
                ]),
            ),
        value("networkPolicy.apiServerPorts", json!([]))
            .alone()
            .leaves(
                POLICY,
                "/spec/podSelector/matchLabels/app.kubernetes.io~1name",
                "adit-agent",
            )
            .gives(
                POLICY,
                "/spec/egress/1/ports",
                json!([{ "port": 443, "protocol": "TCP" }]),
            ),
    ]
}

const GRACE: &str = "/spec/template/spec/terminationGracePeriodSeconds";
const CONFIG: &str = "ConfigMap adit-agent";
const DEPLOYMENT: &str = "Deployment adit-agent";
const IDENTITIES: &str = "ClusterRole adit-agent-identities";
const POLICY: &str = "NetworkPolicy adit-agent";
const VOLUMES: &str = "/spec/template/spec/volumes";
const MOUNTS: &str = "/spec/template/spec/containers/0/volumeMounts";
