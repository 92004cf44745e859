//! Who makes a request and for which agent, as far as it has come, and the lines that the log has of it. Filled in by `handle.rs`.
//! Invariant: in no line is a token, a query or a body, and nothing is put together for a line that nobody reads.

use std::sync::Arc;

use adit_authority::Who;
use adit_identity::{AgentId, JobIdentity};
use http::{Method, Response};

use super::body::Content;
use crate::{
    authenticate::Bearer,
    call::Call,
    refusal::{Facts, Refusal},
};

/// What is known of a request's caller and agent: nothing, before the token is checked.
#[derive(Debug, Default)]
pub(super) struct Known {
    bearer: Option<Arc<Bearer>>,
    agent: Option<AgentId>,
}

impl Known {
    /// Its token was checked; `agent` is the one that it names, if it does.
    pub(super) fn learn(&mut self, bearer: Arc<Bearer>, agent: Option<AgentId>) -> &Arc<Bearer> {
        self.agent = agent;
        self.bearer.insert(bearer)
    }

    /// At `debug`: the API server answered, or the relay gave what it was asked for.
    pub(super) fn tell_answered(
        &self,
        answer: &Response<Content>,
        method: &Method,
        call: &Call<'_>,
    ) {
        tracing::debug!(
            request.id = %call.id,
            client.addr = %call.client,
            authority = self.authority(),
            job.id = self.job().map(|job| display(job.job)),
            job.project = self.job().map(project),
            user.id = self.user().map(display),
            agent.id = self.agent.map(display),
            tunnel.id = answer.body().tunnel(),
            http.method = %method,
            http.status = answer.status().as_u16(),
            "answered"
        );
    }

    /// At `info`, but for what strangers cause, and what a job causes more often than once in a second: that is at `debug`, and counted
    /// like the rest.
    pub(super) fn tell_refused(
        &self,
        refusal: &Refusal,
        facts: &Facts,
        method: &Method,
        call: &Call<'_>,
    ) {
        let unlogged = if refusal.is_to_a_stranger() {
            None
        } else {
            let told = |bearer: &Arc<Bearer>| bearer.job_use.refusals.told(call.began);
            self.bearer.as_ref().map_or(Some(0), told)
        };
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    request.id = %call.id,
                    client.addr = %call.client,
                    authority = self.authority(),
                    job.id = self.job().map(|job| display(job.job)),
                    job.project = self.job().map(project),
                    user.id = self.user().map(display),
                    agent.id = self.agent.map(display),
                    http.method = %method,
                    http.status = facts.status.as_u16(),
                    refusal = facts.reason,
                    detail = refusal.detail(),
                    error = %refusal,
                    unlogged,
                    "refused"
                )
            };
        }
        if unlogged.is_some() {
            log!(info);
        } else {
            log!(debug);
        }
    }

    fn who(&self) -> Option<&Who> {
        self.bearer.as_ref().map(|bearer| bearer.caller.who())
    }

    fn authority(&self) -> Option<&str> {
        self.who().map(|who| match who {
            Who::Job(job) => &*job.issuer,
            Who::User(user) => &*user.issuer,
        })
    }

    fn job(&self) -> Option<&JobIdentity> {
        match self.who()? {
            Who::Job(job) => Some(job),
            Who::User(_) => None,
        }
    }

    /// A person who calls from outside any job.
    fn user(&self) -> Option<u64> {
        match self.who()? {
            Who::Job(_) => None,
            Who::User(user) => Some(user.user.id.0),
        }
    }
}

/// The path, or the id where that is not known.
fn project(job: &JobIdentity) -> String {
    let path = job.project.path.as_ref();
    path.map_or_else(
        || job.project.id.0.to_string(),
        |path| path.as_str().to_owned(),
    )
}
