//! Decides how a question reaches Gitaly: the network that `adit-authority` asks through.
//!
//! Called beside the shards. Invariant: a proof goes to the server that GitLab named or nowhere, and no more is held of an answer than the
//! file that was asked for, a line of it, or a list of paths.

mod dial;

use std::{error::Error as _, fmt, ops::ControlFlow, time::Duration};

use adit_authority::gitlab::gitaly::{
    Address, Advertisement, AskGitaly, CommitId, GitalyAnswer, GitalyError, MAX_FILE_BYTES,
    Repository,
};
use adit_process::{chain, tls::ClientTls};
use adit_proto::{
    gitaly::{
        self, GetTreeEntriesError, GetTreeEntriesRequest, InfoRefsRequest, TreeEntryRequest,
        commit_service_client::CommitServiceClient,
        smart_http_service_client::SmartHttpServiceClient, tree_entry::EntryType,
        tree_entry_response::ObjectType,
    },
    google_rpc,
};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use hyper_util::{
    client::legacy::Client as HttpClient,
    rt::{TokioExecutor, TokioTimer},
};
use prost::Message as _;
use tonic::{Code, Extensions, Request, Status, body::Body, metadata::MetadataMap};

use dial::{Dial, origin};

/// How long a connection is kept that nobody uses: less than between two looks at a file, so that names are resolved anew for each.
const IDLE: Duration = Duration::from_secs(60);
/// When a connection is asked whether it is alive, with a call under way, and how long it may take to say so: a silent one costs less
/// than a call's time.
const ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(4));
/// Paths of one answer. A folder with more is no folder of agents.
const MOST_PATHS: usize = 100_000;
/// Characters of Gitaly's words.
const MOST_WORDS: usize = 300;

/// Asks over gRPC. Clones share their connections.
#[derive(Clone)]
pub(crate) struct GitalyClient {
    http: HttpClient<Dial, Body>,
}

impl GitalyClient {
    /// With TLS of these roots, for servers that GitLab names so.
    pub(crate) fn new(tls: &ClientTls) -> Self {
        let (every, patience) = ALIVE;
        let http = HttpClient::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_only(true)
            .http2_keep_alive_interval(every)
            .http2_keep_alive_timeout(patience)
            .build(Dial::new(tls.connector()));
        Self { http }
    }

    async fn read_head(
        &self,
        of: &Repository,
        metadata: HeaderMap,
    ) -> Result<Option<CommitId>, GitalyError> {
        let mut client = SmartHttpServiceClient::with_origin(self.http.clone(), to(of)?);
        let asked = InfoRefsRequest {
            repository: Some(named(of)),
            ..InfoRefsRequest::default()
        };
        let answer = client.info_refs_upload_pack(request(asked, metadata)).await;
        let mut pieces = answer.map_err(failed)?.into_inner();
        let mut advertisement = Advertisement::default();
        let bad = |_| GitalyError::BadAnswer("its list of branches is malformed or breaks off");
        while let Some(piece) = pieces.message().await.map_err(failed)? {
            if let ControlFlow::Break(()) = advertisement.read(&piece.data).map_err(bad)? {
                break;
            }
        }
        advertisement.finish().map_err(bad)
    }

    async fn read_file(
        &self,
        of: &Repository,
        metadata: HeaderMap,
        at: &CommitId,
        path: &str,
    ) -> Result<Option<Bytes>, GitalyError> {
        let mut client = CommitServiceClient::with_origin(self.http.clone(), to(of)?);
        let asked = TreeEntryRequest {
            repository: Some(named(of)),
            revision: at.as_str().to_owned().into(),
            path: path.to_owned().into(),
            limit: 0,
            max_size: MAX_FILE_BYTES.try_into().unwrap_or(i64::MAX),
        };
        let answer = client.tree_entry(request(asked, metadata)).await;
        let mut pieces = match answer {
            Ok(pieces) => pieces.into_inner(),
            Err(status) => return no_file(status),
        };
        let first = match pieces.message().await {
            Ok(first) => first.ok_or(GitalyError::BadAnswer("it is empty"))?,
            // Errors come after the head, too.
            Err(status) => return no_file(status),
        };
        if first.r#type() != ObjectType::Blob {
            return Err(GitalyError::NotAFile);
        }
        let whole = usize::try_from(first.size).unwrap_or(usize::MAX);
        let mut text = first.data.to_vec();
        while let Some(piece) = pieces.message().await.map_err(failed)? {
            if text.len() + piece.data.len() > MAX_FILE_BYTES {
                return Err(GitalyError::TooLarge);
            }
            text.extend_from_slice(&piece.data);
        }
        if text.len() != whole {
            return Err(GitalyError::BadAnswer("the file breaks off"));
        }
        Ok(Some(text.into()))
    }

    async fn list_files(
        &self,
        of: &Repository,
        metadata: HeaderMap,
        revision: &str,
        folder: &str,
    ) -> Result<Vec<Box<str>>, GitalyError> {
        let mut client = CommitServiceClient::with_origin(self.http.clone(), to(of)?);
        let asked = GetTreeEntriesRequest {
            repository: Some(named(of)),
            revision: revision.to_owned().into(),
            path: folder.to_owned().into(),
            recursive: true,
            skip_flat_paths: true,
            ..GetTreeEntriesRequest::default()
        };
        let answer = client.get_tree_entries(request(asked, metadata)).await;
        let mut batches = match answer {
            Ok(batches) => batches.into_inner(),
            Err(status) => return no_folder(status),
        };
        let mut paths = Vec::new();
        loop {
            let batch = match batches.message().await {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(paths),
                Err(status) => return no_folder(status),
            };
            let files = batch.entries.iter();
            let files = files.filter(|entry| entry.r#type() == EntryType::Blob);
            // A path that is no text is none that anybody looks for.
            paths.extend(
                files.filter_map(|file| Some(std::str::from_utf8(&file.path).ok()?.into())),
            );
            if paths.len() > MOST_PATHS {
                return Err(GitalyError::BadAnswer("there is no end to it"));
            }
        }
    }
}

