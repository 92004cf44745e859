//! A double of GitLab: it answers a relay, an agent server, a job and a git client as GitLab does, from what a test arranged
//! in its [`World`]. Over TLS on a port the system chose, unless told otherwise.
//!
//! ```text
//! let gitlab = gitlab().start().await;
//! let job = {
//!     let mut world = gitlab.world();
//!     world.project("group/sub/app");
//!     world.member("dev1", "group", Role::Developer);
//!     world.agent("group/sub/app", "prod");
//!     world.job("group/sub/app").environment("production").run()
//! };
//! gitlab.faults().set(Endpoint::AllowedAgents, Fault::Status(502));
//! gitlab.end_job(job, JobStatus::Canceled).await;
//! ```
//!
//! It answers as GitLab does, not as adit would like it to: where GitLab's own code is odd, this is odd, and says so. It shares
//! no code with what it tests but the making of signatures and of environments' slugs. It holds no more than one test needs, so
//! everything is in memory, searched from end to end; repositories are real ones, in a folder that goes with it.
//!
//! What it does not do: pages, GraphQL, runners, rate limits of its own accord.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use adit_authority::issuer::KeyKind;
use base64::{Engine, engine::general_purpose::STANDARD};
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{Caller, TestIssuer, pki};

mod allowed;
mod api;
mod call;
mod calls;
mod control;
mod endpoint;
mod environment_pattern;
mod fault;
mod gitaly;
mod grants;
mod grpc;
mod identity;
mod jwt;
mod kas;
mod kubeconfig;
pub mod matrix;
mod seed;
mod serve;
mod user_access;
mod usual;
mod webhook;
mod world;

pub use calls::Calls;
pub use control::control;
pub use endpoint::Endpoint;
pub use fault::{Fault, Faults};
pub use gitaly::{Gitaly, GitalyCall, GitalyTransport, gitaly_token};
pub use grants::{EntryWithoutId, Grants};
pub use grpc::Grpc;
pub use jwt::Secret;
pub use kas::KasCaller;
pub use seed::{JobSeed, Seed};
pub use usual::arrange;
pub use webhook::Delivery;
pub use world::{
    Agent, AgentToken, Environment, Hook, Job, JobBuilder, JobStatus, Kind, Licence, Namespace,
    PersonalToken, Project, Repository, Role, Session, Settings, TokenForm, TooManyTokens,
    TreeItem, TreeKind, User, Visibility, World,
};

/// Where jobs find the Kubernetes API, unless told otherwise.
pub const K8S_PROXY_URL: &str = "https://kas.gitlab.test/k8s-proxy";

/// A GitLab about to be started.
#[must_use]
pub fn gitlab() -> GitLabBuilder {
    GitLabBuilder {
        is_plain: false,
        gitaly: GitalyTransport::default(),
        gitaly_address: None,
        address: "127.0.0.1:0".to_owned(),
        external_url: None,
        k8s_proxy_url: K8S_PROXY_URL.to_owned(),
    }
}

/// How it will be.
#[derive(Debug)]
pub struct GitLabBuilder {
    is_plain: bool,
    gitaly: GitalyTransport,
    gitaly_address: Option<String>,
    address: String,
    external_url: Option<String>,
    k8s_proxy_url: String,
}

