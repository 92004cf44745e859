//! A kubeconfig by which an agent finds the fake API server: its address, its CA, and a token of the agent's own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::pki;

/// The agent's own credential at the API server.
pub(crate) const SERVICE_ACCOUNT: &str = "canary-service-account-token";

pub(crate) fn write(folder: &Path, server: SocketAddr) -> PathBuf {
    let ca = pki::shared().write_ca(folder);
    let token = folder.join("token");
    fs::write(&token, SERVICE_ACCOUNT).unwrap();
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority: {ca}
users:
- name: test
  user:
    tokenFile: {token}
contexts:
- name: test
  context: {{ cluster: test, user: test }}
",
        port = server.port(),
        ca = ca.display(),
        token = token.display(),
    );
    let path = folder.join(format!("kubeconfig-{}", server.port()));
    fs::write(&path, text).unwrap();
    path
}
