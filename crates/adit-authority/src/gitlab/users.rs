//! Users' tokens and browsers' sessions: how GitLab is asked whose one is and whether they may use one agent, and what changes when its answer does. GitLab
//! answers only who knows its [`ApiSecret`].
//! Invariant: an answer lets its user use the agent that was asked about, and no other; whatever runs by an answer that no longer holds
//! is cut.

use std::{collections::HashMap, future::Future, sync::Arc};

use adit_identity::{
    AccessType, ActAs, AgentId, GroupId, ProjectId, RoleNames, User, UserId, UserIdentity,
    UserRoles,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    ApiSecret, GitLabConfig, GitLabError, Question, Trouble,
    answer::{self, Id},
    jobs::covers,
    line::{Answer, Asker, Said, Snag},
    vouch::Kind,
};
use crate::{Affected, Caller, Ended, Running, Token, Who, tag::TokenTag};

const AUTHORIZE: &str = "/api/v4/internal/kubernetes/authorize_proxy_user";

/// The kind. A token is known together with the agent that it was shown for: GitLab decides about both at once.
#[derive(Debug)]
pub(super) struct Users {
    issuer: Box<str>,
    secret: Arc<ApiSecret>,
    running: Arc<dyn Running>,
}

/// What GitLab lets a user do: use this agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserGrant {
    pub(crate) agent: AgentId,
    pub(crate) config_project: ProjectId,
    pub(crate) act_as: ActAs,
}

/// What GitLab is asked.
#[derive(Serialize)]
struct Query<'a> {
    agent_id: u64,
    access_type: &'static str,
    access_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<&'a str>,
}

/// The part of it that the answer must be about.
#[derive(Deserialize)]
struct Asked {
    agent_id: u64,
    access_type: String,
}

/// The parts of its answer; what else there is, GitLab may add at will.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    agent: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    access_as: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawAgent {
    id: Id,
    config_project: RawProject,
}

#[derive(Deserialize)]
struct RawProject {
    id: Id,
}

#[derive(Deserialize)]
struct RawUser {
    id: Id,
    username: String,
}

#[derive(Deserialize)]
struct RawRoles {
    #[serde(default)]
    projects: Vec<RawRolesIn>,
    #[serde(default)]
    groups: Vec<RawRolesIn>,
}

#[derive(Deserialize)]
struct RawRolesIn {
    id: Id,
    roles: Vec<Box<str>>,
}

impl Users {
    pub(super) fn new(
        config: &GitLabConfig,
        secret: Arc<ApiSecret>,
        running: Arc<dyn Running>,
    ) -> Self {
        Self {
            issuer: config.url.clone(),
            secret,
            running,
        }
    }

    /// The question about a token, as GitLab takes it: by this text it is known, too.
    pub(super) fn question(agent: AgentId, token: Token<'_>) -> SecretString {
        text(&Query {
            agent_id: agent.0,
            access_type: AccessType::PersonalAccessToken.as_str(),
            access_key: token.expose(),
            csrf_token: None,
        })
    }

    /// The same about a browser's session.
    pub(super) fn question_of_session(
        agent: AgentId,
        cookie: &SecretString,
        csrf_token: &SecretString,
    ) -> SecretString {
        text(&Query {
            agent_id: agent.0,
            access_type: AccessType::SessionCookie.as_str(),
            access_key: cookie.expose_secret(),
            csrf_token: Some(csrf_token.expose_secret()),
        })
    }
}

fn text(query: &Query<'_>) -> SecretString {
    let text = serde_json::to_string(query);
    SecretString::from(text.expect("texts and a number always serialise"))
}

/// What a question is about.
fn asked_in(question: &SecretString) -> Result<(AgentId, AccessType), GitLabError> {
    let asked: Asked = serde_json::from_str(question.expose_secret()).map_err(|_| bad("agent"))?;
    let session = AccessType::SessionCookie;
    let access_type = if asked.access_type == session.as_str() {
        session
    } else {
        AccessType::PersonalAccessToken
    };
    Ok((AgentId(asked.agent_id), access_type))
}

impl Kind for Users {
    type Said = (UserIdentity, UserGrant);
    type Proof = Caller;

    const QUESTION: Question = Question::User;
    const ENDED: GitLabError = GitLabError::UserNotAccepted;

    fn ask(
        &self,
        asker: &Asker<'_>,
        question: &SecretString,
    ) -> impl Future<Output = Result<Answer, Snag>> + Send {
        let request = request(question);
        let asker = *asker;
        async move {
            match self.secret.ask(&asker, request).await {
                // Of a cookie that is none of GitLab's own.
                Err(snag) if snag.why == Trouble::NotUnderstood => Ok(Answer {
                    said: Said::No(StatusCode::BAD_REQUEST, Bytes::new()),
                    rest: None,
                }),
                answer => answer,
            }
        }
    }

