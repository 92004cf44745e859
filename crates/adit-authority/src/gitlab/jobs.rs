//! Jobs' tokens: how GitLab is asked about one, and what changes when its answer does.
//! Invariant: whatever runs by an answer that no longer holds is cut; what the new answer still allows, as the same user, goes on.

use std::{future::Future, sync::Arc};

use adit_identity::{ActAs, AgentId, JobId, JobIdentity};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header::ACCEPT};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::{
    GitLabConfig, GitLabError, Question, answer,
    book::Proof,
    granted::{CiUser, Granted},
    line::{Answer, Asker, Snag},
    over::OverJobs,
    vouch::{Idle, Kind},
};
use crate::{Affected, Caller, Ended, Running, tag::TokenTag};

const ALLOWED_AGENTS: &str = "/api/v4/job/allowed_agents";
/// The job itself.
pub(super) const JOB: &str = "/api/v4/job";
const JOB_TOKEN: HeaderName = HeaderName::from_static("job-token");

/// The kind.
#[derive(Debug)]
pub(super) struct Jobs {
    issuer: Box<str>,
    ci_user: CiUser,
    running: Arc<dyn Running>,
    over: Mutex<OverJobs>,
}

impl Jobs {
    pub(super) fn new(config: &GitLabConfig, running: Arc<dyn Running>) -> Self {
        Self {
            issuer: config.url.clone(),
            ci_user: config.ci_user,
            running,
            over: Mutex::default(),
        }
    }

    /// GitLab has said that a job is over. An answer that was under way may say otherwise, and is not believed.
    pub(super) fn note_over(&self, job: JobId) {
        self.over.lock().note(job, Instant::now());
    }
}

impl Kind for Jobs {
    type Said = (JobIdentity, Granted);
    type Proof = Caller;

    const QUESTION: Question = Question::Job;
    /// A deploy may build for ten minutes between two calls of kubectl.
    const IDLE: Idle = Idle::AskedAbout;

    fn ask(
        &self,
        asker: &Asker<'_>,
        token: &SecretString,
    ) -> impl Future<Output = Result<Answer, Snag>> + Send {
        let asker = *asker;
        let request = request(ALLOWED_AGENTS, token);
        async move { asker.ask(request).await }
    }

    fn read(&self, _: &SecretString, body: &[u8]) -> Result<Self::Said, GitLabError> {
        let said = answer::read(body, &self.issuer, self.ci_user)?;
        if self.over.lock().contains(said.0.job, Instant::now()) {
            return Err(GitLabError::Ended);
        }
        Ok(said)
    }

    fn first(&self, tag: TokenTag, (job, granted): Self::Said) -> Caller {
        Caller::granted_agents(job, granted, tag.owner())
    }

    fn next(&self, old: &Caller, (job, granted): Self::Said) -> Option<Caller> {
        let is_same_job = old.job().is_some_and(|before| **before == job);
        let is_same = is_same_job && old.granted() == Some(&granted);
        (!is_same).then(|| old.after_change(job, granted))
    }

    fn changed(&self, old: &Caller, new: &Caller) {
        old.end(Ended::Changed);
        let affected = affected(old, new);
        if affected.is_empty() {
            return;
        }
        log(
            old,
            "GitLab has taken agents away from a job, or lets it act as somebody else there",
        );
        self.running
            .cut(old.owner(), Affected::Only(&affected), Ended::Changed);
    }

    fn end(&self, caller: &Caller, why: Ended) {
        caller.end(why);
        log(caller, "a job's access has ended");
        self.running.cut(caller.owner(), Affected::All, why);
    }

    fn has_ended(&self, caller: &Caller) -> bool {
        caller.ended().is_some_and(|why| why != Ended::Changed)
    }
}

impl Proof for Caller {
    fn is_held(&self) -> bool {
        self.is_shared()
    }
}

fn log(caller: &Caller, what: &'static str) {
    let job = caller.job();
    tracing::info!(
        job.id = job.map(|job| job.job.0),
        job.project = job.map(|job| job.project.id.0),
        ended = caller.ended().map(Ended::as_str),
        "{what}"
    );
}

/// What is asked in a job's name.
pub(super) fn request(target: &'static str, token: &SecretString) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = http::Uri::from_static(target);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let token = HeaderValue::from_str(token.expose_secret());
    let mut token = token.expect("a token has visible characters only");
    token.set_sensitive(true);
    headers.insert(JOB_TOKEN, token);
    request
}

/// The agents at which the job could act before and cannot now, or only as somebody who may do less.
fn affected(old: &Caller, new: &Caller) -> Vec<AgentId> {
    let act_as = |caller: &Caller, id| {
        let granted = caller.granted()?;
        granted.act_as(id, granted.agent(id)?, caller.job()?).ok()
    };
    let is_affected = |id: &AgentId| {
        let now = act_as(new, *id);
        act_as(old, *id).is_some_and(|before| !now.is_some_and(|now| covers(&now, &before)))
    };
    let agents = old.granted().into_iter().flat_map(Granted::iter);
    agents.map(|(id, _)| id).filter(is_affected).collect()
}

/// Whether one who acts as `now` is also whoever acted as `before`: a user who is given a role, or a job whose environment GitLab has stored meanwhile is in more
/// groups than it was, and what it began goes on.
pub(super) fn covers(now: &ActAs, before: &ActAs) -> bool {
    match (now, before) {
        (ActAs::Agent, ActAs::Agent) => true,
        (ActAs::Impersonate(now), ActAs::Impersonate(before)) => {
            let has_group = |group| now.groups().contains(group);
            let has_extra = |extra| now.extra().contains(extra);
            (now.user(), now.uid()) == (before.user(), before.uid())
                && before.groups().iter().all(has_group)
                && before.extra().iter().all(has_extra)
        }
        (ActAs::Agent, ActAs::Impersonate(_)) | (ActAs::Impersonate(_), ActAs::Agent) => false,
    }
}
