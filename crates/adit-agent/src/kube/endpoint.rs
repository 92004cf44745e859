//! Decides which API server the agent calls and what it must prove: from the pod's service account or a kubeconfig, once
//! at start; [`Files`] decides what is read again. Called by [`super::Kube::load`].
//! Invariant: there is one address, reached by TLS with its authority checked (or on loopback), and no way around either:
//! a kubeconfig that skips the check, or that impersonates by itself, is refused.

use std::path::PathBuf;
use std::sync::Arc;

use adit_process::tls::TlsError;
use adit_process::whole;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use kube_client::client::ConfigExt;
use kube_client::config::{
    AuthInfo, Cluster, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError,
};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::credentials::CredentialError;
use super::files::Files;
use crate::config::{KubernetesConfig, RelayUrl};
use crate::dial::proxy::{BadProxy, Proxy};
use crate::dial::{Dialler, Tls};

/// One API server.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    /// Path before every target, without a slash at its end: some API servers are served beneath one.
    base: String,
    /// Offers HTTP/2 and HTTP/1.1.
    pub(crate) any: Dialler,
    /// Offers HTTP/1.1 alone: upgrades need it (RFC 9113 section 8.6).
    pub(crate) http1: Dialler,
}

/// Why an API server cannot be called. Nothing of a kubeconfig is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("the kubeconfig {} cannot be read", whole(path).display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the kubeconfig is not valid YAML of a kubeconfig, near line {line}")]
    Yaml { line: u64 },
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] KubeconfigError),
    #[error("the pod's service account cannot be used")]
    InCluster(#[source] InClusterError),
    #[error(
        "the kubeconfig switches the check of the API server's certificate off (insecure-skip-tls-verify)"
    )]
    Unchecked,
    #[error("the kubeconfig's user impersonates by itself (as), which is the agent's to do")]
    Impersonates,
    #[error("the API server's URL must be https:// with a host (http:// only on this machine)")]
    Url,
    #[error("the kubeconfig's proxy-url cannot be used")]
    Proxy(#[source] BadProxy),
    #[error("the kubeconfig's credentials cannot be used")]
    Credentials(#[from] CredentialError),
    #[error(
        "the CA that the API server is checked by (certificate-authority, or the service account's ca.crt) cannot be used"
    )]
    Ca(#[source] TlsError),
    #[error("the kubeconfig's client certificate (client-certificate, client-key) cannot be used")]
    Certificate(#[source] TlsError),
    #[error("TLS for the API server cannot be set up")]
    Tls(#[source] Box<kube_client::Error>),
}

impl Endpoint {
    /// Checks what kube's client library found. May run a credential plugin, which blocks.
    pub(crate) fn new(
        kube: &kube_client::Config,
        files: &Files,
        config: &KubernetesConfig,
    ) -> Result<Self, EndpointError> {
        if kube.accept_invalid_certs {
            return Err(EndpointError::Unchecked);
        }
        if impersonates(&kube.auth_info) {
            return Err(EndpointError::Impersonates);
        }
        let url = kube.cluster_url.clone().into_parts();
        let authority = url.authority.ok_or(EndpointError::Url)?;
        let server = address(url.scheme.as_ref(), &authority)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| EndpointError::Url)?;
        let base = url
            .path_and_query
            .as_ref()
            .map_or("", PathAndQuery::path)
            .trim_end_matches('/');
        let proxy = kube
            .proxy_url
            .as_ref()
            .map(|url| Proxy::parse(&url.to_string()))
            .transpose();
        let proxy = proxy.map_err(EndpointError::Proxy)?;
        let dialler = |alpn: &[&[u8]]| -> Result<Dialler, EndpointError> {
            Ok(Dialler {
                host: server.host.clone(),
                port: server.port,
                tls: if server.is_tls {
                    Some(tls(kube, files, server.bare_host(), alpn)?)
                } else {
                    None
                },
                proxy: proxy.clone(),
                timeout: config.connect_timeout,
            })
        };
        let any = dialler(&[adit_process::tls::H2, adit_process::tls::HTTP_1_1])?;
        let http1 = dialler(&[adit_process::tls::HTTP_1_1])?;
        let scheme = if server.is_tls {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        Ok(Self {
            scheme,
            authority,
            host,
            base: base.to_owned(),
            any,
            http1,
        })
    }

    /// The whole URI of a target, as HTTP/2 needs it. The bytes of the target stay as they are.
    pub(crate) fn absolute(&self, target: PathAndQuery) -> Result<Uri, http::Error> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(self.beneath_base(target)?);
        Ok(Uri::from_parts(parts)?)
    }

    /// A target alone, as HTTP/1.1 has it in its first line.
    pub(crate) fn origin(&self, target: PathAndQuery) -> Result<Uri, http::Error> {
        Ok(Uri::from(self.beneath_base(target)?))
    }

    /// `Host` for HTTP/1.1.
    pub(crate) const fn host(&self) -> &HeaderValue {
        &self.host
    }

    fn beneath_base(&self, target: PathAndQuery) -> Result<PathAndQuery, http::Error> {
        if self.base.is_empty() {
            return Ok(target);
        }
        Ok(PathAndQuery::try_from(format!("{}{target}", self.base))?)
    }
}

/// Whether the API server is called with the pod's service account, rather than by a kubeconfig.
pub(crate) fn takes_service_account(config: &KubernetesConfig) -> bool {
    let names_none = config.kubeconfig.is_none() && config.context.is_none();
    names_none && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// What kube's client library makes of the configuration: a kubeconfig that is named, else the pod's service account,
/// else what kubectl would take.
pub(crate) async fn find(config: &KubernetesConfig) -> Result<kube_client::Config, EndpointError> {
    let options = KubeConfigOptions {
        context: config.context.clone(),
        ..KubeConfigOptions::default()
    };
    let kubeconfig = match &config.kubeconfig {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| EndpointError::Read {
                path: path.clone(),
                source,
            })?;
            check_yaml(&text)?;
            Kubeconfig::read_from(path)
        }
        None if takes_service_account(config) => {
            return kube_client::Config::incluster().map_err(EndpointError::InCluster);
        }
        None => Kubeconfig::read(),
    };
    let kubeconfig = kubeconfig.map_err(EndpointError::kubeconfig)?;
    let cluster = cluster(&kubeconfig, config.context.as_deref());
    let (names_proxy, ca) = (cluster.is_some_and(names_proxy), cluster.and_then(ca_file));
    let found = kube_client::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut found = found.map_err(EndpointError::kubeconfig)?;
    if !names_proxy {
        // The library takes HTTPS_PROXY otherwise, which is the way out to the relay.
        found.proxy_url = None;
    }
    // The library leaves it out.
    found.root_cert_file = ca;
    Ok(found)
}

