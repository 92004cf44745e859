//! The one way to GitLab. Every question goes through here, whatever it is about: as often as [`Pace`] allows, not at all while
//! [`Breaker`] is open, and no longer than the timeout.
//! Invariant: 401, 403 and 404 are answers, unless they are about this relay; whatever else is not 200, 201 or 204 is trouble, and trouble never says
//! anything about a token.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::{
    AskError, AskGitLab, BreakerState, Trouble,
    breaker::Breaker,
    limits::{self, Whose},
    pace::{Pace, Urgency},
    stats::{Counts, Outcome},
};

/// Shared by all who ask.
#[derive(Debug)]
pub(super) struct Line {
    transport: Arc<dyn AskGitLab>,
    breaker: Mutex<Breaker>,
    pace: Mutex<Pace>,
    timeout: Duration,
}

/// What GitLab said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) said: Said,
    /// How long the same token should not be asked about again.
    pub(super) rest: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Said {
    /// 200, 201 or 204, with this body.
    Yes(Bytes),
    /// 401, 403 or 404, with this body.
    No(StatusCode, Bytes),
}

/// Why GitLab said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snag {
    pub(super) why: Trouble,
    /// When the same question is worth asking again.
    pub(super) retry_after: Duration,
    /// Whether it is about the token alone.
    pub(super) whose: Whose,
}

/// In GitLab's 401 when it is about us, and not about the token.
const NOT_TRUSTED: &[u8] = b"KAS JWT authentication invalid";
/// When a question that failed is worth asking again, as long as the breaker is closed.
const SOON: Duration = Duration::from_secs(2);
/// The same of a question that GitLab cannot read.
const LATER: Duration = Duration::from_secs(10);

impl Line {
    pub(super) fn new(transport: Arc<dyn AskGitLab>, pace: Pace, timeout: Duration) -> Self {
        Self {
            transport,
            breaker: Mutex::new(Breaker::new(timeout)),
            pace: Mutex::new(pace),
            timeout,
        }
    }

    /// Waits for leave to send one more call. Cancel-safe.
    pub(super) async fn turn(&self, urgency: Urgency) {
        loop {
            let taken = self.pace.lock().take(Instant::now(), urgency);
            match taken {
                Ok(()) => return,
                Err(wait) => sleep(wait).await,
            }
        }
    }

    /// Sends a question whose [`Line::turn`] it is. Cancel-safe.
    pub(super) async fn ask(&self, request: Request<Bytes>) -> Result<Answer, Snag> {
        let admitted = self.breaker.lock().admit(Instant::now());
        match admitted {
            Err(wait) => Err(left_alone(wait)),
            Ok(()) => self.send(request).await,
        }
    }

    /// Whether GitLab is left alone now, so that there is no use in waiting for a turn.
    pub(super) fn is_left_alone(&self) -> Option<Snag> {
        self.breaker
            .lock()
            .closed_to(Instant::now())
            .map(left_alone)
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.lock().state()
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Answer, Snag> {
        match timeout(self.timeout, self.transport.ask(request)).await {
            Ok(Ok(response)) => self.read(response),
            Ok(Err(error @ AskError::Unreachable(_))) => {
                Err(self.failed(Trouble::Unreachable, Some(&error)))
            }
            Ok(Err(error @ AskError::TooLong)) => Err(self.failed(Trouble::TooLong, Some(&error))),
            Err(_) => Err(self.failed(Trouble::TimedOut, None)),
        }
    }

    fn read(&self, response: Response<Bytes>) -> Result<Answer, Snag> {
        if is_not_trusted(&response) {
            return Err(self.not_trusted());
        }
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => {
                Ok(self.answered(Said::Yes(body), &head.headers))
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                Ok(self.answered(Said::No(status, body), &head.headers))
            }
            StatusCode::TOO_MANY_REQUESTS => Err(self.told_to_wait(&head.headers)),
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Err(self.not_understood()),
            status if status.is_server_error() => {
                if let Some(wait) = limits::retry_after(&head.headers) {
                    self.leave_alone(wait);
                }
                Err(self.failed(Trouble::ServerError, None))
            }
            _ => Err(self.failed(Trouble::UnexpectedStatus, None)),
        }
    }

