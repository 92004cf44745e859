//! What the agent needs to pass pushes on to Flux: roles, a part of its configuration, and a way through the network policy.
//!
//! Called by [`super::print`] and `workload.rs`. Nothing of it is there without `--flux`.

use serde_json::{Value, json};

use super::AgentArgs;
use crate::manifests::document::{Document, Documents};

impl AgentArgs {
    pub(super) fn flux_roles(&self) -> Documents {
        if self.flux.is_none() {
            return Documents::default();
        }
        let mut documents = Documents::of(&[built_in!("agent/flux/roles.yaml")]);
        for namespace in self.with_repositories() {
            let mut binding = Documents::of(&[built_in!("agent/flux/role-binding.yaml")]);
            let metadata = binding.one("RoleBinding");
            metadata.set("/metadata/namespace", namespace);
            documents.extend(binding);
        }
        documents
    }

    pub(super) fn flux_config(&self) -> Option<Value> {
        let gitlab = self.flux.as_ref()?;
        Some(json!({
            "gitlab_url": gitlab,
            "namespaces": self.with_repositories(),
            "lease_name": format!("{}-flux", self.name),
            "lease_namespace": self.home(),
        }))
    }

    /// To notification-controller, whose Service leads there.
    pub(super) fn let_out_to_flux(&self, policy: &mut Document) {
        let flux = json!({ "kubernetes.io/metadata.name": "flux-system" });
        let rule = json!({
            "to": [{ "namespaceSelector": { "matchLabels": flux } }],
            "ports": [{ "port": 9292, "protocol": "TCP" }],
        });
        policy.append("/spec/egress", rule);
    }

    /// The namespaces with Flux's repositories; none without Flux.
    pub(super) fn with_repositories(&self) -> Vec<&str> {
        if self.flux.is_none() {
            return Vec::new();
        }
        if self.flux_namespaces.is_empty() {
            return vec!["flux-system"];
        }
        self.flux_namespaces.iter().map(String::as_str).collect()
    }
}
