//! Asks GitLab which agent the job's environment has: that of its settings, into which GitLab puts what `environment: kubernetes: agent:`
//! in the pipeline of an earlier deployment named. Called for a job that may use several agents and was not told which is meant.
//!
//! One GET of GitLab's environments, the way that kubectl goes. The invariant: the job's token goes to the GitLab that
//! the job is of, over TLS or within this machine, and is in no error.

use adit_process::tls::{ClientTls, H2, HTTP_1_1, TlsError, TrustRoots};
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::relay_url::Parts;
use super::way::{self, BadWay};
use crate::exchange::{NoAnswer, exchange};

/// The environment that a job is for, and the GitLab that knows it.
#[derive(Debug)]
pub(super) struct Environment {
    name: String,
    /// Of GitLab's API.
    api: String,
    project: String,
    token: SecretString,
    roots: TrustRoots,
}

/// The agent that it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: u64,
    /// `<config project path>:<agent name>`
    pub(super) context: String,
}

/// Why GitLab has not said it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWord {
    #[error("CI_API_V4_URL is not a URL that begins with https://")]
    Address,
    #[error("CI_JOB_TOKEN holds a character that no token has")]
    Token,
    #[error("its certificate cannot be checked")]
    Tls(#[from] TlsError),
    #[error("the way to it is not set up")]
    Way(#[from] BadWay),
    #[error("it did not answer")]
    Unanswered(#[from] NoAnswer),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("its answer is not a list of environments")]
    Answer(#[from] serde_json::Error),
}

/// What GitLab says of one. Whoever may not see the agent is not told of it.
#[derive(Deserialize)]
struct Listed {
    name: String,
    cluster_agent: Option<ClusterAgent>,
}

#[derive(Deserialize)]
struct ClusterAgent {
    id: u64,
    name: String,
    config_project: ConfigProject,
}

#[derive(Deserialize)]
struct ConfigProject {
    path_with_namespace: String,
}

impl Environment {
    /// That of this job, if it is one of GitLab's and has one.
    pub(super) fn of_job() -> Option<Self> {
        Self::among(|name| std::env::var(name).ok())
    }

    fn among(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        Some(Self {
            name: set("CI_ENVIRONMENT_NAME")?,
            api: set("CI_API_V4_URL")?,
            project: set("CI_PROJECT_ID")?,
            token: set("CI_JOB_TOKEN")?.into(),
            // GitLab's runner puts it there when GitLab's certificate is of a CA of its own.
            roots: set("CI_SERVER_TLS_CA_FILE").map_or(TrustRoots::System, |file| {
                TrustRoots::SystemAnd(file.into())
            }),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The agent that it names, if it names one.
    pub(super) async fn agent(&self) -> Result<Option<Named>, NoWord> {
        let url = self.url().ok_or(NoWord::Address)?;
        let parts = Parts::of(&url).ok_or(NoWord::Address)?;
        let tls = ClientTls::new(&self.roots, &[H2, HTTP_1_1])?;
        let dialler = way::dialler(&parts, &tls, way::proxy(&parts)?)?;
        let answer = exchange(&dialler, self.request(url)?).await?;
        match answer.status {
            StatusCode::OK => Ok(self.named(&answer.body)?),
            status => Err(NoWord::Refused(status)),
        }
    }

    fn url(&self) -> Option<Uri> {
        let api = self.api.trim_end_matches('/');
        let project = utf8_percent_encode(&self.project, NON_ALPHANUMERIC);
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let url = format!("{api}/projects/{project}/environments?name={name}");
        url.parse().ok()
    }

    fn request(&self, url: Uri) -> Result<Request<Full<Bytes>>, NoWord> {
        let token = HeaderValue::try_from(self.token.expose_secret());
        let mut token = token.map_err(|_| NoWord::Token)?;
        token.set_sensitive(true);
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        request.headers_mut().insert(JOB_TOKEN, token);
        Ok(request)
    }

    fn named(&self, body: &[u8]) -> Result<Option<Named>, serde_json::Error> {
        let listed: Vec<Listed> = serde_json::from_slice(body)?;
        let mut listed = listed.into_iter().filter(|one| one.name == self.name);
        let agent = listed.find_map(|one| one.cluster_agent);
        Ok(agent.map(|agent| {
            let project = agent.config_project.path_with_namespace;
            Named {
                id: agent.id,
                context: format!("{project}:{}", agent.name),
            }
        }))
    }
}

const JOB_TOKEN: HeaderName = HeaderName::from_static("job-token");

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(changed: &[(&str, &str)]) -> Option<Environment> {
        let usual = [
            ("CI_ENVIRONMENT_NAME", "review/a b&c"),
            ("CI_API_V4_URL", "https://gitlab.test/root/api/v4/"),
            ("CI_PROJECT_ID", "150"),
            ("CI_JOB_TOKEN", "glcbt-64_opaque"),
        ];
        Environment::among(|name| {
            let mut all = changed.iter().chain(&usual);
            let found = all.find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn gitlab_is_asked_by_the_jobs_own_token() {
        let environment = environment(&[]).unwrap();
        let request = environment.request(environment.url().unwrap()).unwrap();
        assert_eq!(
            request.uri(),
            "https://gitlab.test/root/api/v4/projects/150/environments?name=review%2Fa%20b%26c"
        );
        let token = &request.headers()["job-token"];
        assert!(token == "glcbt-64_opaque" && token.is_sensitive());
        assert!(!format!("{environment:?}").contains("opaque"));
    }

    #[test]
    fn where_a_variable_is_missing_there_is_no_environment() {
        for name in [
            "CI_ENVIRONMENT_NAME",
            "CI_API_V4_URL",
            "CI_PROJECT_ID",
            "CI_JOB_TOKEN",
        ] {
            assert!(environment(&[(name, "")]).is_none(), "{name}");
        }
    }

    #[tokio::test]
    async fn token_is_sent_over_no_open_way() {
        for url in ["http://gitlab.test/api/v4", "gitlab.test", ""] {
            let Some(environment) = environment(&[("CI_API_V4_URL", url)]) else {
                continue;
            };
            let refused = environment.agent().await;
            assert!(matches!(refused, Err(NoWord::Address)), "{refused:?}");
        }
    }

    #[test]
    fn agent_is_known_by_its_id_and_its_context() {
        let environment = environment(&[("CI_ENVIRONMENT_NAME", "prod")]).unwrap();
        let named = |body: &str| environment.named(body.as_bytes()).unwrap();
        let agent = r#"{"id": 41, "name": "demo", "config_project": {"id": 7, "path_with_namespace": "group/app"}}"#;
        let list =
            |name: &str| format!(r#"[{{"id": 1, "name": "{name}", "cluster_agent": {agent}}}]"#);
        let demo = Named {
            id: 41,
            context: "group/app:demo".to_owned(),
        };
        assert_eq!(named(&list("prod")), Some(demo));
        for other in [
            list("prod-eu").as_str(),
            "[]",
            r#"[{"id": 1, "name": "prod"}]"#,
            r#"[{"id": 1, "name": "prod", "cluster_agent": null}]"#,
        ] {
            assert_eq!(named(other), None, "{other}");
        }
        assert!(environment.named(b"{}").is_err());
    }
}
