//! A Kubernetes API server that does as it is told: HTTP/1.1 and HTTP/2 by ALPN over TLS, on a port the system chose.
//!
//! Scenarios start one with [`kube`]. It answers some paths in ways of its own (`kube/answers.rs`), others as a scenario
//! scripts them ([`KubeBuilder::answer`]), and every other path with an echo of the request. It keeps a record of every
//! request. Invariant: a request counts as open until its answer's body is dropped, so a call that was not cancelled is seen.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{broadcast, watch},
    task::JoinSet,
};
use tokio_rustls::server::TlsStream;

use crate::{Raw, body::Body, kubeconfig, until};

mod answers;
mod recorded;
mod serve;
mod upgrades;

pub use answers::GZIPPED;
use recorded::Open;
pub use recorded::Recorded;

/// An API server about to be started.
#[must_use]
pub fn kube() -> KubeBuilder {
    KubeBuilder {
        script: Script {
            answers: Vec::new(),
            http1: Http1::Served,
            http2: Http2::Offered(1000),
            clients: Clients::Any,
        },
    }
}

/// How an API server will behave.
pub struct KubeBuilder {
    script: Script,
}

type Answer = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;
type RawScript = Arc<dyn Fn(Raw<Io>) -> BoxFuture<'static, ()> + Send + Sync>;
type Http2Script =
    Arc<dyn Fn(h2::server::Connection<Io, Bytes>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a scenario wants.
struct Script {
    answers: Vec<(String, Answer)>,
    http1: Http1,
    http2: Http2,
    clients: Clients,
}

/// Who is spoken with.
enum Clients {
    Any,
    /// Who shows a certificate of the shared authority's.
    Certified,
}

enum Http1 {
    Served,
    /// Each connection is handed over as bytes.
    Raw(RawScript),
}

enum Http2 {
    NotOffered,
    /// With so many streams at once.
    Offered(u32),
    /// Each connection is handed over stream by stream.
    ByHand(Http2Script),
}

impl KubeBuilder {
    /// Answers GETs of `path` with 200 and `body`.
    #[must_use]
    pub fn route(self, path: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.answer(path, move |_| {
            let body = body.clone();
            async move { Response::new(crate::body::full(body)) }
        })
    }

    /// Answers requests for `path` with what `answer` says.
    #[must_use]
    pub fn answer<F, Fut>(mut self, path: &str, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        self.script.answers.push((
            path.to_owned(),
            Arc::new(move |request| Box::pin(answer(request))),
        ));
        self
    }

    /// Wants a client certificate, which its kubeconfig has instead of a token.
    #[must_use]
    pub fn certified(mut self) -> Self {
        self.script.clients = Clients::Certified;
        self
    }

    /// Speaks HTTP/1.1 only.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.script.http2 = Http2::NotOffered;
        self
    }

    /// Hands each HTTP/1.1 connection to `script` after the TLS handshake: for answers that no HTTP library would write.
    /// Agents use HTTP/1.1 for upgrades, and for everything with [`KubeBuilder::http1_only`].
    #[must_use]
    pub fn raw<F, Fut>(mut self, script: F) -> Self
    where
        F: Fn(Raw<Io>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.script.http1 = Http1::Raw(Arc::new(move |connection| Box::pin(script(connection))));
        self
    }

    /// Hands each HTTP/2 connection to `script`: for answers that hyper's server cannot send.
    #[must_use]
    pub fn http2_by_hand<F, Fut>(mut self, script: F) -> Self
    where
        F: Fn(h2::server::Connection<Io, Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.script.http2 = Http2::ByHand(Arc::new(move |connection| Box::pin(script(connection))));
        self
    }

    /// Allows so many requests at once on an HTTP/2 connection. Default 1000.
    #[must_use]
    pub fn max_streams(mut self, most: u32) -> Self {
        self.script.http2 = Http2::Offered(most);
        self
    }

    /// Starts it.
    pub async fn start(self) -> Kube {
        let (events, _) = broadcast::channel(64);
        let state = Arc::new(State {
            script: self.script,
            records: Mutex::default(),
            open: AtomicUsize::new(0),
            broken_off: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            shown: Mutex::default(),
            sunk: AtomicUsize::new(0),
            whole_uploads: AtomicUsize::new(0),
            holds_sink: AtomicBool::new(false),
            release: watch::channel(0).0,
            events,
        });
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let write = match state.script.clients {
            Clients::Any => kubeconfig::write,
            Clients::Certified => kubeconfig::write_certified,
        };
        let kubeconfig = write(folder.path(), address);
        let mut kube = Kube {
            state,
            folder,
            address,
            kubeconfig,
            tasks: JoinSet::new(),
        };
        kube.serve(listener);
        kube
    }
}