impl GitLabBuilder {
    /// Without TLS.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.is_plain = true;
        self
    }

    /// Its Gitaly is reached in this way.
    #[must_use]
    pub fn gitaly_over(mut self, transport: GitalyTransport) -> Self {
        self.gitaly = transport;
        self
    }

    /// It says that its Gitaly is here, whether it is or not.
    #[must_use]
    pub fn naming_gitaly(mut self, address: &str) -> Self {
        self.gitaly_address = Some(address.to_owned());
        self
    }

    /// Listens here.
    #[must_use]
    pub fn listening(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// Says that it is found here, such as `https://gitlab.test`: the issuer of ID tokens. Where it listens, by default.
    #[must_use]
    pub fn at(mut self, url: &str) -> Self {
        self.external_url = Some(url.to_owned());
        self
    }

    /// Jobs are told to find the Kubernetes API here.
    #[must_use]
    pub fn k8s_proxy_at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.k8s_proxy_url);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub async fn start(self) -> GitLab {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (scheme, tls) = if self.is_plain {
            ("http", None)
        } else {
            let config = pki::shared().server(&[pki::HTTP2, pki::HTTP1]);
            ("https", Some(TlsAcceptor::from(config)))
        };
        let url = format!("{scheme}://{address}");
        let folder = tempfile::tempdir().unwrap();
        let mut secret = Secret::default();
        aws_lc_rs::rand::fill(&mut secret).unwrap();
        let secret_file = folder.path().join("kas-secret");
        std::fs::write(&secret_file, STANDARD.encode(secret)).unwrap();
        let settings = Settings {
            external_url: self.external_url.unwrap_or_else(|| url.clone()),
            k8s_proxy_url: self.k8s_proxy_url,
            token_prefix: None,
            job_tokens: TokenForm::default(),
            has_instance_authorization: false,
        };
        let world = Arc::new(Mutex::new(World::new(settings, folder.path())));
        let mut gitaly = Gitaly::start(Arc::clone(&world), self.gitaly, folder.path()).await;
        if let Some(address) = self.gitaly_address {
            gitaly.address = address;
        }
        let state = Arc::new(State {
            gitaly,
            world,
            url,
            secret,
            calls: Calls::default(),
            faults: Faults::default(),
            issuer: OnceLock::new(),
            requests: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
        });
        let mut gitlab = GitLab {
            state,
            address,
            secret_file,
            tasks: JoinSet::new(),
            tls,
            _folder: folder,
        };
        gitlab.serve(listener);
        gitlab
    }
}

/// What goes on in it.
pub(crate) struct State {
    world: Arc<Mutex<World>>,
    url: String,
    secret: Secret,
    gitaly: Gitaly,
    calls: Calls,
    faults: Faults,
    /// Made when somebody asks for it: its key takes a moment.
    issuer: OnceLock<TestIssuer>,
    requests: AtomicU64,
    /// How many seconds its clock is ahead, as it looks at the agent server's proofs.
    ahead: AtomicU64,
}

impl State {
    fn issuer(&self) -> &TestIssuer {
        self.issuer.get_or_init(|| {
            let url = self.world.lock().settings.external_url.clone();
            TestIssuer::published_by(
                &url,
                KeyKind::Rsa,
                &format!("{}/oauth/discovery/keys", self.url),
            )
        })
    }

    /// Seconds since 1970 by its own clock.
    fn now(&self) -> u64 {
        jwt::now() + self.ahead.load(Ordering::Relaxed)
    }

    fn next_request_id(&self) -> String {
        let count = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("double-{count}")
    }
}

/// A running GitLab. Dropping it ends it.
pub struct GitLab {
    state: Arc<State>,
    address: SocketAddr,
    secret_file: PathBuf,
    tasks: JoinSet<()>,
    tls: Option<TlsAcceptor>,
    _folder: TempDir,
}

impl GitLab {
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, such as `https://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Its clock is so many seconds ahead from now on, for whoever proves to be its agent server.
    pub fn be_ahead(&self, seconds: u64) {
        self.state.ahead.store(seconds, Ordering::Relaxed);
    }

    /// Whoever asks it something over HTTP.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::new(self.address, "").anonymous().under("")
    }

    /// A JWT by which the agent server proves itself.
    #[must_use]
    pub fn kas_jwt(&self) -> String {
        jwt::of_agent_server(&self.state.secret)
    }

    /// What it holds, to look at or to change. Not to be kept across an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.state.world.lock()
    }

    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.state.calls
    }

    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    #[must_use]
    pub fn gitaly(&self) -> &Gitaly {
        &self.state.gitaly
    }

    /// The file with the secret that it shares with the agent server, in Base64.
    #[must_use]
    pub fn secret_file(&self) -> &Path {
        &self.secret_file
    }

    #[must_use]
    pub fn secret(&self) -> Secret {
        self.state.secret
    }

    /// The issuer of its jobs' ID tokens.
    #[must_use]
    pub fn issuer(&self) -> &TestIssuer {
        self.state.issuer()
    }

    /// Ends all connections without a word, and answers nobody until [`GitLab::be_back`].
    pub async fn be_away(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Is there again, at the same address.
    ///
    /// # Panics
    ///
    /// When somebody took the address meanwhile.
    pub async fn be_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let serving = serve::run(listener, self.tls.clone(), Arc::clone(&self.state));
        self.tasks.spawn(serving);
    }
}
