//! Who the agent is in the cluster, and what the API server lets it do for others.
//!
//! Called by [`super::print`]. From Kubernetes 1.36 the API server holds as whom the agent acts, what it does for them, and where;
//! before it holds as whom, so the groups are named.

use serde_json::{Value, json};

use super::AgentArgs;
use crate::manifests::document::Documents;
use crate::manifests::rule::Rule;

impl AgentArgs {
    pub(super) fn access(&self) -> Documents {
        let mut documents = Documents::of(&[
            built_in!("agent/access/namespace.yaml"),
            built_in!("agent/access/service-account.yaml"),
        ]);
        if self.kubernetes.constrains_impersonation() {
            documents.extend(self.identities(built_in!("agent/access/identities.yaml")));
            documents.extend(Documents::of(&[built_in!("agent/access/discovery.yaml")]));
            documents.extend(self.in_namespaces());
            documents.extend(self.everywhere());
        } else {
            documents.extend(self.identities(built_in!("agent/before-1.36/identities.yaml")));
        }
        documents
    }

    /// As whom: the rules are for users, groups, and the rest, in this order.
    fn identities(&self, file: &str) -> Documents {
        let mut documents = Documents::of(&[file]);
        let role = documents.one("ClusterRole");
        for (rule, names) in [("/rules/0", &self.users), ("/rules/1", &self.groups)] {
            if !names.is_empty() {
                role.add(rule, "resourceNames", names.clone());
            }
        }
        for key in &self.extras {
            role.append("/rules/2/resources", format!("userextras/{key}"));
        }
        if self.uids {
            role.append("/rules/2/resources", "uids");
        }
        documents
    }

    fn in_namespaces(&self) -> Documents {
        if self.namespaces.is_empty() {
            return Documents::default();
        }
        let mut documents = Documents::of(&[built_in!("agent/access/in-namespace.yaml")]);
        if !self.allow.is_empty() {
            documents
                .one("ClusterRole")
                .set("/rules", rules(&self.allow));
        }
        for namespace in &self.namespaces {
            let mut binding = Documents::of(&[built_in!("agent/namespaced/role-binding.yaml")]);
            binding
                .one("RoleBinding")
                .add("/metadata", "namespace", namespace.as_str());
            documents.extend(binding);
        }
        documents
    }

    fn everywhere(&self) -> Documents {
        if !self.read_everywhere && self.allow_everywhere.is_empty() {
            return Documents::default();
        }
        let mut documents = Documents::of(&[built_in!("agent/everywhere/everywhere.yaml")]);
        let role = documents.one("ClusterRole");
        if !self.read_everywhere {
            role.set("/rules", json!([]));
        }
        for rule in rules(&self.allow_everywhere) {
            role.append("/rules", rule);
        }
        documents
    }
}

fn rules(rules: &[Rule]) -> Vec<Value> {
    rules.iter().flat_map(Rule::for_others).collect()
}
