//! What the kubeconfig says that `KUBECONFIG` names: `adit kubeconfig` wrote it, or GitLab did.
//!
//! The invariant: no error shows what stands in the file beyond names and the server's address; a token may stand in any line.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use adit_agent::dial::proxy::Proxy;
use adit_authority::{Credential, DEFAULT_MAX_CREDENTIAL_BYTES, Form};
use adit_process::tls::TrustRoots;
use base64::{Engine, engine::general_purpose::STANDARD};
use kube_client::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError, NamedContext};
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;

use super::access::{Found, Holder, Wanted, Wrong};
use crate::kubeconfig::{BadRelayUrl, RelayUrl};
use crate::kubernetes_status::printable;

pub(super) fn find(wanted: Option<&str>) -> Result<Found, Wrong> {
    let file = Kubeconfig::from_env()
        .map_err(|error| unread(&error))?
        .ok_or_else(|| Wrong {
            what: "neither ADIT_RELAY_URL nor KUBECONFIG is set".to_owned(),
            advice: "set ADIT_RELAY_URL and an ID token, as for `adit kubeconfig`, or let KUBECONFIG name the file that it wrote",
        })?;
    let named = context(&file, wanted)?;
    let name = printable(&named.name);
    let context = named.context.as_ref();
    let missing = |what: &str| Wrong {
        what: format!("the kubeconfig's context {name} has no {what}"),
        advice: "write the file anew by `adit kubeconfig`",
    };
    let cluster = context.and_then(|context| {
        let mut clusters = file.clusters.iter();
        let cluster = clusters.find(|cluster| cluster.name == context.cluster)?;
        cluster.cluster.as_ref()
    });
    let user = context.and_then(|context| {
        let mut users = file.auth_infos.iter();
        let user = users.find(|user| Some(&user.name) == context.user.as_ref())?;
        user.auth_info.as_ref()
    });
    let cluster = cluster.ok_or_else(|| missing("cluster"))?;
    let (holder, agent, token) = credential(user.ok_or_else(|| missing("user"))?, &name)?;
    let (roots, roots_file) = roots(cluster)?;
    Ok(Found {
        from: format!("the kubeconfig's context {name}"),
        relay: relay(cluster, &name)?,
        roots,
        roots_file,
        proxy: proxy(cluster)?,
        holder,
        token,
        agent,
        namespace: context.and_then(|context| context.namespace.clone()),
    })
}

fn unread(error: &KubeconfigError) -> Wrong {
    if let KubeconfigError::ReadConfig(error, path) = error {
        return Wrong::file(path, error);
    }
    // Its own words may quote the file.
    Wrong {
        what: "what KUBECONFIG names is no kubeconfig".to_owned(),
        advice: "write the file anew by `adit kubeconfig`",
    }
}

/// The one that is asked for, the current one, or the only one.
fn context<'a>(file: &'a Kubeconfig, wanted: Option<&str>) -> Result<&'a NamedContext, Wrong> {
    let current = file.current_context.as_deref();
    let contexts = &file.contexts;
    let names: Vec<_> = contexts.iter().map(|named| named.name.as_str()).collect();
    let known = printable(&names.join(", "));
    if let Some(wanted) = wanted.or_else(|| current.filter(|name| !name.is_empty())) {
        let found = contexts.iter().find(|named| named.name == wanted);
        return found.ok_or_else(|| Wrong {
            what: format!("the kubeconfig has no context {wanted}, but: {known}"),
            advice: "name one of them by --context or KUBE_CONTEXT; GitLab's file has those that the job may use",
        });
    }
    match contexts.as_slice() {
        [only] => Ok(only),
        [] => Err(Wrong {
            what: "the kubeconfig has no context".to_owned(),
            advice: "no agent lets the job in: ask for an entry in an agent's ci_access",
        }),
        _ => Err(Wrong {
            what: format!("of several contexts none is current, which kubectl needs: {known}"),
            advice: "choose one by `kubectl config use-context`, or for this command by --context",
        }),
    }
}

