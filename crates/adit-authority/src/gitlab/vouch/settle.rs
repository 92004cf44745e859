//! What GitLab's answer, or its silence, means for a token. Called by [`super::vouch`] when a call has ended.
//! Invariant: a no strikes a token out, whatever was known of it; anything that is neither yes nor no leaves what was known.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{Ask, Kind, Vouch};
use crate::{
    Ended,
    gitlab::{
        GitLabError,
        book::{Begun, Proved, Verdict},
        limits::Whose,
        line::{Answer, Said, Snag},
    },
};

impl<K: Kind> Vouch<K> {
    /// What an answer means for a token, and for whatever runs under it.
    pub(super) fn settle(
        &self,
        ask: &Ask<K::Proof>,
        answer: Result<Answer, Snag>,
    ) -> Verdict<K::Proof> {
        let begun = &ask.begun;
        let (body, rest) = match answer {
            Ok(Answer {
                said: Said::Yes(body),
                rest,
            }) => (body, rest),
            Ok(Answer {
                said: Said::No(status, _),
                ..
            }) => return self.denied(ask, self.kind.refusal(status)),
            Err(snag) => return self.troubled(ask, snag),
        };
        match self.kind.read(&begun.token, &body) {
            Ok(said) => {
                self.forgive(ask);
                self.proved(begun, said, body.len(), rest)
            }
            Err(error) if error.is_no() => self.denied(ask, error),
            Err(error) => self.not_understood(begun, error),
        }
    }

    fn proved(
        &self,
        begun: &Begun<K::Proof>,
        said: K::Said,
        weight: usize,
        rest: Option<Duration>,
    ) -> Verdict<K::Proof> {
        let now = Instant::now();
        let ask_at = self.next_turn(begun.due_at, now);
        let ask_at = ask_at.max(now + rest.unwrap_or_default());
        let proof = |old: Option<&K::Proof>| match old {
            None => Some(self.kind.first(begun.tag, said)),
            Some(old) => self.kind.next(old, said),
        };
        let proved = self.book.lock().proved(begun, weight, (now, ask_at), proof);
        match proved {
            Proved::First(proof) | Proved::Same(proof) => Ok(proof),
            Proved::Changed { old, new } => {
                self.ended.count(Ended::Changed);
                self.kind.changed(&old, &new);
                Ok(new)
            }
            Proved::Outgrown(old) => {
                self.end(&old, Ended::Changed);
                Err(GitLabError::Busy)
            }
            Proved::Lost(GitLabError::Ended) => Err(K::ENDED),
            Proved::Lost(error) => Err(error),
        }
    }

    fn denied(&self, ask: &Ask<K::Proof>, error: GitLabError) -> Verdict<K::Proof> {
        let now = Instant::now();
        self.doubt(ask, now);
        let until = now + self.times.refused_for;
        let known = self.book.lock().denied(&ask.begun, error, until);
        if let Some(proof) = known {
            self.end(&proof, Ended::Over);
        }
        Err(error)
    }

    fn troubled(&self, ask: &Ask<K::Proof>, snag: Snag) -> Verdict<K::Proof> {
        let (begun, now) = (&ask.begun, Instant::now());
        let error = GitLabError::from(snag);
        let (ask_at, refusal) = match snag.whose {
            Whose::Relay => (self.next_turn(begun.due_at, now), None),
            Whose::Token => {
                self.doubt(ask, now);
                let until = now + snag.retry_after;
                (until, Some((error, until)))
            }
        };
        self.book.lock().troubled(begun, ask_at, refusal);
        Err(error)
    }

    /// GitLab's answer cannot be believed. It says nothing about what GitLab said before.
    fn not_understood(&self, begun: &Begun<K::Proof>, error: GitLabError) -> Verdict<K::Proof> {
        tracing::warn!(%error, question = K::QUESTION.as_str(), "an answer of GitLab's cannot be used");
        let now = Instant::now();
        let refusal = Some((error, now + self.times.refused_for));
        let ask_at = self.next_turn(begun.due_at, now);
        self.book.lock().troubled(begun, ask_at, refusal);
        Err(error)
    }

    fn doubt(&self, ask: &Ask<K::Proof>, now: Instant) {
        if let Some(by) = ask.by {
            self.addresses.doubt(by, now);
        }
    }

    /// Nobody waits any more, or there is no room to wait.
    pub(super) fn given_up(&self, begun: &Begun<K::Proof>) -> Verdict<K::Proof> {
        let ask_at = Instant::now();
        self.book.lock().troubled(begun, ask_at, None);
        Err(GitLabError::Busy)
    }
}

impl GitLabError {
    /// What a no about a token means.
    pub(in crate::gitlab) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::OtherKind,
            _ => Self::NotAccepted,
        }
    }
}

impl From<Snag> for GitLabError {
    fn from(snag: Snag) -> Self {
        Self::Unavailable {
            why: snag.why,
            retry_after: snag.retry_after,
        }
    }
}
