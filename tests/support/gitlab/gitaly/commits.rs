//! Files and folders of commits.

use adit_proto::{
    gitaly::{
        GetTreeEntriesError, GetTreeEntriesRequest, GetTreeEntriesResponse, ResolveRevisionError,
        TreeEntry, TreeEntryRequest, TreeEntryResponse, commit_service_server::CommitService,
        get_tree_entries_error, tree_entry::EntryType, tree_entry_response::ObjectType,
    },
    google_rpc,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::{GitalyCall, Handle};
use crate::gitlab::{TreeItem, TreeKind};

/// Bytes of a file in one message.
const PIECE: usize = 128 << 10;
/// Entries in one message.
const BATCH: usize = 2;

#[tonic::async_trait]
impl CommitService for Handle {
    type TreeEntryStream = BoxStream<'static, Result<TreeEntryResponse, Status>>;
    type GetTreeEntriesStream = BoxStream<'static, Result<GetTreeEntriesResponse, Status>>;

    async fn tree_entry(
        &self,
        request: Request<TreeEntryRequest>,
    ) -> Result<Response<Self::TreeEntryStream>, Status> {
        self.admit(request.metadata())?;
        let asked = request.get_ref();
        let project = self.project(asked.repository.as_ref())?;
        let (revision, path) = (text(&asked.revision)?, text(&asked.path)?);
        self.note(GitalyCall::TreeEntry {
            revision: revision.to_owned(),
            path: path.to_owned(),
        });
        let repository = self.repository(project);
        let item = repository
            .resolve(revision)
            .and_then(|commit| repository.item(&commit, path))
            .ok_or_else(|| Status::not_found("tree entry not found"))?;
        if asked.max_size > 0 && item.size > asked.max_size.unsigned_abs() {
            return Err(Status::failed_precondition(
                "object size is bigger than the maximum",
            ));
        }
        let mut data = match item.kind {
            TreeKind::Blob => repository.blob(&item.id),
            TreeKind::Tree | TreeKind::Commit => Vec::new(),
        };
        if asked.limit > 0 {
            data.truncate(usize::try_from(asked.limit).unwrap_or(usize::MAX));
        }
        let messages = entry_messages(&item, data).into_iter().map(Ok);
        Ok(Response::new(futures_util::stream::iter(messages).boxed()))
    }

    async fn get_tree_entries(
        &self,
        request: Request<GetTreeEntriesRequest>,
    ) -> Result<Response<Self::GetTreeEntriesStream>, Status> {
        self.admit(request.metadata())?;
        let asked = request.get_ref();
        let project = self.project(asked.repository.as_ref())?;
        let (revision, path) = (text(&asked.revision)?, text(&asked.path)?);
        self.note(GitalyCall::GetTreeEntries {
            revision: revision.to_owned(),
            path: path.to_owned(),
        });
        let repository = self.repository(project);
        let commit = repository.resolve(revision);
        let items = commit
            .as_ref()
            .and_then(|commit| repository.tree(commit, path, asked.recursive));
        let (Some(commit), Some(items)) = (commit, items) else {
            return Err(no_such_folder(&asked.revision));
        };
        let entries: Vec<_> = items.iter().map(|item| entry(item, &commit)).collect();
        let messages: Vec<_> = entries
            .chunks(BATCH)
            .map(|entries| {
                Ok(GetTreeEntriesResponse {
                    entries: entries.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(futures_util::stream::iter(messages).boxed()))
    }
}

/// The first says what it is; each has a piece of it.
fn entry_messages(item: &TreeItem, data: Vec<u8>) -> Vec<TreeEntryResponse> {
    let data = Bytes::from(data);
    let kind = match item.kind {
        TreeKind::Blob => ObjectType::Blob,
        TreeKind::Tree => ObjectType::Tree,
        TreeKind::Commit => ObjectType::Commit,
    };
    let mut messages = vec![TreeEntryResponse {
        r#type: kind.into(),
        oid: item.id.clone(),
        size: i64::try_from(item.size).unwrap_or(i64::MAX),
        mode: mode(item),
        data: data.slice(..data.len().min(PIECE)),
    }];
    let rest = (PIECE..data.len()).step_by(PIECE);
    messages.extend(rest.map(|from| TreeEntryResponse {
        data: data.slice(from..data.len().min(from + PIECE)),
        ..TreeEntryResponse::default()
    }));
    messages
}

fn entry(item: &TreeItem, commit: &str) -> TreeEntry {
    let kind = match item.kind {
        TreeKind::Blob => EntryType::Blob,
        TreeKind::Tree => EntryType::Tree,
        TreeKind::Commit => EntryType::Commit,
    };
    TreeEntry {
        oid: item.id.clone(),
        path: Bytes::copy_from_slice(item.path.as_bytes()),
        r#type: kind.into(),
        mode: mode(item),
        commit_oid: commit.to_owned(),
        flat_path: Bytes::new(),
    }
}

fn mode(item: &TreeItem) -> i32 {
    i32::try_from(item.mode).unwrap_or_default()
}

fn text(bytes: &Bytes) -> Result<&str, Status> {
    std::str::from_utf8(bytes).map_err(|_| Status::invalid_argument("not UTF-8"))
}

/// With the reason among its details.
fn no_such_folder(revision: &Bytes) -> Status {
    let message = "invalid revision or path";
    let why = GetTreeEntriesError {
        error: Some(get_tree_entries_error::Error::ResolveTree(
            ResolveRevisionError {
                revision: revision.clone(),
            },
        )),
    };
    let details = google_rpc::Status {
        code: Code::InvalidArgument.into(),
        message: message.to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/gitaly.GetTreeEntriesError".to_owned(),
            value: why.encode_to_vec(),
        }],
    };
    let details = details.encode_to_vec().into();
    Status::with_details(Code::InvalidArgument, message, details)
}
