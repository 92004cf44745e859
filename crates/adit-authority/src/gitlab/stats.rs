//! What happened so far, for metrics. Counted where it happens, read by the relay at each scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Trouble,
    gitaly::GitalyError,
    line::{Answer, Said, Snag},
};
use crate::Ended;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All there are, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The metric's label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    )*};
}

words! {
    /// What GitLab is asked about.
    Question {
        /// Which agents a job may use.
        Job = "job",
        /// Whose an agent's token is.
        Agent = "agent",
        /// Whether a user may use an agent.
        User = "user",
        /// Whether an agent may read a project.
        Project = "project",
        /// In which project a job is, and on which ref.
        Place = "place",
        /// What an agent's file says; and GitLab is handed it.
        AgentFile = "agent_file",
    }

    /// How a call ended.
    Outcome {
        /// With 200.
        Yes = "yes",
        /// With 401, 403 or 404.
        No = "no",
        /// No connection, or one that broke.
        Unreachable = "unreachable",
        /// No answer in time.
        TimedOut = "timed_out",
        /// A status 5xx.
        ServerError = "server_error",
        /// A status that means nothing here.
        UnexpectedStatus = "unexpected_status",
        /// With 401, about this relay.
        NotTrusted = "not_trusted",
        /// With 400, 413 or 431.
        NotUnderstood = "not_understood",
        /// 429.
        RateLimited = "rate_limited",
        /// An answer that nobody reads to its end.
        TooLong = "too_long",
        /// Not made: GitLab is left alone.
        LeftAlone = "left_alone",
    }

    /// How a call to Gitaly ended.
    GitalyOutcome {
        /// With what was asked for, or with that there is none.
        Answered = "answered",
        /// It does not accept the relay's token.
        Denied = "denied",
        /// No connection, or one that broke, or it is not there for anybody.
        Unreachable = "unreachable",
        /// No answer in time.
        TimedOut = "timed_out",
        /// An error of its own, or an answer of no use.
        Failed = "failed",
        /// Not made: it is left alone.
        LeftAlone = "left_alone",
    }

    /// Whether GitLab is asked.
    BreakerState {
        /// It answers.
        Closed = "closed",
        /// It is left alone.
        Open = "open",
        /// One call is out to see whether it answers again.
        Probing = "probing",
    }

    /// How the answer about a token was found.
    Lookup {
        /// It was known, and asked about not long ago.
        Known = "known",
        /// GitLab was asked.
        Asked = "asked",
        /// Somebody else's call for the same token was waited for.
        Joined = "joined",
        /// GitLab did not answer in time, and what it said before still holds.
        Honoured = "honoured",
        /// GitLab refused it a moment ago.
        Refused = "refused",
        /// GitLab was not asked: a limit, or it is left alone.
        Withheld = "withheld",
    }
}

impl Outcome {
    pub(super) const fn of(answer: &Result<Answer, Snag>) -> Self {
        match answer {
            Ok(Answer {
                said: Said::Yes(_), ..
            }) => Self::Yes,
            Ok(Answer {
                said: Said::No(..), ..
            }) => Self::No,
            Err(snag) => match snag.why {
                Trouble::Unreachable => Self::Unreachable,
                Trouble::TimedOut => Self::TimedOut,
                Trouble::ServerError => Self::ServerError,
                Trouble::UnexpectedStatus => Self::UnexpectedStatus,
                Trouble::NotTrusted => Self::NotTrusted,
                Trouble::NotUnderstood => Self::NotUnderstood,
                Trouble::RateLimited => Self::RateLimited,
                Trouble::TooLong => Self::TooLong,
                Trouble::LeftAlone => Self::LeftAlone,
            },
        }
    }
}

impl GitalyOutcome {
    pub(super) const fn of<T>(answer: &Result<T, GitalyError>) -> Self {
        match answer {
            Ok(_) => Self::Answered,
            Err(error) => Self::of_error(error),
        }
    }

