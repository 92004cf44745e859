//! The agent's configuration, its token, and its pods.
//!
//! Called by [`super::print`]. Invariant: what is printed as its configuration is one that the agent takes.

use adit_agent::{Config, RawConfig};
use adit_process::Exit;
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::AgentArgs;
use crate::failure::{Ends, Failure};
use crate::manifests::document::{Document, Documents};
use crate::manifests::{checksum, read_pem, rule};

impl AgentArgs {
    pub(super) fn workload(&self, token: &SecretString) -> Result<Documents, Failure> {
        let data = self.files()?;
        let mut documents = Documents::default();
        documents.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "adit-agent" }, "data": data,
        }));
        documents.push(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "adit-agent-token" },
            "stringData": { "token": token.expose_secret() },
        }));
        documents.extend(self.pods(&data));
        Ok(documents)
    }

    /// What its ConfigMap holds.
    fn files(&self) -> Result<Value, Failure> {
        let config = self.config()?;
        Ok(match &self.ca {
            Some(ca) => {
                json!({ "agent.yaml": config, "ca.pem": read_pem(ca, "--ca", "CERTIFICATE")? })
            }
            None => json!({ "agent.yaml": config }),
        })
    }

    fn config(&self) -> Result<String, Failure> {
        let mut config = Document::built_in(built_in!("agent/workload/agent.yaml"));
        config.set("/relay/url", self.relay.as_str());
        if self.ca.is_some() {
            config.add("/relay", "ca_file", "/etc/adit/config/ca.pem");
        }
        for (key, names) in [
            ("/ceiling/users", &self.users),
            ("/ceiling/groups", &self.groups),
        ] {
            if !names.is_empty() {
                config.set(key, names.clone());
            }
        }
        for (key, limit) in self.limits() {
            config.add("/ceiling", key, limit);
        }
        if let Some(flux) = self.flux_config() {
            config.add("", "flux", flux);
        }
        let text = config.to_yaml().ends(Exit::Internal)?;
        check(&text)
            .context("the agent could not use what it is told")
            .ends(Exit::BadConfig)?;
        Ok(text)
    }

    /// What its ceiling says of an agent for named namespaces alone: what its roles say, too, or, before Kubernetes 1.36, nobody else.
    fn limits(&self) -> Vec<(&'static str, Value)> {
        let is_for_more = self.read_everywhere || !self.allow_everywhere.is_empty();
        if self.namespaces.is_empty() || is_for_more {
            return Vec::new();
        }
        let mut limits = vec![("namespaces", json!(self.namespaces))];
        if !self.allow.is_empty() {
            limits.extend(rule::verbs(&self.allow).map(|verbs| ("verbs", json!(verbs))));
            let subresources = rule::subresources(&self.allow);
            limits.extend(subresources.map(|names| ("subresources", json!(names))));
        }
        limits
    }

    fn pods(&self, data: &Value) -> Documents {
        let mut documents = Documents::of(&[
            built_in!("agent/workload/deployment.yaml"),
            built_in!("agent/workload/disruption-budget.yaml"),
            built_in!("agent/workload/network-policy.yaml"),
        ]);
        let deployment = documents.one("Deployment");
        deployment.set("/spec/replicas", self.replicas);
        deployment.add("/spec/template/metadata", "annotations", checksum(data));
        if let Some(image) = &self.image {
            deployment.set("/spec/template/spec/containers/0/image", image.as_str());
        }
        if let Some(port) = self.unusual_port() {
            documents.one("NetworkPolicy").append(
                "/spec/egress/1/ports",
                json!({ "port": port, "protocol": "TCP" }),
            );
        }
        if self.flux.is_some() {
            self.let_out_to_flux(documents.one("NetworkPolicy"));
        }
        documents
    }

    /// The relay's, where the network policy does not name it.
    fn unusual_port(&self) -> Option<u16> {
        let url: http::Uri = self.relay.parse().ok()?;
        url.port_u16().filter(|port| ![443, 6443].contains(port))
    }
}

/// What the agent will say to it, but that it has a proxy of the pod, not of this shell.
fn check(config: &str) -> anyhow::Result<()> {
    let mut raw = RawConfig::from_yaml(config)?;
    raw.relay.proxy = Some("none".to_owned().into());
    Config::try_from(raw)?;
    Ok(())
}
