//! What the agent's chart and `adit manifests agent` say of a rule: the same, for a role would hold it or never.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use xtask::tools::{self, Module, Tools};
use xtask::{command, skip, workspace};

use crate::process::{adit, stderr};

#[test]
fn chart_and_command_take_the_same_rules() {
    if let Err(why) = tools::available(&[Module::Helm]) {
        skip::skipped("chart_and_command_take_the_same_rules", &format!("{why:#}"));
        return;
    }
    let helm = Tools::ready(&[Module::Helm]).unwrap().helm();
    for (text, group, resource, is_taken) in RULES {
        let agent = ["manifests", "agent", "--relay", "https://relay.example.com"];
        let rule = format!("get:{text}");
        let printed = adit(&agent)
            .args(["--namespace", "shop", "--allow", &rule])
            .output()
            .unwrap();
        assert_eq!(
            printed.status.success(),
            is_taken,
            "{text}: {}",
            stderr(&printed)
        );
        let rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": ["get"] });
        let values = json!({
            "relay": { "url": "https://relay.example.com" },
            "rbac": { "namespaces": ["shop"], "inNamespace": [rule], "everywhere": [] },
        });
        let mut helm = Command::new(&helm);
        helm.env_clear().env("HOME", "/nonexistent");
        helm.args(["template", "adit-agent", "--values", "-"]);
        helm.arg(workspace::root().join("deploy/charts/adit-agent"));
        let ended =
            command::finish(&mut helm, &values.to_string(), Duration::from_secs(60)).unwrap();
        assert_eq!(
            ended.status.success(),
            is_taken,
            "{values}: {}",
            ended.stderr
        );
        assert!(
            is_taken || ended.stderr.contains("inNamespace"),
            "{}",
            ended.stderr
        );
    }
}

/// As a flag says it, its group and name, and whether anything has it.
const RULES: [(&str, &str, &str, bool); 26] = [
    ("pods", "", "pods", true),
    ("pods/exec", "", "pods/exec", true),
    ("deployments.apps/scale", "apps", "deployments/scale", true),
    ("*.apps", "apps", "*", true),
    (
        "pods.custom.metrics.k8s.io/http_requests",
        "custom.metrics.k8s.io",
        "pods/http_requests",
        true,
    ),
    ("*/scale", "*", "*/scale", true),
    ("gadgets.example.com", "example.com", "gadgets", true),
    (
        "keycloakrealms.v1.edp.epam.com",
        "v1.edp.epam.com",
        "keycloakrealms",
        true,
    ),
    ("deploy.example.com", "example.com", "deploy", true),
    ("Pods", "", "Pods", false),
    ("pod", "", "pod", false),
    ("no", "", "no", false),
    ("deployments", "", "deployments", false),
    ("widgets", "", "widgets", false),
    ("deploy.apps", "apps", "deploy", false),
    ("deployment.apps/scale", "apps", "deployment/scale", false),
    (
        "role.rbac.authorization.k8s.io",
        "rbac.authorization.k8s.io",
        "role",
        false,
    ),
    ("pods.v1", "v1", "pods", false),
    ("pods.core", "core", "pods", false),
    ("*.core", "core", "*", false),
    ("deployments.v1.apps", "v1.apps", "deployments", false),
    (
        "roles.v1beta1.rbac.authorization.k8s.io",
        "v1beta1.rbac.authorization.k8s.io",
        "roles",
        false,
    ),
    ("deployments.apps/v1", "apps", "deployments/v1", false),
    ("pods/*", "", "pods/*", false),
    ("nodes", "", "nodes", false),
    (
        "ingressclasses.networking.k8s.io",
        "networking.k8s.io",
        "ingressclasses",
        false,
    ),
];