/// That of the context.
fn cluster<'a>(kubeconfig: &'a Kubeconfig, context: Option<&str>) -> Option<&'a Cluster> {
    let context = context.or(kubeconfig.current_context.as_deref());
    let mut contexts = kubeconfig.contexts.iter();
    let context = contexts
        .find(|named| Some(named.name.as_str()) == context)
        .and_then(|named| named.context.as_ref());
    let mut clusters = kubeconfig.clusters.iter();
    context
        .and_then(|context| clusters.find(|named| named.name == context.cluster))
        .and_then(|named| named.cluster.as_ref())
}

/// Whether it has a `proxy-url` of its own.
fn names_proxy(cluster: &Cluster) -> bool {
    let proxy = cluster.proxy_url.as_deref();
    proxy.is_some_and(|url| !url.is_empty())
}

/// Where its CA lies, unless that stands in the kubeconfig, which comes first.
fn ca_file(cluster: &Cluster) -> Option<PathBuf> {
    let is_file = cluster.certificate_authority_data.is_none();
    let file = cluster.certificate_authority.as_ref();
    file.filter(|_| is_file).map(PathBuf::from)
}

impl EndpointError {
    /// The parser's own words may quote the file, and with it a token; the library's about a file that it cannot read have the path in
    /// quotes twice, and the cause.
    fn kubeconfig(error: KubeconfigError) -> Self {
        if let KubeconfigError::Parse(error) = &error {
            return Self::Yaml {
                line: error.location().map_or(1, |location| location.line()),
            };
        }
        if let KubeconfigError::ReadConfig(source, path) = error {
            return Self::Read { path, source };
        }
        Self::Kubeconfig(error)
    }
}

fn impersonates(auth: &AuthInfo) -> bool {
    let names = auth.impersonate.is_some() || auth.impersonate_uid.is_some();
    names || auth.impersonate_groups.is_some() || auth.impersonate_user_extra.is_some()
}

fn check_yaml(text: &str) -> Result<(), EndpointError> {
    Kubeconfig::from_yaml(text)
        .map(drop)
        .map_err(EndpointError::kubeconfig)
}

/// The same rules as for a relay: TLS, or this machine.
fn address(scheme: Option<&Scheme>, authority: &Authority) -> Result<RelayUrl, EndpointError> {
    let scheme = scheme.filter(|scheme| **scheme == Scheme::HTTP || **scheme == Scheme::HTTPS);
    let scheme = scheme.ok_or(EndpointError::Url)?;
    format!("{scheme}://{authority}")
        .parse()
        .map_err(|_| EndpointError::Url)
}

fn tls(
    kube: &kube_client::Config,
    files: &Files,
    host: &str,
    alpn: &[&[u8]],
) -> Result<Tls, EndpointError> {
    let mut config = kube.rustls_client_config().map_err(|error| match error {
        // Its message holds what a plugin printed.
        error if matches!(error, kube_client::Error::Auth(_)) => {
            CredentialError::from_kube(error).into()
        }
        error => EndpointError::Tls(Box::new(error)),
    })?;
    files.decide(&mut config);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = kube.tls_server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|_| EndpointError::Url)?;
    Ok(Tls {
        connector: TlsConnector::from(Arc::new(config)),
        name,
    })
}

#[cfg(test)]
mod tests;