/// What goes on in it.
struct State {
    script: Script,
    records: Mutex<Vec<Recorded>>,
    open: AtomicUsize,
    broken_off: AtomicUsize,
    connections: AtomicUsize,
    accepted: AtomicUsize,
    shown: Mutex<Option<Vec<u8>>>,
    sunk: AtomicUsize,
    whole_uploads: AtomicUsize,
    holds_sink: AtomicBool,
    release: watch::Sender<usize>,
    events: broadcast::Sender<Bytes>,
}

/// A running API server. Dropping it ends it.
pub struct Kube {
    state: Arc<State>,
    folder: TempDir,
    address: SocketAddr,
    kubeconfig: PathBuf,
    tasks: JoinSet<()>,
}

impl Kube {
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For an agent.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Takes away the file with the agent's own token.
    pub fn lose_token(&self) {
        std::fs::remove_file(self.folder.path().join("token")).unwrap();
    }

    /// For an agent that reaches this server by another address.
    #[must_use]
    pub fn kubeconfig_via(&self, address: SocketAddr) -> PathBuf {
        kubeconfig::write(self.folder.path(), address)
    }

    /// All requests so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.records.lock().clone()
    }

    /// Forgets all requests so far: for scenarios that send very many.
    pub fn forget(&self) {
        self.state.records.lock().clear();
    }

    /// How many there were.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.state.records.lock().len()
    }

    /// The last one.
    ///
    /// # Panics
    ///
    /// When there was none.
    #[must_use]
    pub fn last(&self) -> Recorded {
        self.state
            .records
            .lock()
            .last()
            .cloned()
            .expect("a request came")
    }

    /// Requests whose answer is not over.
    #[must_use]
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Requests that the client took back before their answer was over.
    #[must_use]
    pub fn broken_off(&self) -> usize {
        self.state.broken_off.load(Ordering::Relaxed)
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// The certificate that the last connection came with.
    #[must_use]
    pub fn shown(&self) -> Option<Vec<u8>> {
        self.state.shown.lock().clone()
    }

    /// Bytes that `/sink` took so far.
    #[must_use]
    pub fn sunk(&self) -> usize {
        self.state.sunk.load(Ordering::Relaxed)
    }

    /// Uploads to `/sink` that came to a good end.
    #[must_use]
    pub fn whole_uploads(&self) -> usize {
        self.state.whole_uploads.load(Ordering::Relaxed)
    }

    /// Has `/sink` read nothing until [`Kube::let_sink`].
    pub fn hold_sink(&self) {
        self.state.holds_sink.store(true, Ordering::Relaxed);
    }

    pub fn let_sink(&self) {
        self.state.holds_sink.store(false, Ordering::Relaxed);
    }

    /// Sends one line to everyone who watches.
    pub fn event(&self, line: &str) {
        let _ = self.state.events.send(Bytes::from(format!("{line}\n")));
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.state.events.receiver_count()
    }

    /// Lets requests for `/wait` go on that came so far.
    pub fn release(&self) {
        self.state
            .release
            .send_modify(|generation| *generation += 1);
    }

    /// Waits until so many requests are open.
    pub async fn until_open(&self, count: usize) {
        until(&format!("{count} requests are open"), || {
            self.open() == count
        })
        .await;
    }

    /// Ends all connections without a word, and answers nobody until [`Kube::revive`].
    pub async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Is there again, at the same address.
    pub async fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// Ends.
    ///
    /// # Panics
    ///
    /// When a request is still open: whoever asked should have ended it.
    pub async fn stop(mut self) {
        until("no request is open at the API server", || self.open() == 0).await;
        self.tasks.shutdown().await;
    }

    fn serve(&mut self, listener: TcpListener) {
        self.tasks
            .spawn(serve::run(listener, Arc::clone(&self.state)));
    }
}

impl State {
    fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open::new(Arc::clone(self))
    }
}

/// A client's connection.
pub type Io = TlsStream<TcpStream>;
