//! The agent: dials out and serves one cluster's API through the tunnel.
#![allow(dead_code, unused_variables, missing_docs, clippy::todo, clippy::unused_async, reason = "skeleton")]

use std::{net::SocketAddr, time::Duration};

pub use adit_identity::mistakes::Mistakes;

/// What the file says, before it is checked.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {}

impl RawConfig {
    /// Reads YAML.
    pub fn from_yaml(text: &str) -> Result<Self, BadYaml> { todo!() }
}

/// The text is not the YAML of a [`RawConfig`].
#[derive(Debug, thiserror::Error)]
#[error("yaml")]
pub struct BadYaml;

/// Checked.
#[derive(Clone, Debug)]
pub struct Config;

impl TryFrom<RawConfig> for Config {
    type Error = Mistakes;
    fn try_from(raw: RawConfig) -> Result<Self, Mistakes> { todo!() }
}

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
#[error("start")]
pub struct StartError;

/// A running agent.
#[derive(Debug)]
pub struct Agent;

impl Agent {
    /// On the runtime this is called in.
    pub async fn start(config: Config) -> Result<Self, StartError> { todo!() }
    pub fn admin_addr(&self) -> SocketAddr { todo!() }
    /// Resolves once a tunnel is up. Cancel-safe.
    pub async fn connected(&self) { todo!() }
    /// Takes nothing new; what is left after `grace` is cut.
    pub async fn drain(self, grace: Duration) { todo!() }
    /// Ends now.
    pub async fn abort(self) { todo!() }
}
