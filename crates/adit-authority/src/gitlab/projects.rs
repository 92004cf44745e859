//! Agents and projects: how GitLab is asked whether an agent may read a project. GitLab answers only who knows its [`ApiSecret`].
//! Invariant: an answer is about one agent's token and one project; nothing runs by it, so there is nothing to end.

use std::{future::Future, sync::Arc};

use adit_identity::FullPath;
use bytes::Bytes;
use http::Request;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    ApiSecret, GitLabError, Question,
    agents::request,
    book::Proof,
    line::{Answer, Asker, Snag},
    vouch::Kind,
};
use crate::{Ended, Token, tag::TokenTag};

const VERIFY: &str = "/api/v4/internal/kubernetes/verify_project_access?id=";

/// The kind. A token is known together with the project that it is asked about for.
#[derive(Debug)]
pub(super) struct Projects {
    secret: Arc<ApiSecret>,
}

/// That an agent may read a project.
#[derive(Clone, Debug)]
pub(super) struct Readable;

impl Proof for Readable {
    /// So that GitLab is asked when there is a push, and not on a schedule.
    fn is_held(&self) -> bool {
        false
    }
}

impl Projects {
    pub(super) const fn new(secret: Arc<ApiSecret>) -> Self {
        Self { secret }
    }

    /// By which the pair is known: neither a path nor a token has a space.
    pub(super) fn question(project: &FullPath, token: Token<'_>) -> SecretString {
        let path = project.as_str().to_ascii_lowercase();
        SecretString::from(format!("{path} {}", token.expose()))
    }
}

impl Kind for Projects {
    type Said = ();
    type Proof = Readable;

    const QUESTION: Question = Question::Project;

    fn ask(
        &self,
        asker: &Asker<'_>,
        question: &SecretString,
    ) -> impl Future<Output = Result<Answer, Snag>> + Send {
        let request = verify(question);
        let asker = *asker;
        async move { self.secret.ask(&asker, request).await }
    }

    fn read(&self, _: &SecretString, _: &[u8]) -> Result<(), GitLabError> {
        Ok(())
    }

    fn first(&self, _: TokenTag, (): ()) -> Readable {
        Readable
    }

    fn next(&self, _: &Readable, (): ()) -> Option<Readable> {
        None
    }

    fn changed(&self, _: &Readable, _: &Readable) {}

    fn end(&self, _: &Readable, _: Ended) {}

    fn has_ended(&self, _: &Readable) -> bool {
        false
    }
}

/// A path has no character but the slash that a query would not have as it is.
fn verify(question: &SecretString) -> Request<Bytes> {
    let (project, token) = question
        .expose_secret()
        .split_once(' ')
        .expect("a question has a space, as it was made");
    let target = format!("{VERIFY}{}", project.replace('/', "%2F"));
    let target = target
        .parse()
        .expect("what a path has may stand in a query");
    request(target, token)
}
