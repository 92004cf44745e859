//! Agents' tokens: how GitLab is asked whose one is, and what ends with it. GitLab answers only who knows its [`ApiSecret`].
//! Invariant: that GitLab does not trust this relay says nothing about an agent.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use adit_identity::{AgentId, FullPath, Label, ProjectId};
use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::{
    AgentNames, ApiSecret, GitLabError, Question,
    answer::Id,
    book::Proof,
    gitaly::{RawRepository, RawServer, Whereabouts},
    line::{Answer, Asker, Said, Snag},
    names::{Named, Vouched},
    vouch::Kind,
};
use crate::{Ended, tag::TokenTag};

/// Where GitLab is asked whose an agent's token is. GitLab 18.2 and later.
pub(super) const NEWER: &str = "/api/v4/internal/agents/agentk/agent_info";
/// All before, and some after.
pub(super) const OLDER: &str = "/api/v4/internal/kubernetes/agent_info";

/// The kind.
#[derive(Debug)]
pub(super) struct AgentTokens {
    secret: Arc<ApiSecret>,
    names: Arc<AgentNames>,
    /// Which of the two paths answered last.
    is_older: AtomicBool,
}

/// An agent whose token GitLab knows. Clones end together; while there is one, GitLab is asked again on a schedule.
#[derive(Clone, Debug)]
pub struct GitLabAgent(Arc<Known>);

#[derive(Debug)]
struct Known {
    said: AgentInfo,
    ended: watch::Sender<Option<Ended>>,
}

/// What GitLab says of an agent.
#[derive(Clone, Debug)]
pub(super) struct AgentInfo {
    id: AgentId,
    name: Label,
    project: ProjectId,
    project_path: Option<FullPath>,
    repository: Whereabouts,
}

/// The same as it is sent. What is said of Gitaly says nothing of the agent: the one is believed whatever the other is.
#[derive(Deserialize)]
struct RawInfo<'a> {
    agent_id: Id,
    agent_name: String,
    project_id: Id,
    #[serde(borrow)]
    gitaly_info: Option<&'a RawValue>,
    #[serde(borrow)]
    gitaly_repository: Option<&'a RawValue>,
}

impl GitLabAgent {
    /// Its id, which jobs' answers name, too.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.0.said.id
    }

    /// The project that holds its configuration.
    #[must_use]
    pub fn project(&self) -> ProjectId {
        self.0.said.project
    }

    /// `<config project path>:<agent name>`, as people know it; the name alone if GitLab does not say where it belongs.
    #[must_use]
    pub fn context(&self) -> String {
        let AgentInfo {
            name, project_path, ..
        } = &self.0.said;
        match project_path {
            Some(path) => format!("{path}:{name}"),
            None => name.to_string(),
        }
    }

    /// Waits until GitLab takes its word back, and says why. Cancel-safe.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.0.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await;
        // Never an error: the sender is in what we hold.
        why.ok().and_then(|why| *why).unwrap_or(Ended::Over)
    }

    fn new(said: AgentInfo) -> Self {
        Self(Arc::new(Known {
            said,
            ended: watch::Sender::new(None),
        }))
    }
}

impl AgentTokens {
    pub(super) fn new(secret: Arc<ApiSecret>, names: Arc<AgentNames>) -> Self {
        Self {
            secret,
            names,
            is_older: AtomicBool::new(false),
        }
    }

    fn note(&self, said: &AgentInfo) {
        let (path, name) = (said.project_path.clone(), said.name.clone());
        let vouched = Vouched {
            project: said.project,
            named: Named { path, name },
            repository: said.repository.clone(),
        };
        self.names.note(said.id, vouched);
    }
}

impl Kind for AgentTokens {
    type Said = AgentInfo;
    type Proof = GitLabAgent;

    const QUESTION: Question = Question::Agent;

    async fn ask(&self, asker: &Asker<'_>, token: &SecretString) -> Result<Answer, Snag> {
        let is_older = self.is_older.load(Ordering::Relaxed);
        let (usual, other) = if is_older {
            (OLDER, NEWER)
        } else {
            (NEWER, OLDER)
        };
        let ask = |path| {
            let request = request(Uri::from_static(path), token.expose_secret());
            self.secret.ask(asker, request)
        };
        let answer = ask(usual).await?;
        if !is_not_found(&answer) {
            return Ok(answer);
        }
        // Of another version than it was, or than we thought.
        asker.another_turn().await;
        let answer = ask(other).await?;
        if !is_not_found(&answer) {
            self.is_older.store(!is_older, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn read(&self, _: &SecretString, body: &[u8]) -> Result<AgentInfo, GitLabError> {
        let bad = GitLabError::BadAnswer;
        let raw: RawInfo<'_> = serde_json::from_slice(body).map_err(|_| bad("agent"))?;
        let server: Option<RawServer> = lenient(raw.gitaly_info);
        let repository: Option<RawRepository> = lenient(raw.gitaly_repository);
        let path = repository
            .as_ref()
            .and_then(|repository| repository.gl_project_path.clone());
        Ok(AgentInfo {
            id: AgentId(raw.agent_id.get()),
            name: raw.agent_name.parse().map_err(|_| bad("agent_name"))?,
            project: ProjectId(raw.project_id.get()),
            // For people: nothing is decided by it.
            project_path: path.and_then(|path| path.parse().ok()),
            repository: repository
                .zip(server)
                .map(|(repository, server)| repository.at(server)),
        })
    }

    fn first(&self, _: TokenTag, said: AgentInfo) -> GitLabAgent {
        self.note(&said);
        GitLabAgent::new(said)
    }

    fn next(&self, old: &GitLabAgent, said: AgentInfo) -> Option<GitLabAgent> {
        // A project that is renamed or moved keeps its id, and its agents' tunnels; its repository may be elsewhere now.
        self.note(&said);
        let is_same = old.id() == said.id && old.project() == said.project;
        (!is_same).then(|| GitLabAgent::new(said))
    }

    fn changed(&self, old: &GitLabAgent, _: &GitLabAgent) {
        self.end(old, Ended::Changed);
    }

    fn end(&self, agent: &GitLabAgent, why: Ended) {
        tracing::info!(
            agent.id = %agent.id(),
            ended = why.as_str(),
            "an agent's token is no longer accepted"
        );
        agent.0.ended.send_replace(Some(why));
    }

    fn has_ended(&self, agent: &GitLabAgent) -> bool {
        agent.0.ended.borrow().is_some()
    }
}

impl Proof for GitLabAgent {
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// What is asked in an agent's name.
pub(super) fn request(target: Uri, token: &str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let bearer = HeaderValue::try_from(format!("Bearer {token}"));
    let mut bearer = bearer.expect("a token has visible characters only");
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    request
}

fn lenient<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn is_not_found(answer: &Answer) -> bool {
    matches!(answer.said, Said::No(StatusCode::NOT_FOUND, _))
}
