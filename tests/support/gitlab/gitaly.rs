//! A Gitaly beside it, over gRPC: the calls that read a branch's head, a file, a folder, answered by git from the projects' real
//! repositories. Invariant: who shows no token of this minute, made with the secret that GitLab gave, reads nothing.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use adit_proto::gitaly::{
    commit_service_server::CommitServiceServer, smart_http_service_server::SmartHttpServiceServer,
};
use aws_lc_rs::hmac;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Status, body::Body, metadata::MetadataMap};
use tower_service::Service;

use super::{jwt, world::World};
use crate::{
    hex, pki,
    tasks::{Executor, Tasks, accept},
};

mod commits;
mod refs;

/// The name of the one storage there is.
pub(super) const STORAGE: &str = "default";

/// A running Gitaly. Dropping it ends it.
#[derive(Debug)]
pub struct Gitaly {
    /// Such as `tcp://127.0.0.1:4712`.
    pub address: String,
    /// The secret that callers' tokens are made with.
    pub token: String,
    /// What callers are to send along.
    pub features: BTreeMap<String, String>,
    served: Arc<Served>,
    _tasks: JoinSet<()>,
}

/// How it is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GitalyTransport {
    /// `tcp://`
    #[default]
    Tcp,
    /// `tls://`
    Tls,
    /// `unix:`
    Unix,
}

/// A call that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitalyCall {
    InfoRefsUploadPack { project: u64 },
    TreeEntry { revision: String, path: String },
    GetTreeEntries { revision: String, path: String },
}

/// What goes on in it.
#[derive(Debug)]
struct Served {
    world: Arc<Mutex<World>>,
    token: String,
    features: BTreeMap<String, String>,
    calls: Mutex<Vec<GitalyCall>>,
    failure: Mutex<Option<Status>>,
    /// How many seconds its clock is ahead.
    ahead: AtomicU64,
}

/// The services, of which each connection has its own.
#[derive(Clone)]
struct Handle(Arc<Served>);

impl Gitaly {
    pub(super) async fn start(
        world: Arc<Mutex<World>>,
        transport: GitalyTransport,
        folder: &Path,
    ) -> Self {
        let features = BTreeMap::from([("gitaly-feature-double".to_owned(), "true".to_owned())]);
        let served = Arc::new(Served {
            world,
            token: "canary-gitaly-token".to_owned(),
            features: features.clone(),
            calls: Mutex::default(),
            failure: Mutex::default(),
            ahead: AtomicU64::new(0),
        });
        let handle = Handle(Arc::clone(&served));
        let mut tasks = JoinSet::new();
        let address = match transport {
            GitalyTransport::Tcp | GitalyTransport::Tls => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let is_tls = transport == GitalyTransport::Tls;
                let config = pki::shared().server(&[pki::HTTP2]);
                let tls = is_tls.then(|| TlsAcceptor::from(config));
                tasks.spawn(over_tcp(listener, tls, handle));
                let scheme = if is_tls { "tls" } else { "tcp" };
                format!("{scheme}://{address}")
            }
            GitalyTransport::Unix => {
                let path = folder.join("gitaly");
                tasks.spawn(over_unix(UnixListener::bind(&path).unwrap(), handle));
                format!("unix:{}", path.display())
            }
        };
        Self {
            address,
            token: served.token.clone(),
            features,
            served,
            _tasks: tasks,
        }
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<GitalyCall> {
        self.served.calls.lock().clone()
    }

    /// Its clock is so many seconds ahead from now on.
    pub fn be_ahead(&self, seconds: u64) {
        self.served.ahead.store(seconds, Ordering::Relaxed);
    }

    /// Fails every call with this status, until told otherwise.
    pub fn fail(&self, status: Option<Status>) {
        *self.served.failure.lock() = status;
    }
}

async fn over_tcp(listener: TcpListener, tls: Option<TlsAcceptor>, handle: Handle) {
    accept(listener, |socket, executor| {
        let (tls, handle) = (tls.clone(), handle.clone());
        async move {
            let Some(tls) = tls else {
                return connection(socket, handle, executor).await;
            };
            if let Ok(io) = tls.accept(socket).await {
                connection(io, handle, executor).await;
            }
        }
    })
    .await;
}

async fn over_unix(listener: UnixListener, handle: Handle) {
    let tasks = Tasks::default();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        tasks.spawn(connection(socket, handle.clone(), tasks.executor()));
    }
}

async fn connection<IO>(io: IO, handle: Handle, executor: Executor)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| exchange(request, handle.clone()));
    let _ = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service)
        .await;
}

async fn exchange(
    request: Request<Incoming>,
    handle: Handle,
) -> Result<Response<Body>, Infallible> {
    match request.uri().path().split('/').nth(1) {
        Some("gitaly.CommitService") => CommitServiceServer::new(handle).call(request).await,
        Some("gitaly.SmartHTTPService") => SmartHttpServiceServer::new(handle).call(request).await,
        _ => Ok(Status::unimplemented("no such service").into_http()),
    }
}

impl Handle {
    /// Whether a call is to be answered at all.
    fn admit(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let shown = text("authorization")
            .ok_or_else(|| Status::unauthenticated("authentication required"))?;
        if !self.is_believed(shown) {
            return Err(Status::permission_denied("permission denied"));
        }
        for (name, value) in &self.0.features {
            if text(name) != Some(value) {
                let message = format!("the feature {name} was not sent along");
                return Err(Status::failed_precondition(message));
            }
        }
        self.0.failure.lock().clone().map_or(Ok(()), Err)
    }

    /// `Bearer v2.<hex HMAC-SHA256 of T>.<T>`, T within half a minute of now.
    fn is_believed(&self, shown: &str) -> bool {
        let parts = || {
            let rest = shown.strip_prefix("Bearer v2.")?;
            let (tag, time) = rest.split_once('.')?;
            let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.token.as_bytes());
            hmac::verify(&key, time.as_bytes(), &hex::decode(tag)?).ok()?;
            time.parse::<u64>().ok()
        };
        let now = jwt::now() + self.0.ahead.load(Ordering::Relaxed);
        parts().is_some_and(|time| time.abs_diff(now) <= 30)
    }

    fn note(&self, call: GitalyCall) {
        self.0.calls.lock().push(call);
    }

    /// The project whose repository is meant.
    fn project(&self, repository: Option<&adit_proto::gitaly::Repository>) -> Result<u64, Status> {
        let repository =
            repository.ok_or_else(|| Status::invalid_argument("repository not set"))?;
        if repository.storage_name != STORAGE {
            return Err(Status::invalid_argument("storage name not found"));
        }
        self.0
            .world
            .lock()
            .project_at(&repository.relative_path)
            .ok_or_else(|| Status::not_found("repository not found"))
    }

    fn repository(&self, project: u64) -> super::Repository {
        self.0.world.lock().repository(project)
    }
}

/// What a caller shows who has the secret, `offset` seconds from now.
#[must_use]
pub fn gitaly_token(secret: &str, offset: i64) -> String {
    let time = jwt::now().saturating_add_signed(offset).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, time.as_bytes());
    format!("Bearer v2.{}.{time}", hex::encode(tag.as_ref()))
}
