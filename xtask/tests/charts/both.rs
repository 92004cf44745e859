//! What comes of the values that both charts have.

use serde_json::json;

use crate::effects::{Effect, value};

/// Of the chart of this name.
pub(super) fn effects(app: &str) -> Vec<Effect> {
    [of_pods(app), of_what_is_beside_them(app), of_names(app)]
        .into_iter()
        .flatten()
        .collect()
}

/// What comes of pods.
fn of_pods(app: &str) -> Vec<Effect> {
    let deployment = &*format!("Deployment {app}");
    let pod = |path: &str| format!("/spec/template/spec{path}");
    let own = |path: &str| format!("/spec/template/spec/containers/0{path}");
    let meta = |path: &str| format!("/spec/template/metadata{path}");
    let limited = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    let beside =
        |name: &str| json!([{ "name": name, "image": "beside:1", "securityContext": limited }]);
    vec![
        value("image.repository", "registry.example.com/adit")
            .gives(deployment, &own("/image"), "registry.example.com/adit:next"),
        value("image.tag", "next")
            .gives(deployment, &own("/image"), "registry.example.com/adit:next"),
        value("image.digest", format!("sha256:{}", "0".repeat(64)))
            .beside(json!({ "image": { "tag": "next" } }))
            .gives(deployment, &own("/image"), format!("adit@sha256:{}", "0".repeat(64))),
        value("image.pullPolicy", "Always").stands_at(deployment, &own("/imagePullPolicy")),
        value("imagePullSecrets", json!([{ "name": "registry" }]))
            .stands_at(deployment, &pod("/imagePullSecrets")),
        // Of a relay there is one, or none.
        value("replicas", 0).alone().stands_at(deployment, "/spec/replicas"),
        value("strategy", json!({ "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 2 } }))
            .stands_at(deployment, "/spec/strategy"),
        // The default's `rollingUpdate` beside it would be refused.
        value("strategy", json!({ "type": "Recreate" })).alone().gives(deployment, "/spec/strategy", json!({ "type": "Recreate" })),
        value("resources", json!({
            "requests": { "cpu": "1", "memory": "1Gi" }, "limits": { "memory": "2Gi" },
        }))
            .stands_at(deployment, &own("/resources")),
        value("livenessProbe", json!({ "timeoutSeconds": 7 }))
            .gives(deployment, &own("/livenessProbe/timeoutSeconds"), 7)
            .leaves(deployment, &own("/livenessProbe/httpGet"), json!({ "path": "/livez", "port": "admin" })),
        value("readinessProbe", json!({ "periodSeconds": 7 }))
            .gives(deployment, &own("/readinessProbe/periodSeconds"), 7)
            .leaves(deployment, &own("/readinessProbe/httpGet"), json!({ "path": "/readyz", "port": "admin" })),
        value("nodeSelector", json!({ "kubernetes.io/os": "linux" })).stands_at(deployment, &pod("/nodeSelector")),
        value("tolerations", json!([{ "key": "dedicated", "operator": "Exists" }]))
            .stands_at(deployment, &pod("/tolerations")),
        value("affinity", json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [] } }))
            .stands_at(deployment, &pod("/affinity")),
        value("topologySpreadConstraints", json!([{
            "maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
        }]))
            .stands_at(deployment, &pod("/topologySpreadConstraints")),
        value("priorityClassName", "system-cluster-critical").stands_at(deployment, &pod("/priorityClassName")),
        value("runtimeClassName", "gvisor").stands_at(deployment, &pod("/runtimeClassName")),
        value("hostAliases", json!([{ "ip": "192.0.2.1", "hostnames": ["a.example.com"] }]))
            .stands_at(deployment, &pod("/hostAliases")),
        value("podSecurityContext", json!({
            "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1001, "fsGroup": 1002,
            "seccompProfile": { "type": "RuntimeDefault" },
        }))
            .stands_at(deployment, &pod("/securityContext")),
        value("securityContext", json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsUser": 1000,
            "capabilities": { "drop": ["ALL"] },
        }))
            .stands_at(deployment, &own("/securityContext")),
        value("commonLabels", json!({ "example.com/team": "platform" }))
            .gives(deployment, "/metadata/labels/example.com~1team", "platform")
            .gives(deployment, &meta("/labels/example.com~1team"), "platform"),
        value("podLabels", json!({ "example.com/pod": "own" }))
            .gives(deployment, &meta("/labels/example.com~1pod"), "own"),
        value("podAnnotations", json!({ "example.com/note": "yes" }))
            .gives(deployment, &meta("/annotations/example.com~1note"), "yes"),
        value("extraArgs", json!(["--log", "debug"]))
            .gives(deployment, &own("/args/3"), "--log")
            .gives(deployment, &own("/args/4"), "debug")
            .leaves(deployment, &own("/args/1"), "--config"),
        value("extraEnv", json!([{ "name": "HTTPS_PROXY", "value": "http://proxy.example.com" }]))
            .adds_to(deployment, &own("/env")),
        value("extraEnvFrom", json!([{ "configMapRef": { "name": "proxy" } }]))
            .stands_at(deployment, &own("/envFrom")),
        value("extraVolumes", json!([{ "name": "scratch", "emptyDir": {} }]))
            .adds_to(deployment, &pod("/volumes"))
            .leaves(deployment, &pod("/volumes/0/name"), "config"),
        value("extraVolumeMounts", json!([{ "name": "scratch", "mountPath": "/scratch" }]))
            .adds_to(deployment, &own("/volumeMounts"))
            .leaves(deployment, &own("/volumeMounts/0/mountPath"), "/etc/adit/config"),
        value("extraContainers", beside("beside")).adds_to(deployment, &pod("/containers")),
        value("initContainers", beside("before")).stands_at(deployment, &pod("/initContainers")),
        value("extraObjects", json!([{
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "{{ .Release.Name }}-extra" }, "data": { "key": "value" },
        }]))
            .makes(&format!("ConfigMap {app}-extra")),
    ]
}

