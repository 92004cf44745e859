//! Decides what stands in the kubeconfig. Names and shape are those GitLab gives to the file it
//! puts into jobs, so that scripts written for that one work with this one; a mark on each entry
//! tells the two apart.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::ask::Reachable;
use super::mark::{MARKS, Mark};
use super::relay_url::RelayUrl;

/// All that the file is made of.
pub(crate) struct Document<'a> {
    pub(crate) relay: &'a RelayUrl,
    /// PEM.
    pub(crate) ca: Option<&'a [u8]>,
    pub(crate) agents: &'a [Reachable],
    pub(crate) current: Option<&'a str>,
    /// Of all contexts, instead of the agents' own.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) token: &'a SecretString,
}

impl Document<'_> {
    /// The file's content, token and all.
    pub(crate) fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        // Without block scalars: a long token would be folded, and "one line" is what tools grep for.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        let body = serde_saphyr::to_string_with_options(&self.file(), options)?;
        Ok(format!("{COMMENT}\n{body}"))
    }

    fn file(&self) -> File<'_> {
        let cluster = Cluster {
            server: self.relay.kubernetes(),
            certificate_authority_data: self.ca.map(|pem| STANDARD.encode(pem)),
            extensions: MARKS,
        };
        File {
            api_version: "v1",
            kind: "Config",
            clusters: [NamedCluster {
                name: CLUSTER,
                cluster,
            }],
            users: self.agents.iter().map(|agent| self.user(agent)).collect(),
            contexts: self
                .agents
                .iter()
                .map(|agent| self.context(agent))
                .collect(),
            current_context: self.current,
        }
    }

    fn context<'a>(&'a self, agent: &'a Reachable) -> NamedContext<'a> {
        let context = Context {
            cluster: CLUSTER,
            user: user_name(agent),
            namespace: self.namespace.or(agent.default_namespace.as_deref()),
            extensions: MARKS,
        };
        NamedContext {
            name: &agent.context,
            context,
        }
    }

    fn user(&self, agent: &Reachable) -> NamedUser {
        let token = format!("ci:{}:{}", agent.id, self.token.expose_secret());
        NamedUser {
            name: user_name(agent),
            user: User {
                token,
                extensions: MARKS,
            },
        }
    }
}

fn user_name(agent: &Reachable) -> String {
    format!("agent:{}", agent.id)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    api_version: &'a str,
    kind: &'a str,
    clusters: [NamedCluster<'a>; 1],
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext<'a>>,
    #[serde(rename = "current-context", skip_serializing_if = "Option::is_none")]
    current_context: Option<&'a str>,
}

#[derive(Serialize)]
struct NamedCluster<'a> {
    name: &'a str,
    cluster: Cluster,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    extensions: [Mark; 1],
}

#[derive(Serialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Serialize)]
struct User {
    token: String,
    extensions: [Mark; 1],
}

#[derive(Serialize)]
struct NamedContext<'a> {
    name: &'a str,
    context: Context<'a>,
}

#[derive(Serialize)]
struct Context<'a> {
    cluster: &'a str,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    extensions: [Mark; 1],
}

/// First line of each file we write, for people.
const COMMENT: &str = "# Written by `adit kubeconfig`; it holds a token.";
/// What GitLab calls the one cluster of its file.
const CLUSTER: &str = "gitlab";

#[cfg(test)]
mod tests {
    use kube_client::config::Kubeconfig;

    use super::*;
    use crate::kubeconfig::mark::{Writer, writer};

    fn written(ca: Option<&[u8]>, current: Option<&str>) -> Kubeconfig {
        Kubeconfig::from_yaml(&text(ca, current)).unwrap()
    }

    fn text(ca: Option<&[u8]>, current: Option<&str>) -> String {
        let agents = [
            Reachable::new(41, "group/app:demo", Some("web")),
            Reachable::new(7, "group/app:yes", None),
        ];
        let relay = "https://relay.test:8443".parse().unwrap();
        let token = SecretString::from("e30.e30.c2ln");
        let document = Document {
            relay: &relay,
            ca,
            agents: &agents,
            current,
            namespace: None,
            token: &token,
        };
        document.to_yaml().unwrap()
    }

    #[test]
    fn what_is_written_is_known_again() {
        let written = text(Some(b"-----BEGIN"), None);
        assert_eq!(writer(&written), Writer::Adit);
    }

    #[test]
    fn file_is_what_gitlab_would_write() {
        let read = written(None, Some("group/app:demo"));
        assert_eq!(
            (read.kind.as_deref(), read.api_version.as_deref()),
            (Some("Config"), Some("v1"))
        );
        assert_eq!(read.current_context.as_deref(), Some("group/app:demo"));

        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(read.clusters[0].name, "gitlab");
        assert_eq!(
            cluster.server.as_deref(),
            Some("https://relay.test:8443/k8s-proxy")
        );
        assert_eq!(cluster.certificate_authority_data, None);

        let user = read.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(read.auth_infos[0].name, "agent:41");
        assert_eq!(
            user.token.as_ref().unwrap().expose_secret(),
            "ci:41:e30.e30.c2ln"
        );

        let context = read.contexts[0].context.as_ref().unwrap();
        assert_eq!(read.contexts[0].name, "group/app:demo");
        assert_eq!(
            (context.cluster.as_str(), context.user.as_deref()),
            ("gitlab", Some("agent:41"))
        );
        assert_eq!(context.namespace.as_deref(), Some("web"));
        assert_eq!(read.contexts[1].context.as_ref().unwrap().namespace, None);
    }

    #[test]
    fn long_token_stays_on_one_line() {
        let relay = "https://relay.test".parse().unwrap();
        let token = SecretString::from("e30.".repeat(1000));
        let agents = [Reachable::new(1, "g/p:a", None)];
        let document = Document {
            relay: &relay,
            ca: None,
            agents: &agents,
            current: None,
            namespace: None,
            token: &token,
        };
        let line = format!("token: ci:1:{}", token.expose_secret());
        assert!(
            document
                .to_yaml()
                .unwrap()
                .lines()
                .any(|one| one.trim() == line)
        );
    }

    #[test]
    fn nothing_is_current_unless_said_and_the_ca_is_inside() {
        let read = written(Some(b"-----BEGIN"), None);
        assert_eq!(read.current_context, None);
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(
            cluster.certificate_authority_data.as_deref(),
            Some("LS0tLS1CRUdJTg==")
        );
    }
}
