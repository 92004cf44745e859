//! GitLab's repository files API, read by token.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Result;
use crate::{
    gitlab::{
        State,
        call::{Answer, Call},
        world::{Repository, Role, TreeItem, TreeKind, Visibility, World},
    },
    hex,
};

/// A file of a commit.
struct Found {
    item: TreeItem,
    commit: String,
    last_change: String,
    git_ref: String,
    bytes: Vec<u8>,
}

pub(super) fn raw(call: &Call, state: &State) -> Result<Answer> {
    let found = find(call, state, Some("HEAD"))?;
    let sha256 = found.sha256();
    let name = found.name().to_owned();
    let size = found.bytes.len().to_string();
    let facts = [
        ("x-gitlab-blob-id", found.item.id.as_str()),
        ("x-gitlab-commit-id", &found.commit),
        ("x-gitlab-content-sha256", &sha256),
        ("x-gitlab-encoding", "base64"),
        ("x-gitlab-file-name", &name),
        ("x-gitlab-file-path", &found.item.path),
        ("x-gitlab-last-commit-id", &found.last_change),
        ("x-gitlab-ref", &found.git_ref),
        ("x-gitlab-size", &size),
    ];
    let answer = Answer::new(StatusCode::OK, "text/plain", found.bytes.clone());
    Ok(facts.into_iter().fold(answer, |answer, (name, value)| {
        answer.with(HeaderName::from_static(name), value)
    }))
}

pub(super) fn file(call: &Call, state: &State) -> Result<Answer> {
    let found = find(call, state, None)?;
    let answer = json!({
        "file_name": found.name(),
        "file_path": found.item.path,
        "size": found.bytes.len(),
        "encoding": "base64",
        "content_sha256": found.sha256(),
        "ref": found.git_ref,
        "blob_id": found.item.id,
        "commit_id": found.commit,
        "last_commit_id": found.last_change,
        "execute_filemode": found.item.mode == 0o100_755,
        "content": STANDARD.encode(&found.bytes),
    });
    Ok(Answer::json(StatusCode::OK, &answer))
}

fn find(call: &Call, state: &State, default_ref: Option<&str>) -> Result<Found> {
    let world = state.world.lock();
    let segments = call.segments();
    let (project, path) = (&segments[4], &segments[7]);
    let project = readable_project(call, &world, project)?;
    let git_ref = call.parameter("ref").or(default_ref);
    let git_ref = git_ref.ok_or_else(|| Answer::bad_parameter("ref is missing"))?;
    let repository = world.repository(project);
    let commit = repository
        .resolve(git_ref)
        .ok_or_else(|| Answer::not_found("Commit"))?;
    Found::read(&repository, commit, git_ref, path).ok_or_else(|| Answer::not_found("File"))
}

impl Found {
    fn read(repository: &Repository, commit: String, git_ref: &str, path: &str) -> Option<Self> {
        let item = repository
            .item(&commit, path)
            .filter(|item| item.kind == TreeKind::Blob)?;
        Some(Self {
            bytes: repository.blob(&item.id),
            last_change: repository.last_change(&commit, path)?,
            git_ref: git_ref.to_owned(),
            item,
            commit,
        })
    }

    fn name(&self) -> &str {
        let path = &self.item.path;
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }

    fn sha256(&self) -> String {
        hex::encode(&Sha256::digest(&self.bytes))
    }
}

/// The project, when whoever asks may read its code.
fn readable_project(call: &Call, world: &World, name: &str) -> Result<u64> {
    const SCOPES: [&str; 3] = ["api", "read_api", "read_repository"];
    let project = world.project_named(name);
    let Some(token) = call.personal_token() else {
        return project
            .filter(|project| project.visibility == Visibility::Public)
            .map(|project| project.id)
            .ok_or_else(|| Answer::not_found("Project"));
    };
    let (user, token) = world
        .user_by_token(token)
        .ok_or_else(Answer::unauthorized)?;
    if !token.has_scope(&SCOPES) {
        return Err(Answer::insufficient_scope(&SCOPES));
    }
    project
        .filter(|project| {
            let role = world.role_in_project(user.id, project.id);
            project.visibility != Visibility::Private
                || role.is_some_and(|role| role >= Role::Reporter)
        })
        .map(|project| project.id)
        .ok_or_else(|| Answer::not_found("Project"))
}
