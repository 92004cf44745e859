//! The configs of `adit dev`'s relay and agent: the ordinary ones, checked the ordinary way.

use std::net::SocketAddr;
use std::path::PathBuf;

use adit_authority::token::TokenHash;
use adit_identity::FullPath;
use adit_process::Exit;
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::certificates::Certificates;
use super::{AGENT, AGENT_NAME, AUDIENCE, ISSUER, PROJECT};
use crate::failure::{Ends, Failure};
use crate::kubeconfig::RelayUrl;

/// What both configs are made from.
pub(super) struct Settings {
    pub(super) listen: SocketAddr,
    pub(super) certificates: Certificates,
    /// The issuer's public keys, a JWKS file.
    pub(super) keys: PathBuf,
    pub(super) project: FullPath,
    /// The agent's.
    pub(super) token: SecretString,
}

impl Settings {
    pub(super) fn relay(&self) -> Result<adit_relay::Config, Failure> {
        let Certificates {
            certificate, key, ..
        } = &self.certificates;
        let agent = json!({
            "id": AGENT.0,
            "name": AGENT_NAME,
            "project": self.project.as_str(),
            "project_id": PROJECT.0,
            "tokens": [TokenHash::of(self.token.expose_secret()).to_string()],
        });
        let issuer = json!({
            "url": ISSUER,
            "audiences": [AUDIENCE],
            "jwks_file": self.keys,
        });
        let raw = json!({
            "listen": { "address": self.listen, "certificate": certificate, "key": key },
            "admin": { "address": ANY_PORT },
            "authorities": { "oidc": { "issuers": [issuer] } },
            "agents": [agent],
        });
        serde_json::from_value::<adit_relay::RawConfig>(raw)
            .map_err(anyhow::Error::from)
            .and_then(|raw| Ok(adit_relay::Config::try_from(raw)?))
            .context("the relay's config has a mistake")
            .ends(Exit::Internal)
    }

    /// `kubeconfig` and `context` as the user gave them.
    pub(super) fn agent(
        &self,
        relay: &RelayUrl,
        kubeconfig: Option<PathBuf>,
        context: Option<String>,
    ) -> Result<adit_agent::Config, Failure> {
        let mut raw = adit_agent::RawConfig::default();
        raw.relay.url = Some(relay.to_string());
        raw.relay.ca_file = Some(self.certificates.ca.clone());
        raw.relay.proxy = Some(SecretString::from("none"));
        raw.kubernetes.kubeconfig = kubeconfig;
        raw.kubernetes.context = context;
        // Its jobs are the issuer's own, and none of them is to have the kubeconfig's rights.
        raw.ceiling.agent = Some(false);
        raw.admin.address = Some(ANY_PORT.to_owned());
        raw.replica = Some("dev".to_owned());
        raw.token = Some(self.token.clone());
        adit_agent::Config::try_from(raw)
            .context("the agent's config has a mistake")
            .ends(Exit::BadConfig)
    }
}

const ANY_PORT: &str = "127.0.0.1:0";