    pub(super) const fn of_error(error: &GitalyError) -> Self {
        match error {
            // That a file is of no use is an answer.
            GitalyError::TooLarge | GitalyError::NotAFile => Self::Answered,
            GitalyError::Denied(_) => Self::Denied,
            GitalyError::Unreachable(_) => Self::Unreachable,
            GitalyError::TimedOut => Self::TimedOut,
            GitalyError::LeftAlone => Self::LeftAlone,
            GitalyError::BadAddress(_) | GitalyError::Failed(_) | GitalyError::BadAnswer(_) => {
                Self::Failed
            }
        }
    }
}

/// Counters since the start, one for each word.
#[derive(Debug)]
pub(super) struct Counts<W: 'static>(Box<[(W, AtomicU64)]>);

impl<W: Copy + PartialEq> Counts<W> {
    pub(super) fn new(words: &[W]) -> Self {
        Self(
            words
                .iter()
                .map(|word| (*word, AtomicU64::new(0)))
                .collect(),
        )
    }

    pub(super) fn count(&self, word: W) {
        if let Some((_, count)) = self.0.iter().find(|(counted, _)| *counted == word) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Vec<(W, u64)> {
        self.0
            .iter()
            .map(|(word, count)| (*word, count.load(Ordering::Relaxed)))
            .collect()
    }
}

/// What happened about one kind of question, and how things stand.
#[derive(Clone, Debug)]
pub struct QuestionStats {
    /// Which.
    pub question: Question,
    /// Calls by how they ended.
    pub calls: Vec<(Outcome, u64)>,
    /// Tokens that were shown, by how the answer was found.
    pub lookups: Vec<(Lookup, u64)>,
    /// Tokens whose access was ended while they were known, by why.
    pub ended: Vec<(Ended, u64)>,
    /// Tokens known now.
    pub known: usize,
    /// Bytes held for them.
    pub known_bytes: usize,
    /// Tokens in use that should have been asked about by now.
    pub overdue: usize,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::StatusCode;

    use super::*;
    use crate::gitlab::limits::Whose;

    #[test]
    fn call_to_gitlab_is_counted_by_what_became_of_it() {
        let said = |said| Ok(Answer { said, rest: None });
        let no = said(Said::No(StatusCode::FORBIDDEN, Bytes::new()));
        let mut calls = vec![(said(Said::Yes(Bytes::new())), "yes"), (no, "no")];
        for (why, label) in [
            (Trouble::Unreachable, "unreachable"),
            (Trouble::TimedOut, "timed_out"),
            (Trouble::ServerError, "server_error"),
            (Trouble::UnexpectedStatus, "unexpected_status"),
            (Trouble::NotTrusted, "not_trusted"),
            (Trouble::NotUnderstood, "not_understood"),
            (Trouble::RateLimited, "rate_limited"),
            (Trouble::TooLong, "too_long"),
            (Trouble::LeftAlone, "left_alone"),
        ] {
            let snag = Snag {
                why,
                retry_after: Duration::ZERO,
                whose: Whose::Relay,
            };
            calls.push((Err(snag), label));
        }
        assert_eq!(calls.len(), Outcome::ALL.len());
        for (answer, label) in calls {
            assert_eq!(Outcome::of(&answer).as_str(), label, "{answer:?}");
        }
    }

    #[test]
    fn call_to_gitaly_is_counted_by_what_became_of_it() {
        assert_eq!(GitalyOutcome::of(&Ok(())).as_str(), "answered");
        for (error, label) in [
            (GitalyError::TooLarge, "answered"),
            (GitalyError::NotAFile, "answered"),
            (GitalyError::Denied("no".into()), "denied"),
            (GitalyError::Unreachable("gone".into()), "unreachable"),
            (GitalyError::TimedOut, "timed_out"),
            (GitalyError::LeftAlone, "left_alone"),
            (GitalyError::Failed("13".into()), "failed"),
            (GitalyError::BadAnswer("head"), "failed"),
        ] {
            let answer: Result<(), _> = Err(error);
            assert_eq!(GitalyOutcome::of(&answer).as_str(), label, "{answer:?}");
        }
    }
}