fn relay(cluster: &Cluster, context: &str) -> Result<RelayUrl, Wrong> {
    let server = cluster.server.as_deref().unwrap_or_default();
    let told = format!("the context {context} is for `{}`", printable(server));
    let relay: RelayUrl = server.parse().map_err(|error: BadRelayUrl| Wrong {
        what: format!("{told}, which is no relay's address: {error}"),
        advice: if server.trim_end_matches('/').ends_with(OMNIBUS) {
            SET_CLUSTER
        } else {
            "name the relay by ADIT_RELAY_URL, or let KUBECONFIG name what `adit kubeconfig` wrote"
        },
    })?;
    // kubectl takes it as it is; the relay's own tools do without.
    if !server.trim_end_matches('/').ends_with(API) {
        return Err(Wrong {
            what: format!("{told}, which lacks {API}: a relay has the Kubernetes API nowhere else"),
            advice: SET_CLUSTER,
        });
    }
    Ok(relay)
}

/// Whom to believe, and the file that was made for that, if one was.
fn roots(cluster: &Cluster) -> Result<(TrustRoots, Option<NamedTempFile>), Wrong> {
    let Some(data) = &cluster.certificate_authority_data else {
        let file = cluster.certificate_authority.as_ref();
        let roots = file.map_or(TrustRoots::System, |file| TrustRoots::Only(file.into()));
        return Ok((roots, None));
    };
    let unusable = |error: &dyn fmt::Display| Wrong {
        what: format!("the kubeconfig's certificate-authority-data cannot be used: {error}"),
        advice: "write the file anew by `adit kubeconfig --ca`",
    };
    let pem = STANDARD.decode(data).map_err(|error| unusable(&error))?;
    let file = kept(&pem).map_err(|error| unusable(&error))?;
    Ok((TrustRoots::Only(file.path().to_owned()), Some(file)))
}

fn kept(pem: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(pem)?;
    Ok(file)
}

fn proxy(cluster: &Cluster) -> Result<Option<Proxy>, Wrong> {
    let url = cluster.proxy_url.as_deref().filter(|url| !url.is_empty());
    let proxy = url.map(Proxy::parse).transpose();
    proxy.map_err(|error| Wrong {
        what: format!("{error} (proxy-url in the kubeconfig)"),
        advice: "name an HTTP proxy there, or leave it out for HTTPS_PROXY to count",
    })
}

/// `ci:<agent id>:<token>`, or a user's with `pat:`.
fn credential(user: &AuthInfo, context: &str) -> Result<(Holder, Wanted, SecretString), Wrong> {
    if user.exec.is_some() {
        return Err(Wrong {
            what: format!(
                "the token of the context {context} comes from a program, which is not run here"
            ),
            advice: "name a kubeconfig that has the token itself: `kubectl config set-credentials <user> --token=pat:<agent id>:<token>`",
        });
    }
    let token = match (&user.token, &user.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => {
            let read = fs::read_to_string(path);
            read.map_err(|error| Wrong::file(Path::new(path), &error))?
                .trim()
                .into()
        }
        (None, None) => String::new().into(),
    };
    let header = SecretString::from(format!("Bearer {}", token.expose_secret()));
    let values = [header.expose_secret().as_bytes()];
    let credential = Credential::parse(values, DEFAULT_MAX_CREDENTIAL_BYTES);
    let credential = credential.map_err(|error| Wrong {
        what: format!("the token of the context {context} is of no use: {error}"),
        advice: "let KUBECONFIG name what `adit kubeconfig` or GitLab wrote: its tokens are ci:<agent id>:<token>, a user's pat:<agent id>:<token>",
    })?;
    let (holder, agent) = match credential.form() {
        Form::Bare => (Holder::Job, Wanted::All),
        Form::Job(agent) => (Holder::Job, Wanted::Id(agent.0)),
        Form::Personal(agent) => (Holder::User, Wanted::Id(agent.0)),
    };
    Ok((holder, agent, credential.token().expose().into()))
}

/// Where GitLab's agent server is in most installations, on GitLab's own host.
const OMNIBUS: &str = "/-/kubernetes-agent/k8s-proxy";
const API: &str = "/k8s-proxy";
const SET_CLUSTER: &str = "`kubectl config set-cluster gitlab --server=https://<relay>/k8s-proxy`; for all jobs at once GitLab's administrator sets gitlab_kas.external_k8s_proxy_url to that: docs/gitlab.md";
