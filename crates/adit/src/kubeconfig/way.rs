//! Decides how a job's programs dial a relay, and GitLab: as kubectl does it, through the proxy that the environment names. Called for
//! `adit kubeconfig` and by the doctor.
//!
//! The invariant: whoever is not this machine is dialled over TLS or not at all.

use std::time::Duration;

use adit_agent::dial::proxy::{BadProxy, Proxy, ProxyEnvironment};
use adit_agent::dial::{Dialler, Tls};
use adit_process::tls::ClientTls;

use super::relay_url::Parts;

/// Why nobody can even be dialled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadWay {
    #[error("the proxy that HTTPS_PROXY or ALL_PROXY names cannot be used")]
    Proxy(#[from] BadProxy),
    #[error("no certificate can be for `{0}`")]
    Name(String),
}

/// The proxy that the environment names for them. As for agents, what does without TLS is on this machine, and needs none.
pub(crate) fn proxy(parts: &Parts) -> Result<Option<Proxy>, BadWay> {
    if !parts.is_tls {
        return Ok(None);
    }
    Ok(ProxyEnvironment::read().proxy_for(&parts.host, parts.port)?)
}

/// For those who are to prove themselves to `tls`.
pub(crate) fn dialler(
    parts: &Parts,
    tls: &ClientTls,
    proxy: Option<Proxy>,
) -> Result<Dialler, BadWay> {
    let tls = if parts.is_tls {
        let host = parts.host.trim_matches(['[', ']']);
        let unnamed = || BadWay::Name(parts.host.clone());
        Some(Tls::new(tls, host).ok_or_else(unnamed)?)
    } else {
        None
    };
    Ok(Dialler {
        host: parts.host.clone(),
        port: parts.port,
        tls,
        proxy,
        timeout: DIAL_TIMEOUT,
    })
}

/// As an agent's `relay.connect_timeout` is by default.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
