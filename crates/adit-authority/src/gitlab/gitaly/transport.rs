//! The network, as far as asking Gitaly needs it. Implemented by the relay, called by [`super::Gitaly`] alone.

use std::{fmt, future::Future, pin::Pin};

use bytes::Bytes;
use http::HeaderMap;

use super::{CommitId, GitalyError, Repository};

/// Sends calls to whatever Gitaly has a repository. Each carries `metadata` as it is, and goes to the repository's server or nowhere.
/// The caller sets the deadline, and drops the future when it passes.
pub trait AskGitaly: fmt::Debug + Send + Sync + 'static {
    /// `InfoRefsUploadPack`, read by an [`super::Advertisement`] and only as far as that wants it.
    fn head<'a>(
        &'a self,
        of: &'a Repository,
        metadata: HeaderMap,
    ) -> GitalyAnswer<'a, Option<CommitId>>;

    /// `TreeEntry`, of at most [`MAX_FILE_BYTES`].
    fn file<'a>(
        &'a self,
        of: &'a Repository,
        metadata: HeaderMap,
        at: &'a CommitId,
        path: &'a str,
    ) -> GitalyAnswer<'a, Option<Bytes>>;

    /// `GetTreeEntries`: the paths of all files below a folder; none if it is not there.
    fn files_below<'a>(
        &'a self,
        of: &'a Repository,
        metadata: HeaderMap,
        revision: &'a str,
        folder: &'a str,
    ) -> GitalyAnswer<'a, Vec<Box<str>>>;
}

/// What a call gives.
pub type GitalyAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, GitalyError>> + Send + 'a>>;

/// The largest file that is read, in bytes: what GitLab's own agent server reads of an agent's.
pub const MAX_FILE_BYTES: usize = crate::agent_file::MAX_BYTES;