/// What comes of the objects beside a Deployment.
fn of_what_is_beside_them(app: &str) -> Vec<Effect> {
    let budget = &*format!("PodDisruptionBudget {app}");
    let account = &*format!("ServiceAccount {app}");
    let of_pods = &*format!("PodMonitor {app}");
    let of_service = &*format!("ServiceMonitor {app}");
    let by_service = || json!({ "serviceMonitor": { "enabled": true } });
    let used = "/spec/template/spec/serviceAccountName";
    let deployment = &*format!("Deployment {app}");
    vec![
        value("serviceAccount.create", false)
            .alone()
            .removes(account)
            .gives(deployment, used, "default"),
        value("serviceAccount.name", "dialler")
            .alone()
            .makes("ServiceAccount dialler")
            .removes(account)
            .stands_at(deployment, used),
        value(
            "serviceAccount.annotations",
            json!({ "example.com/role": "a" }),
        )
        .stands_at(account, "/metadata/annotations")
        .leaves(account, "/automountServiceAccountToken", false),
        value("podDisruptionBudget.enabled", false)
            .alone()
            .removes(budget),
        value("podDisruptionBudget.maxUnavailable", "50%")
            .stands_at(budget, "/spec/maxUnavailable"),
        value("networkPolicy.enabled", false)
            .alone()
            .removes(&format!("NetworkPolicy {app}")),
        value(
            "networkPolicy.extraEgress",
            json!([{ "ports": [{ "port": 3128, "protocol": "TCP" }] }]),
        )
        .adds_to(&format!("NetworkPolicy {app}"), "/spec/egress"),
        value("podMonitor.enabled", true).makes(of_pods).gives(
            of_pods,
            "/spec/podMetricsEndpoints/0/port",
            "admin",
        ),
        value("podMonitor.interval", "7s")
            .stands_at(of_pods, "/spec/podMetricsEndpoints/0/interval"),
        value("podMonitor.labels", json!({ "example.com/pods": "a" })).gives(
            of_pods,
            "/metadata/labels/example.com~1pods",
            "a",
        ),
        value("serviceMonitor.enabled", true)
            .alone()
            .makes(of_service)
            .makes(&format!("Service {app}-metrics"))
            .gives(of_service, "/spec/endpoints/0/port", "admin"),
        value("serviceMonitor.interval", "8s")
            .beside(by_service())
            .stands_at(of_service, "/spec/endpoints/0/interval"),
        value(
            "serviceMonitor.labels",
            json!({ "example.com/service": "a" }),
        )
        .beside(by_service())
        .gives(of_service, "/metadata/labels/example.com~1service", "a"),
    ]
}

/// What comes of how they are called.
fn of_names(app: &str) -> Vec<Effect> {
    let selector = "/spec/selector/matchLabels/app.kubernetes.io~1name";
    let deployment = &*format!("Deployment {app}");
    vec![
        value("nameOverride", "adit")
            .alone()
            .stands_at(deployment, selector)
            .stands_at(
                deployment,
                "/spec/template/metadata/labels/app.kubernetes.io~1name",
            )
            .stands_at(&format!("PodDisruptionBudget {app}"), selector),
        value("fullnameOverride", "other")
            .alone()
            .makes("Deployment other")
            .makes("ConfigMap other")
            .makes("ServiceAccount other")
            .removes(deployment),
        // With `-metrics` it is a Service's.
        value("fullnameOverride", "o".repeat(55))
            .alone()
            .makes(&format!("Deployment {}", "o".repeat(55)))
            .removes(deployment),
        value("nameOverride", format!("n{}n", "-".repeat(60)))
            .alone()
            .makes(&format!("Deployment {app}-n")),
    ]
}