    fn answered(&self, said: Said, headers: &HeaderMap) -> Answer {
        if self.breaker.lock().answered() {
            tracing::info!("GitLab answers again");
        }
        let mut rest = limits::after_the_last(headers, SystemTime::now());
        if limits::whose(headers) == Whose::Relay
            && let Some(wait) = rest.take()
        {
            self.leave_alone(wait);
        }
        Answer { said, rest }
    }

    /// Whoever refuses us is well.
    fn not_trusted(&self) -> Snag {
        let _ = self.breaker.lock().answered();
        Snag {
            why: Trouble::NotTrusted,
            retry_after: SOON,
            whose: Whose::Relay,
        }
    }

    /// Whoever cannot read one question is well: a stranger's token, too long or odd for what stands before GitLab, holds up nobody else.
    fn not_understood(&self) -> Snag {
        let _ = self.breaker.lock().answered();
        Snag {
            why: Trouble::NotUnderstood,
            retry_after: LATER,
            whose: Whose::Token,
        }
    }

    fn told_to_wait(&self, headers: &HeaderMap) -> Snag {
        let retry_after = limits::after_too_many(headers, SystemTime::now());
        let whose = limits::whose(headers);
        match whose {
            // Whoever tells one user to wait is well.
            Whose::Token => _ = self.breaker.lock().answered(),
            Whose::Relay => self.leave_alone(retry_after),
        }
        Snag {
            why: Trouble::RateLimited,
            retry_after,
            whose,
        }
    }

    fn leave_alone(&self, wait: Duration) {
        if self.breaker.lock().asked_to_wait(Instant::now(), wait) {
            tracing::warn!(seconds = wait.as_secs(), "GitLab asks to be left alone");
        }
    }

    fn failed(&self, why: Trouble, error: Option<&AskError>) -> Snag {
        let now = Instant::now();
        let mut breaker = self.breaker.lock();
        let has_opened = breaker.failed(now);
        let wait = breaker.closed_to(now);
        drop(breaker);
        let error = error.map(cause);
        if has_opened {
            tracing::warn!(%why, error, "GitLab does not answer and is left alone for a while");
        } else {
            tracing::debug!(%why, error, "a question to GitLab failed");
        }
        Snag {
            why,
            retry_after: wait.unwrap_or(SOON),
            whose: Whose::Relay,
        }
    }
}

/// One token's use of the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    line: &'a Line,
    calls: &'a Counts<Outcome>,
    urgency: Urgency,
}

impl<'a> Asker<'a> {
    pub(super) const fn new(line: &'a Line, calls: &'a Counts<Outcome>, urgency: Urgency) -> Self {
        Self {
            line,
            calls,
            urgency,
        }
    }

    /// Waits for leave to send a second question about the same token. Cancel-safe.
    pub(super) async fn another_turn(&self) {
        self.line.turn(self.urgency).await;
    }

    /// Sends a question and counts how it ended. Cancel-safe.
    pub(super) async fn ask(&self, request: Request<Bytes>) -> Result<Answer, Snag> {
        let answer = self.line.ask(request).await;
        self.calls.count(Outcome::of(&answer));
        answer
    }
}

/// Whether an answer is about this relay, whose proof GitLab does not accept.
pub(super) fn is_not_trusted(answer: &Response<Bytes>) -> bool {
    answer.status() == StatusCode::UNAUTHORIZED && mentions(answer.body(), NOT_TRUSTED)
}

fn left_alone(wait: Duration) -> Snag {
    Snag {
        why: Trouble::LeftAlone,
        retry_after: wait,
        whose: Whose::Relay,
    }
}

fn mentions(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

fn cause(error: &AskError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}
