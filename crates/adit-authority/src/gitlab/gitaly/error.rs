//! Why Gitaly says nothing. Logged, and counted by how the call ended.
//! Invariant: no variant holds a byte of a token.

use std::error::Error;

use super::{BadAddress, MAX_FILE_BYTES};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitalyError {
    /// What GitLab says of where it is cannot be dialled.
    #[error("GitLab's address for it cannot be used")]
    BadAddress(#[source] BadAddress),
    /// No connection, or one that broke, or it says that it is not there for anybody now. In words of whoever tried, all causes told.
    #[error("it cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Nothing within the timeout.
    #[error("it takes too long")]
    TimedOut,
    /// It failed a moment ago, and is left alone.
    #[error("it failed a moment ago")]
    LeftAlone,
    /// It does not accept the proof, in its words.
    #[error(
        "it does not accept the relay's token ({0}): is this machine's clock within 30 s of its own, and does it know the token that GitLab gives?"
    )]
    Denied(Box<str>),
    /// Any other status, in its words.
    #[error("it says {0}")]
    Failed(Box<str>),
    /// The file is longer than what is read.
    #[error("longer than the {MAX_FILE_BYTES} bytes that GitLab reads")]
    TooLarge,
    /// What stands there is a folder, or another repository.
    #[error("not a file")]
    NotAFile,
    /// It answered something that cannot be believed.
    #[error("its answer cannot be used: {0}")]
    BadAnswer(&'static str),
}
