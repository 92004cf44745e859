//! The resources of Kubernetes that are known by name: their groups, what else they are called, and which are in no namespace.
//!
//! Called by `rule`, for what a role calls otherwise than kubectl does.

/// A group as a role has it, where kubectl takes others: for that without a name `core` or a version alone, and before a group its version.
/// Others' groups may begin like one: `v1.edp.epam.com` is such.
pub(super) fn of_kubectl(group: &str) -> &str {
    let group = match group.split_once('.') {
        Some((first, rest)) if is_version(first) && is_kubernetes_own(rest) => rest,
        _ => group,
    };
    if group == "core" || is_version(group) {
        return "";
    }
    group
}

fn is_kubernetes_own(group: &str) -> bool {
    let without_domain = [
        "apps",
        "autoscaling",
        "batch",
        "core",
        "extensions",
        "policy",
    ];
    without_domain.contains(&group) || group.ends_with(".k8s.io")
}

/// Such as `v1`, or `v2beta1`.
pub(super) fn is_version(text: &str) -> bool {
    let Some(text) = text.strip_prefix('v') else {
        return false;
    };
    let staged = text.split_once("alpha").or_else(|| text.split_once("beta"));
    let (number, stage) = staged.unwrap_or((text, "1"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(number) && is_number(stage)
}

/// The resource that is meant by its name without a group, be that a singular or a short one, as kubectl takes them.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let mut known = CORE.iter().chain(&BEYOND_CORE);
    let (resource, _) = known.find(|(resource, short)| {
        let (plural, _) = resource.split_once('.').unwrap_or((resource, ""));
        name == plural || name == *short || is_singular(name, plural)
    })?;
    Some(resource)
}

/// What a resource of that group is called, by a singular or a short name.
pub(super) fn meant_of(name: &str, group: &str) -> Option<&'static str> {
    BEYOND_CORE.iter().find_map(|(resource, short)| {
        let (plural, of) = resource.split_once('.')?;
        let is_it = of == group && (name == *short || is_singular(name, plural));
        is_it.then_some(plural)
    })
}

/// `policies` of `policy`, `ingresses` of `ingress`, `pods` of `pod`.
fn is_singular(name: &str, plural: &str) -> bool {
    let Some(end) = plural.strip_prefix(name.strip_suffix('y').unwrap_or(name)) else {
        return false;
    };
    match end {
        "ies" => name.ends_with('y'),
        "es" => name.ends_with('s'),
        "s" => !name.ends_with('y'),
        _ => false,
    }
}

/// What other groups have that people know without them, each with the short name that kubectl takes, if there is one.
pub(super) const BEYOND_CORE: [(&str, &str); 17] = [
    ("daemonsets.apps", "ds"),
    ("deployments.apps", "deploy"),
    ("replicasets.apps", "rs"),
    ("statefulsets.apps", "sts"),
    ("horizontalpodautoscalers.autoscaling", "hpa"),
    ("cronjobs.batch", "cj"),
    ("jobs.batch", ""),
    ("leases.coordination.k8s.io", ""),
    ("endpointslices.discovery.k8s.io", ""),
    ("ingresses.networking.k8s.io", "ing"),
    ("networkpolicies.networking.k8s.io", "netpol"),
    ("poddisruptionbudgets.policy", "pdb"),
    ("clusterrolebindings.rbac.authorization.k8s.io", ""),
    ("clusterroles.rbac.authorization.k8s.io", ""),
    ("rolebindings.rbac.authorization.k8s.io", ""),
    ("roles.rbac.authorization.k8s.io", ""),
    ("storageclasses.storage.k8s.io", "sc"),
];

/// What Kubernetes has in no namespace. The chart has the same list.
pub(super) const OUTSIDE_NAMESPACES: [&str; 36] = [
    "componentstatuses",
    "nodes",
    "persistentvolumes",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "apiservices.apiregistration.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "tokenreviews.authentication.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
    "clustertrustbundles.certificates.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "gatewayclasses.gateway.networking.k8s.io",
    "nodes.metrics.k8s.io",
    "ingressclasses.networking.k8s.io",
    "ipaddresses.networking.k8s.io",
    "servicecidrs.networking.k8s.io",
    "runtimeclasses.node.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "deviceclasses.resource.k8s.io",
    "resourceslices.resource.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "storageclasses.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
];

/// What the group without a name has, likewise; nothing is ever added to it.
pub(super) const CORE: [(&str, &str); 17] = [
    ("bindings", ""),
    ("componentstatuses", "cs"),
    ("configmaps", "cm"),
    ("endpoints", "ep"),
    ("events", "ev"),
    ("limitranges", "limits"),
    ("namespaces", "ns"),
    ("nodes", "no"),
    ("persistentvolumeclaims", "pvc"),
    ("persistentvolumes", "pv"),
    ("pods", "po"),
    ("podtemplates", ""),
    ("replicationcontrollers", "rc"),
    ("resourcequotas", "quota"),
    ("secrets", ""),
    ("serviceaccounts", "sa"),
    ("services", "svc"),
];
