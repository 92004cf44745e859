//! Which `GitRepository` objects are this GitLab's: listed, then watched, one namespace at a time. Run as long as the agent leads.
//! Invariant: what is found is what the API server last said; when a watch cannot go on, everything is listed again.

use std::collections::BTreeMap;
use std::time::Duration;

use adit_identity::FullPath;
use adit_process::backoff::Backoff;
use adit_process::chain;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::RETRY;
use super::api::{Api, ApiError};
use crate::config::GitLabUrl;
use crate::kube::AnswerBody;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A repository of this GitLab's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    pub(super) uid: String,
    pub(super) project: FullPath,
}

/// All of them.
pub(super) type Found = BTreeMap<Place, Repository>;

/// Those of one namespace, which keep what is found up to date.
#[derive(Debug)]
pub(super) struct Repositories {
    pub(super) api: Api,
    pub(super) namespace: String,
    pub(super) gitlab: GitLabUrl,
    pub(super) found: watch::Sender<Found>,
}

#[derive(Deserialize)]
struct List {
    metadata: ListMeta,
    items: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    more: String,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Spec {
    url: String,
}

/// A line of a watch.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

/// The part of an object that every kind has.
#[derive(Deserialize)]
struct Bookmark {
    metadata: Metadata,
}

/// A watch that cannot go on.
#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl Repositories {
    /// Follows them for ever.
    pub(super) async fn follow(self) {
        let mut backoff = Backoff::new(RETRY);
        loop {
            match self.list().await {
                Ok(mut version) => {
                    backoff.reset();
                    while let Some(next) = self.watched(&version).await {
                        version = next;
                        pause().await;
                    }
                    pause().await;
                }
                Err(error) => {
                    let wait = backoff.failed();
                    self.report(&error, wait);
                    sleep(wait).await;
                }
            }
        }
    }

    fn report(&self, error: &ApiError, wait: Duration) {
        let advice = if error.is(StatusCode::NOT_FOUND) {
            "Flux's source-controller is not installed: apply its CRDs"
        } else if error.is(StatusCode::FORBIDDEN) {
            "give the agent the roles of docs/rbac.md, Flux"
        } else {
            "it is tried again"
        };
        tracing::warn!(
            namespace = self.namespace,
            error = chain(error),
            advice,
            retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "Flux's repositories cannot be followed"
        );
    }

    /// Lists all, and gives the version to watch from.
    async fn list(&self) -> Result<String, ApiError> {
        let mut listed = Found::new();
        let mut more = String::new();
        loop {
            let target = format!("{}?limit={PAGE}&continue={more}", self.target());
            let page: List = self.api.read(&target).await?;
            let found = page
                .items
                .into_iter()
                .filter_map(|object| self.read(object));
            listed.extend(found);
            if page.metadata.more.is_empty() {
                self.replace(listed);
                return Ok(page.metadata.resource_version);
            }
            more = page.metadata.more;
        }
    }

    /// Watches once, and gives the version to go on from; none when everything must be listed again.
    async fn watched(&self, version: &str) -> Option<String> {
        let mut latest = version.to_owned();
        match self.watch(&mut latest).await {
            Ok(()) => Some(latest),
            Err(error) => {
                tracing::debug!(
                    namespace = self.namespace,
                    error = chain(&error),
                    "a watch of Flux's repositories cannot go on: they are listed again"
                );
                None
            }
        }
    }

    async fn watch(&self, latest: &mut String) -> Result<(), ApiError> {
        let lasts = WATCH.mul_f64(1.0 + rand::random::<f64>());
        let target = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={latest}&timeoutSeconds={}",
            self.target(),
            lasts.as_secs()
        );
        let mut lines = Lines::of(self.api.watch(&target).await?);
        // The API server ends it; one that forgets to is not waited for.
        let reading = async {
            while let Some(line) = lines.next().await? {
                self.take(&line, latest)?;
            }
            Ok(())
        };
        timeout(lasts + GRACE, reading).await.unwrap_or(Ok(()))
    }

    fn take(&self, line: &[u8], latest: &mut String) -> Result<(), ApiError> {
        let event: Event<'_> = serde_json::from_slice(line)?;
        let object = event.object.get();
        match event.kind {
            "ERROR" => {
                let failure: Failure = serde_json::from_str(object)?;
                let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::GONE);
                return Err(ApiError::Status(status, failure.message));
            }
            "BOOKMARK" => {}
            "DELETED" => {
                let gone: Bookmark = serde_json::from_str(object)?;
                self.remove(&gone.metadata.name);
            }
            _ => self.put(serde_json::from_str(object)?),
        }
        let seen: Bookmark = serde_json::from_str(object)?;
        *latest = seen.metadata.resource_version;
        Ok(())
    }

    fn put(&self, object: Object) {
        let name = object.metadata.name.clone();
        let Some((place, repository)) = self.read(object) else {
            return self.remove(&name);
        };
        self.found.send_if_modified(|found| {
            let before = found.insert(place, repository.clone());
            before.as_ref() != Some(&repository)
        });
    }

    fn remove(&self, name: &str) {
        let place = self.place(name);
        self.found
            .send_if_modified(|found| found.remove(&place).is_some());
    }

    /// Puts these in the place of all of the namespace.
    fn replace(&self, listed: Found) {
        self.found.send_if_modified(|found| {
            let before = found.clone();
            found.retain(|place, _| place.namespace != self.namespace);
            found.extend(listed);
            *found != before
        });
    }

    fn read(&self, object: Object) -> Option<(Place, Repository)> {
        let Metadata {
            name,
            uid,
            deletion_timestamp,
            ..
        } = object.metadata;
        let project = self.gitlab.project(&object.spec.url)?;
        let repository = Repository { uid, project };
        let is_leaving = deletion_timestamp.is_some();
        (!is_leaving).then(|| (self.place(&name), repository))
    }

    fn place(&self, name: &str) -> Place {
        Place {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }

    fn target(&self) -> String {
        let namespace = &self.namespace;
        format!("/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/gitrepositories")
    }
}

/// The lines of a watch.
struct Lines {
    body: AnswerBody,
    come: BytesMut,
}

impl Lines {
    fn of(body: AnswerBody) -> Self {
        Self {
            body,
            come: BytesMut::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut searched = 0;
        loop {
            let rest = self.come.get(searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.come.split_to(searched + at + 1).freeze()));
            }
            searched = self.come.len();
            if searched > MAX_LINE {
                return Err(ApiError::Broken);
            }
            match self.body.frame().await {
                Some(frame) => {
                    let data = frame?.into_data().unwrap_or_default();
                    self.come.extend_from_slice(&data);
                }
                None => return Ok(None),
            }
        }
    }
}

/// So that an API server which ends all watches at once is not asked by all at once, and none is asked in a rush.
async fn pause() {
    sleep(PAUSE.mul_f64(rand::random())).await;
}

/// Objects that are asked for at once.
const PAGE: usize = 100;
/// How long a watch lasts, and as long again at most, by chance.
const WATCH: Duration = Duration::from_mins(5);
const GRACE: Duration = Duration::from_secs(30);
/// At most.
const PAUSE: Duration = Duration::from_secs(2);
/// Of one event: the API server holds no object of more than 1.5 MiB.
const MAX_LINE: usize = 2 << 20;
