//! The network, as far as asking GitLab needs it. Implemented by the relay, called by [`super::line`] alone.

use std::{fmt, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Request, Response};

/// Sends requests to one GitLab instance.
pub trait AskGitLab: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and gives the whole answer, whatever its status, of at most [`MAX_ANSWER_BYTES`]. The target is a path below
    /// the instance's own; whoever implements this puts scheme, host and the instance's path before it. Over TLS, or to this very
    /// machine. Redirects are not followed: a token goes where the config says. The caller sets the deadline, and drops the future
    /// when it passes.
    fn ask(&self, request: Request<Bytes>) -> Asked<'_>;
}

/// What [`AskGitLab::ask`] gives.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, AskError>> + Send + 'a>>;

/// The largest answer that is read, in bytes: GitLab sends some 500 for each agent that a job may use.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection, or one that broke, in words of whoever tried.
    #[error("GitLab cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More than anybody could mean.
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
}