impl AskGitaly for GitalyClient {
    fn head<'a>(
        &'a self,
        of: &'a Repository,
        metadata: HeaderMap,
    ) -> GitalyAnswer<'a, Option<CommitId>> {
        Box::pin(self.read_head(of, metadata))
    }

    fn file<'a>(
        &'a self,
        of: &'a Repository,
        metadata: HeaderMap,
        at: &'a CommitId,
        path: &'a str,
    ) -> GitalyAnswer<'a, Option<Bytes>> {
        Box::pin(self.read_file(of, metadata, at, path))
    }

    fn files_below<'a>(
        &'a self,
        of: &'a Repository,
        metadata: HeaderMap,
        revision: &'a str,
        folder: &'a str,
    ) -> GitalyAnswer<'a, Vec<Box<str>>> {
        Box::pin(self.list_files(of, metadata, revision, folder))
    }
}

impl fmt::Debug for GitalyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GitalyClient")
    }
}

fn to(of: &Repository) -> Result<Uri, GitalyError> {
    let address: &Address = of.server.address();
    origin(address).map_err(|error| GitalyError::Unreachable(error.into()))
}

fn named(of: &Repository) -> gitaly::Repository {
    gitaly::Repository {
        storage_name: of.storage_name.clone(),
        relative_path: of.relative_path.clone(),
        git_object_directory: of.git_object_directory.clone(),
        git_alternate_object_directories: of.git_alternate_object_directories.clone(),
        gl_repository: of.gl_repository.clone(),
        gl_project_path: of.gl_project_path.clone(),
    }
}

fn request<T>(message: T, metadata: HeaderMap) -> Request<T> {
    Request::from_parts(
        MetadataMap::from_headers(metadata),
        Extensions::default(),
        message,
    )
}

/// What a status means that is no answer to any question.
fn failed(status: Status) -> GitalyError {
    // What Gitaly says has none.
    if let Some(source) = status.source() {
        return GitalyError::Unreachable(chain(source).into());
    }
    let words = || {
        let words = status.message().chars().filter(|c| !c.is_control());
        words.take(MOST_WORDS).collect::<String>().into_boxed_str()
    };
    let code = status.code();
    if matches!(code, Code::Unauthenticated | Code::PermissionDenied) {
        GitalyError::Denied(words())
    } else if matches!(code, Code::Unavailable | Code::ResourceExhausted) {
        GitalyError::Unreachable(words().into_string().into())
    } else {
        GitalyError::Failed(format!("{code:?}: {}", words()).into())
    }
}

fn no_file(status: Status) -> Result<Option<Bytes>, GitalyError> {
    if status.code() == Code::NotFound {
        Ok(None)
    } else if status.code() == Code::FailedPrecondition {
        Err(GitalyError::TooLarge)
    } else {
        Err(failed(status))
    }
}

fn no_folder(status: Status) -> Result<Vec<Box<str>>, GitalyError> {
    if status.code() == Code::InvalidArgument && says_no_folder(status.details()) {
        return Ok(Vec::new());
    }
    Err(failed(status))
}

/// Whether one of the details says that there is no such revision or path.
fn says_no_folder(details: &[u8]) -> bool {
    let Ok(details) = google_rpc::Status::decode(details) else {
        return false;
    };
    details.details.iter().any(|detail| {
        let is_ours = detail.type_url.ends_with("/gitaly.GetTreeEntriesError");
        let error = GetTreeEntriesError::decode(&*detail.value);
        is_ours && error.is_ok_and(|error| error.error.is_some())
    })
}
