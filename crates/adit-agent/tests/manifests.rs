//! The agent's manifests are what Kubernetes takes, and give the agent no more than they say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's way to fail"
)]

use std::collections::BTreeSet;

use adit_agent::{Config, RawConfig};
use adit_identity::{
    AccessType, AgentId, Environment, JobIdentity, ProjectId, Tier, UserIdentity, UserRoles,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use serde::de::DeserializeOwned;

/// A file of `deploy/manifests/agent`.
macro_rules! file {
    ($path:literal) => {
        include_str!(concat!("../../../deploy/manifests/agent/", $path))
    };
}

fn read<T: DeserializeOwned>(document: &str) -> T {
    serde_saphyr::from_str(document).expect("it is a manifest of that kind")
}

fn documents(text: &str) -> Vec<&str> {
    text.split("\n---\n").collect()
}

/// A role, which its file also binds to the agent's account.
fn bound_role(text: &str) -> Vec<PolicyRule> {
    let documents = documents(text);
    let role: ClusterRole = read(documents[0]);
    let binding: ClusterRoleBinding = read(documents[1]);
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
    let subjects = binding.subjects.unwrap();
    let account: ServiceAccount = read(file!("access/service-account.yaml"));
    let namespace: Namespace = read(file!("access/namespace.yaml"));
    assert_eq!(subjects.len(), 1);
    assert_eq!(Some(&subjects[0].name), account.metadata.name.as_ref());
    assert_eq!(subjects[0].namespace, namespace.metadata.name);
    role.rules.unwrap()
}

fn allow_only(rules: &[PolicyRule], kind_of_verb: &str) {
    assert!(!rules.is_empty());
    for rule in rules {
        let is_one = |verb: &String| verb.starts_with(kind_of_verb);
        assert!(rule.verbs.iter().all(is_one), "{rule:?}");
    }
}

#[test]
fn roles_allow_the_agent_to_act_as_others_and_nothing_by_itself() {
    allow_only(
        &bound_role(file!("access/identities.yaml")),
        "impersonate:user-info",
    );
    allow_only(
        &bound_role(file!("before-1.36/identities.yaml")),
        "impersonate",
    );
    for text in [
        file!("access/discovery.yaml"),
        file!("everywhere/everywhere.yaml"),
    ] {
        allow_only(&bound_role(text), "impersonate-on:user-info:");
    }
    let in_namespace: ClusterRole = read(file!("access/in-namespace.yaml"));
    allow_only(&in_namespace.rules.unwrap(), "impersonate-on:user-info:");
    let binding: RoleBinding = read(file!("namespaced/role-binding.yaml"));
    assert_eq!(Some(binding.role_ref.name), in_namespace.metadata.name);
}

#[test]
fn every_extra_of_a_job_or_a_user_may_be_set_and_no_other() {
    let job = JobIdentity {
        environment: Some(Environment::named("production", Tier::Production, true).unwrap()),
        ..JobIdentity::example("https://gitlab.example.com", "group/app")
    };
    let user = job.impersonation(AgentId(41), Some(ProjectId(7))).unwrap();
    let person = UserIdentity {
        issuer: job.issuer,
        user: job.user,
        access_type: AccessType::PersonalAccessToken,
    };
    let person = person.impersonation(AgentId(41), ProjectId(7), &UserRoles::default());
    let person = person.unwrap();
    let mut extras: Vec<_> = user
        .extra()
        .iter()
        .chain(person.extra())
        .map(|extra| format!("userextras/{}", extra.key))
        .collect();
    let mut seen = BTreeSet::new();
    extras.retain(|extra| seen.insert(extra.clone()));
    for text in [
        file!("access/identities.yaml"),
        file!("before-1.36/identities.yaml"),
    ] {
        let rules = bound_role(text);
        assert_eq!(rules[2].resources.as_ref(), Some(&extras));
    }
}

#[test]
fn groups_are_named_where_the_api_server_would_let_any_pass() {
    let rules = bound_role(file!("before-1.36/identities.yaml"));
    let of_groups = |rule: &&PolicyRule| {
        let resources = rule.resources.as_ref().unwrap();
        resources.iter().any(|resource| resource == "groups")
    };
    let names = rules
        .iter()
        .filter(of_groups)
        .map(|rule| &rule.resource_names);
    for names in names {
        assert!(names.as_ref().is_some_and(|names| !names.is_empty()));
    }
}

#[test]
fn secrets_are_not_read_everywhere() {
    for rule in bound_role(file!("everywhere/everywhere.yaml")) {
        let groups = rule.api_groups.unwrap();
        assert!(!groups.iter().any(|group| group == "*"));
        if groups.iter().any(String::is_empty) {
            let resources = rule.resources.unwrap();
            assert!(
                !resources
                    .iter()
                    .any(|name| name == "*" || name == "secrets")
            );
        }
    }
}

#[test]
fn flux_is_served_without_a_look_at_secrets_of_others() {
    let documents = documents(file!("flux/roles.yaml"));
    let own: Role = read(documents[0]);
    let receivers: ClusterRole = read(documents[2]);
    let rules = own
        .rules
        .unwrap()
        .into_iter()
        .chain(receivers.rules.unwrap());
    for rule in rules {
        let is_of_secrets = |name: &String| name == "secrets";
        let of_secrets = rule.resources.iter().flatten().any(is_of_secrets);
        if of_secrets && rule.resource_names.is_none() {
            assert_eq!(rule.verbs, ["create"]);
        }
        assert!(
            !rule
                .verbs
                .iter()
                .any(|verb| verb == "*" || verb == "delete")
        );
    }
    let own = own.metadata.name.unwrap();
    assert_eq!(
        own, "adit-agent-flux",
        "as the agent calls its Lease by default"
    );
    let binding: RoleBinding = read(file!("flux/role-binding.yaml"));
    assert_eq!(Some(binding.role_ref.name), receivers.metadata.name);
}

#[test]
fn deployment_runs_unprivileged_with_a_config_that_is_accepted() {
    let mut raw = RawConfig::from_yaml(file!("workload/agent.yaml")).unwrap();
    raw.relay.proxy = Some("none".to_owned().into());
    let config = Config::try_from(raw).unwrap();

    let deployment: Deployment = read(file!("workload/deployment.yaml"));
    let labels = deployment.spec.template.metadata.unwrap().labels;
    assert_eq!(deployment.spec.selector.match_labels, labels);
    let budget: PodDisruptionBudget = read(file!("workload/disruption-budget.yaml"));
    let selector = budget.spec.unwrap().selector.unwrap();
    assert_eq!(selector.match_labels, labels);
    let policy: NetworkPolicy = read(file!("workload/network-policy.yaml"));
    let selector = policy.spec.unwrap().pod_selector.unwrap();
    assert_eq!(selector.match_labels, labels);

    let pod = deployment.spec.template.spec.unwrap();
    let grace = u64::try_from(pod.termination_grace_period_seconds.unwrap()).unwrap();
    assert!(
        grace > config.drain_grace().as_secs(),
        "the pod is not killed while it drains"
    );
    assert_eq!(pod.service_account_name.as_deref(), Some("adit-agent"));
    assert_eq!(pod.automount_service_account_token, Some(false));
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
