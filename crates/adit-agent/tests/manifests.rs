//! The manifests of `deploy/agent` are what Kubernetes takes, and give the agent no more than they say.

use adit_agent::{Config, RawConfig};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde::de::DeserializeOwned;

fn documents(text: &str) -> Vec<&str> {
    text.split("\n---\n").collect()
}

fn read<T: DeserializeOwned>(document: &str) -> T {
    serde_saphyr::from_str(document).expect("it is a manifest of that kind")
}

#[test]
fn role_allows_impersonation_and_nothing_else() {
    let text = include_str!("../../../deploy/agent/cluster-role.yaml");
    let documents = documents(text);
    let role: ClusterRole = read(documents[0]);
    let rules = role.rules.unwrap();
    assert!(!rules.is_empty());
    for rule in &rules {
        assert_eq!(rule.verbs, ["impersonate"], "{rule:?}");
        assert!(rule.non_resource_urls.is_none());
    }
    let binding: ClusterRoleBinding = read(documents[1]);
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
    let subjects = binding.subjects.unwrap();
    let account: ServiceAccount = read(include_str!("../../../deploy/agent/service-account.yaml"));
    assert_eq!(subjects.len(), 1);
    assert_eq!(Some(&subjects[0].name), account.metadata.name.as_ref());
    assert_eq!(subjects[0].namespace, account.metadata.namespace);
    let namespace: Namespace = read(include_str!("../../../deploy/agent/namespace.yaml"));
    assert_eq!(namespace.metadata.name, account.metadata.namespace);
}

#[test]
fn deployment_runs_unprivileged_with_a_config_that_is_accepted() {
    let documents = documents(include_str!("../../../deploy/agent/deployment.yaml"));
    let map: ConfigMap = read(documents[0]);
    let mut raw = RawConfig::from_yaml(&map.data.unwrap()["agent.yaml"]).unwrap();
    raw.relay.proxy = Some("none".to_owned().into());
    let config = Config::try_from(raw).unwrap();

    let deployment: Deployment = read(documents[1]);
    let pod = deployment.spec.template.spec.unwrap();
    let grace = u64::try_from(pod.termination_grace_period_seconds.unwrap()).unwrap();
    assert!(
        grace > config.drain_grace().as_secs(),
        "the pod is not killed while it drains"
    );
    assert_eq!(pod.service_account_name.as_deref(), Some("adit-agent"));
    assert_eq!(pod.security_context.unwrap().run_as_non_root, Some(true));
    for container in pod.containers {
        let limits = container.resources.unwrap().limits.unwrap();
        let mebibytes = limits["memory"].0.strip_suffix("Mi").unwrap();
        let limit = mebibytes.parse::<usize>().unwrap() << 20;
        assert!(config.most_memory() < limit, "{}", config.most_memory());
        let security = container.security_context.unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
    }
}
