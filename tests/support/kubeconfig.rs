//! A kubeconfig by which an agent finds the fake API server: its address, its CA, and a token of the agent's own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::pki::{self, Made};

/// The agent's own credential at the API server.
pub(crate) const SERVICE_ACCOUNT: &str = "canary-service-account-token";

pub(crate) fn write(folder: &Path, server: SocketAddr) -> PathBuf {
    let token = folder.join("token");
    fs::write(&token, SERVICE_ACCOUNT).unwrap();
    write_for(folder, server, &format!("tokenFile: {}", token.display()))
}

/// By a client certificate instead of the token.
pub(crate) fn write_certified(folder: &Path, server: SocketAddr) -> PathBuf {
    let (certificate, key) = pki::shared().write_client(folder, Made::default());
    let user = format!(
        "{{ client-certificate: '{}', client-key: '{}' }}",
        certificate.display(),
        key.display()
    );
    write_for(folder, server, &user)
}

fn write_for(folder: &Path, server: SocketAddr, user: &str) -> PathBuf {
    let ca = pki::shared().write_ca(folder);
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
    {user}
contexts:
- name: test
  context: {{ cluster: test, user: test }}
",
        port = server.port(),
        ca = ca.display(),
    );
    let path = folder.join(format!("kubeconfig-{}", server.port()));
    fs::write(&path, text).unwrap();
    path
}
