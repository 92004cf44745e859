//! Decides what is told to Flux's side of the agent: whose repositories it follows, in which namespaces, and where their Receivers are
//! called. Used by the check of the configuration.
//! Invariant: without a GitLab nothing of it runs.

use std::str::FromStr;

use adit_identity::{
    FullPath,
    mistakes::{Mistakes, Section},
};
use http::Uri;

use super::RawFlux;

/// What is followed and called.
#[derive(Clone, Debug)]
pub(crate) struct FluxConfig {
    pub(crate) gitlab: GitLabUrl,
    /// Where `GitRepository` objects are followed.
    pub(crate) namespaces: Vec<String>,
    pub(crate) receivers: ReceiverUrl,
    /// What the Lease is called, and the Secret with the agent's key.
    pub(crate) lease_name: String,
    pub(crate) lease_namespace: String,
}

/// The GitLab whose repositories are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GitLabUrl {
    /// In small letters.
    host: String,
    /// Beneath which projects are, with slashes at both ends.
    base: String,
}

/// Where webhooks of Receivers are called; their own path follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReceiverUrl {
    /// notification-controller itself.
    Direct {
        is_tls: bool,
        /// A name or an address; IPv6 in brackets.
        host: String,
        port: u16,
        /// Without a slash at its end.
        path: String,
    },
    /// The API server, which passes it on: the path of the proxy, without a slash at its end.
    Proxied(String),
}

/// Why a URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFluxUrl {
    #[error("not a URL with http:// or https:// and a host")]
    NotAUrl,
    #[error("write it without a user, query or fragment")]
    Extra,
}

impl FluxConfig {
    /// The section, or what is wrong with it.
    pub(crate) fn check(raw: RawFlux, mistakes: &mut Mistakes) -> Option<Self> {
        let mut section = Section::new("flux", mistakes);
        let gitlab = section.check("gitlab_url", raw.gitlab_url.parse());
        let receivers = raw.webhook_receiver_url.as_deref();
        let receivers = section.check(
            "webhook_receiver_url",
            receivers.unwrap_or(DEFAULT_RECEIVERS).parse(),
        );
        let default = || vec![DEFAULT_NAMESPACE.to_owned()];
        let namespaces = raw.namespaces.unwrap_or_else(default);
        let namespaces = section.each("namespaces", &namespaces, name);
        let lease_name = raw.lease_name.as_deref().unwrap_or(DEFAULT_LEASE);
        let lease_name = section.check("lease_name", name(lease_name));
        let Some(own) = raw.lease_namespace.or_else(own_namespace) else {
            section.mistake(
                "lease_namespace",
                "missing: the namespace of the Lease by which one replica leads, which outside of a pod nobody else knows",
            );
            return None;
        };
        Some(Self {
            gitlab: gitlab?,
            namespaces,
            receivers: receivers?,
            lease_name: lease_name?,
            lease_namespace: section.check("lease_namespace", name(&own))?,
        })
    }
}

impl GitLabUrl {
    /// The project that a repository's URL stands for, if it is one of this GitLab's: over HTTPS, HTTP or SSH.
    pub(crate) fn project(&self, repository: &str) -> Option<FullPath> {
        let uri: Uri = repository.trim().parse().ok()?;
        let path = uri.path();
        let path = match uri.scheme_str()? {
            // Git over SSH knows nothing of the path that GitLab's pages are beneath.
            "ssh" => path.strip_prefix('/')?,
            "https" | "http" => path.strip_prefix(&self.base)?,
            _ => return None,
        };
        if !uri.host()?.eq_ignore_ascii_case(&self.host) {
            return None;
        }
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        path.contains('/').then(|| path.parse().ok())?
    }
}

impl FromStr for GitLabUrl {
    type Err = BadFluxUrl;

    fn from_str(text: &str) -> Result<Self, BadFluxUrl> {
        let uri = url(text)?;
        let path = uri.path().trim_matches('/');
        let base = if path.is_empty() {
            "/".to_owned()
        } else {
            format!("/{path}/")
        };
        let host = uri.host().ok_or(BadFluxUrl::NotAUrl)?;
        let host = host.to_ascii_lowercase();
        Ok(Self { host, base })
    }
}

impl FromStr for ReceiverUrl {
    type Err = BadFluxUrl;