    /// GitLab tells apart whether the token is bad, the user kept out, or the agent unknown. Callers are not told: they could find out
    /// by it which agents there are.
    fn refusal(&self, status: StatusCode) -> GitLabError {
        tracing::debug!(
            http.status = status.as_u16(),
            "GitLab does not let a user use an agent: 400 and 401 are about the token or session, 403 about the agent's user_access, 404 about the agent"
        );
        GitLabError::UserNotAccepted
    }

    fn read(&self, question: &SecretString, body: &[u8]) -> Result<Self::Said, GitLabError> {
        let parts: Parts<'_> = serde_json::from_slice(body).map_err(|_| bad("body"))?;
        let agent: RawAgent = answer::part(parts.agent, "agent")?;
        let raw: RawUser = answer::part(parts.user, "user")?;
        let (asked, access_type) = asked_in(question)?;
        if agent.id.get() != asked.0 {
            return Err(bad("agent"));
        }
        let user = UserIdentity {
            issuer: self.issuer.clone(),
            user: User {
                id: UserId(raw.id.get()),
                login: answer::login(raw.username)?,
            },
            access_type,
        };
        let config_project = ProjectId(agent.config_project.id.get());
        let act_as = match roles(parts.access_as)? {
            None => ActAs::Agent,
            Some(roles) => user
                .impersonation(asked, config_project, &roles)
                .map(ActAs::Impersonate)
                .map_err(|_| bad("user"))?,
        };
        let grant = UserGrant {
            agent: asked,
            config_project,
            act_as,
        };
        Ok((user, grant))
    }

    fn first(&self, tag: TokenTag, (user, grant): Self::Said) -> Caller {
        Caller::granted_agent(user, grant, tag.owner())
    }

    fn next(&self, old: &Caller, (user, grant): Self::Said) -> Option<Caller> {
        let is_same_user = matches!(old.who(), Who::User(before) if **before == user);
        let is_same = is_same_user && old.user_grant() == Some(&grant);
        (!is_same).then(|| old.after_change_of_user(user, grant))
    }

    fn changed(&self, old: &Caller, new: &Caller) {
        old.end(Ended::Changed);
        let (Some(before), Some(now)) = (old.user_grant(), new.user_grant()) else {
            return;
        };
        if !covers(&now.act_as, &before.act_as) {
            log(
                old,
                "GitLab lets a user act as somebody else, or with fewer roles",
            );
            self.running.cut(old.owner(), Affected::All, Ended::Changed);
        }
    }

    fn end(&self, caller: &Caller, why: Ended) {
        caller.end(why);
        log(caller, "a user's access to an agent has ended");
        self.running.cut(caller.owner(), Affected::All, why);
    }

    fn has_ended(&self, caller: &Caller) -> bool {
        caller.ended().is_some_and(|why| why != Ended::Changed)
    }
}

fn log(caller: &Caller, what: &'static str) {
    let (Who::User(user), Some(grant)) = (caller.who(), caller.user_grant()) else {
        return;
    };
    tracing::info!(
        user.id = %user.user.id,
        agent.id = %grant.agent,
        ended = caller.ended().map(Ended::as_str),
        "{what}"
    );
}

fn request(question: &SecretString) -> Request<Bytes> {
    let body = Bytes::copy_from_slice(question.expose_secret().as_bytes());
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(AUTHORIZE);
    for name in [ACCEPT, CONTENT_TYPE] {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(name, json);
    }
    request
}

/// Those of `access_as: user`; none for `access_as: agent`.
fn roles(raw: Option<&RawValue>) -> Result<Option<UserRoles>, GitLabError> {
    let modes: HashMap<String, &RawValue> = answer::part(raw, "access_as")?;
    let mut modes = modes.into_iter();
    let (Some((name, options)), None) = (modes.next(), modes.next()) else {
        return Err(bad("access_as"));
    };
    match name.as_str() {
        "agent" => {
            let options: HashMap<String, IgnoredAny> = answer::part(Some(options), "access_as")?;
            options.is_empty().then_some(None).ok_or(bad("access_as"))
        }
        "user" => {
            let raw: RawRoles = answer::part(Some(options), "access_as")?;
            Ok(Some(UserRoles {
                projects: roles_in(raw.projects, ProjectId)?,
                groups: roles_in(raw.groups, GroupId)?,
            }))
        }
        _ => Err(bad("access_as")),
    }
}

fn roles_in<T>(raw: Vec<RawRolesIn>, id: fn(u64) -> T) -> Result<Vec<(T, RoleNames)>, GitLabError> {
    let roles_in = |raw: RawRolesIn| {
        let roles = answer::roles(raw.roles).map_err(|_| bad("access_as"))?;
        Ok((id(raw.id.get()), roles))
    };
    raw.into_iter().map(roles_in).collect()
}

const fn bad(part: &'static str) -> GitLabError {
    GitLabError::BadAnswer(part)
}