    fn from_str(text: &str) -> Result<Self, BadFluxUrl> {
        if is_proxy(text.trim_end_matches('/')) {
            return Ok(Self::Proxied(text.trim_end_matches('/').to_owned()));
        }
        let uri = url(text)?;
        let path = uri.path().trim_end_matches('/').to_owned();
        if is_proxy(&path) {
            return Ok(Self::Proxied(path));
        }
        let is_tls = uri.scheme_str() == Some("https");
        Ok(Self::Direct {
            is_tls,
            host: uri.host().ok_or(BadFluxUrl::NotAUrl)?.to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path,
        })
    }
}

fn url(text: &str) -> Result<Uri, BadFluxUrl> {
    let uri: Uri = text.trim().parse().map_err(|_| BadFluxUrl::NotAUrl)?;
    let authority = uri.authority().ok_or(BadFluxUrl::NotAUrl)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(BadFluxUrl::NotAUrl);
    }
    let has_user = authority.as_str().contains('@');
    if has_user || uri.query().is_some() || text.contains('#') {
        return Err(BadFluxUrl::Extra);
    }
    Ok(uri)
}

/// Whether the API server passes what is beneath this path on to a service: `/api/v1/namespaces/*/services/*/proxy`.
fn is_proxy(path: &str) -> bool {
    let segments: Vec<_> = path.split('/').collect();
    matches!(
        segments.as_slice(),
        ["", "api", "v1", "namespaces", namespace, "services", service, "proxy"]
            if name(namespace).is_ok() && !service.is_empty() && !service.contains(['?', '#', '%'])
    )
}

/// Of an object.
fn name(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().last().is_some_and(is_plain);
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("not a name of lower-case letters, digits and dashes, at most 63")
    }
}

/// Of the pod that this runs in.
fn own_namespace() -> Option<String> {
    let namespace = std::fs::read_to_string(OWN_NAMESPACE).ok()?;
    Some(namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

const DEFAULT_RECEIVERS: &str = "http://webhook-receiver.flux-system.svc.cluster.local";
const DEFAULT_NAMESPACE: &str = "flux-system";
const DEFAULT_LEASE: &str = "adit-agent-flux";
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_those_of_this_gitlab() {
        let at_root: GitLabUrl = "https://GitLab.example.com".parse().unwrap();
        let beneath: GitLabUrl = "https://example.com/gitlab/".parse().unwrap();
        let cases = [
            (
                &at_root,
                "https://gitlab.example.com/group/app.git",
                Some("group/app"),
            ),
            (
                &at_root,
                "https://gitlab.example.com:8443/a/b/c/",
                Some("a/b/c"),
            ),
            (
                &at_root,
                "ssh://git@GITLAB.example.com:2222/group/app.git",
                Some("group/app"),
            ),
            (
                &at_root,
                "https://gitlab.example.com.evil.test/group/app",
                None,
            ),
            (&at_root, "https://gitlab.example.com/app", None),
            (&at_root, "https://gitlab.example.com/group/../app", None),
            (&at_root, "git@gitlab.example.com:group/app.git", None),
            (
                &beneath,
                "https://example.com/gitlab/group/app",
                Some("group/app"),
            ),
            (&beneath, "https://example.com/group/app", None),
            (
                &beneath,
                "ssh://git@example.com/group/app",
                Some("group/app"),
            ),
        ];
        for (gitlab, url, project) in cases {
            let found = gitlab.project(url);
            assert_eq!(found.as_ref().map(FullPath::as_str), project, "{url}");
        }
    }

    #[test]
    fn receivers_are_called_directly_or_by_the_api_server() {
        let proxy = "/api/v1/namespaces/flux-system/services/http:webhook-receiver:80/proxy";
        let proxied = Ok(ReceiverUrl::Proxied(proxy.into()));
        assert_eq!(proxy.parse(), proxied);
        assert_eq!(format!("https://any.test{proxy}/").parse(), proxied);
        let direct = |is_tls, port, path: &str| {
            Ok(ReceiverUrl::Direct {
                is_tls,
                host: "hooks.test".into(),
                port,
                path: path.into(),
            })
        };
        assert_eq!("http://hooks.test".parse(), direct(false, 80, ""));
        assert_eq!(
            "https://hooks.test:8443/in/".parse(),
            direct(true, 8443, "/in")
        );
        for bad in [
            "hooks.test",
            "/other",
            "ftp://hooks.test",
            "http://me@hooks.test",
            "http://a/?b",
        ] {
            assert!(bad.parse::<ReceiverUrl>().is_err(), "{bad}");
        }
    }
}
