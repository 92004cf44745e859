//! The issuer of the jobs' tokens, and where its keys are published: a file, or a small HTTPS server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use adit_authority::issuer::{Issuer, KeyKind};
use adit_identity::JobIdentity;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::pki;

/// The claim `iss` of the tests' jobs.
pub(crate) const URL: &str = "https://gitlab.test";
/// Quickly: no scenario waits for long.
const FETCHED_EACH: Option<(&str, &str)> = Some(("200ms", "100ms"));
/// The default.
const MAX_STALE: &str = "24h";
/// The claim `aud`.
pub(crate) const AUDIENCE: &str = "adit-test";

/// An issuer that a relay believes.
pub struct TestIssuer {
    issuer: Arc<Mutex<Issuer>>,
    published: Published,
    /// When keys are fetched again: by the clock, and at the soonest; none for the defaults.
    fetched_each: Option<(&'static str, &'static str)>,
    /// How long keys are good for that cannot be fetched any more.
    max_stale: &'static str,
}

enum Published {
    File {
        folder: TempDir,
    },
    Server {
        address: SocketAddr,
        state: Arc<ServerState>,
        _tasks: JoinSet<()>,
    },
    /// By somebody else, at this URL.
    Elsewhere(String),
}

#[derive(Default)]
struct ServerState {
    fetches: AtomicUsize,
    is_away: AtomicBool,
}

impl TestIssuer {
    /// Publishes by file.
    #[must_use]
    pub fn new() -> Self {
        Self::of_kind(KeyKind::EcP256)
    }

    #[must_use]
    pub fn of_kind(kind: KeyKind) -> Self {
        let issuer = Issuer::new(URL, kind).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let this = Self {
            issuer: Arc::new(Mutex::new(issuer)),
            published: Published::File { folder },
            fetched_each: FETCHED_EACH,
            max_stale: MAX_STALE,
        };
        this.publish();
        this
    }

    /// Publishes over HTTPS.
    pub async fn over_https() -> Self {
        let issuer = Arc::new(Mutex::new(Issuer::new(URL, KeyKind::EcP256).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<ServerState>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&issuer), Arc::clone(&state)));
        Self {
            issuer,
            published: Published::Server {
                address,
                state,
                _tasks: tasks,
            },
            fetched_each: FETCHED_EACH,
            max_stale: MAX_STALE,
        }
    }

    /// Has a relay fetch its keys so seldom, whatever tokens come.
    #[must_use]
    pub fn fetched_each(self, interval: &'static str) -> Self {
        Self {
            fetched_each: Some((interval, interval)),
            ..self
        }
    }

    /// Has a relay fetch its keys when it does so by itself.
    #[must_use]
    pub fn fetched_as_by_default(self) -> Self {
        Self {
            fetched_each: None,
            ..self
        }
    }

    /// Has a relay use its keys for so long after a fetch.
    #[must_use]
    pub fn kept_for(self, max_stale: &'static str) -> Self {
        Self { max_stale, ..self }
    }

    /// An issuer of another URL, whose [`TestIssuer::jwks`] the caller publishes at `keys_url`.
    pub(crate) fn published_by(url: &str, kind: KeyKind, keys_url: &str) -> Self {
        Self {
            issuer: Arc::new(Mutex::new(Issuer::new(url, kind).unwrap())),
            published: Published::Elsewhere(keys_url.to_owned()),
            fetched_each: FETCHED_EACH,
            max_stale: MAX_STALE,
        }
    }

    /// How often its keys were fetched by HTTPS.
    #[must_use]
    pub fn fetches(&self) -> usize {
        match &self.published {
            Published::File { .. } | Published::Elsewhere(_) => 0,
            Published::Server { state, .. } => state.fetches.load(Ordering::Relaxed),
        }
    }

    /// Hangs up on those who fetch by HTTPS, from now on.
    pub fn be_away(&self) {
        self.set_away(true);
    }

    /// After [`TestIssuer::be_away`].
    pub fn be_back(&self) {
        self.set_away(false);
    }

    fn set_away(&self, is_away: bool) {
        if let Published::Server { state, .. } = &self.published {
            state.is_away.store(is_away, Ordering::Relaxed);
        }
    }

    /// A token as GitLab would make it now, for an hour.
    #[must_use]
    pub fn token(&self, job: &JobIdentity) -> String {
        self.token_for(job, Duration::from_secs(3600))
    }

    #[must_use]
    pub fn token_for(&self, job: &JobIdentity, lifetime: Duration) -> String {
        self.issuer
            .lock()
            .token(job, AUDIENCE, SystemTime::now(), lifetime)
            .unwrap()
    }

    /// A token whose claims were tampered with before it was signed.
    #[must_use]
    pub fn signed(
        &self,
        job: &JobIdentity,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> String {
        let issuer = self.issuer.lock();
        let mut claims = issuer.claims(job, AUDIENCE, SystemTime::now(), Duration::from_secs(3600));
        change(&mut claims);
        issuer.sign(&claims).unwrap()
    }

    #[must_use]
    pub fn jwks(&self) -> String {
        self.issuer.lock().jwks()
    }

    /// Signs with a new key from now on, published beside the old one.
    pub fn rotate(&self) {
        self.issuer.lock().rotate().unwrap();
        self.publish();
    }

    /// Publishes the current key only.
    pub fn forget_retired(&self) {
        self.issuer.lock().forget_retired();
        self.publish();
    }

    /// Lines for `authorities.oidc.issuers`, with keys refetched quickly and removed ones forgotten at once.
    pub(crate) fn settings(&self) -> String {
        let source = match &self.published {
            Published::File { folder } => {
                format!("jwks_file: {}", keys_in(folder.path()).display())
            }
            Published::Server { address, .. } => {
                format!("jwks_url: https://127.0.0.1:{}/keys", address.port())
            }
            Published::Elsewhere(url) => format!("jwks_url: {url}"),
        };
        let url = self.issuer.lock().url().to_owned();
        let each = self.fetched_each.map(|(refresh, min_refresh)| {
            format!(", refresh_interval: {refresh}, min_refresh_interval: {min_refresh}")
        });
        let each = each.unwrap_or_default();
        let max_stale = self.max_stale;
        format!(
            "[{{ url: {url}, audiences: [{AUDIENCE}], {source}, leeway: 0s{each}, keep_removed_keys: 0s, max_stale: {max_stale} }}]"
        )
    }

    fn publish(&self) {
        if let Published::File { folder } = &self.published {
            // Renamed into place: a relay that reads meanwhile sees one or the other.
            let (next, keys) = (folder.path().join("next.json"), keys_in(folder.path()));
            std::fs::write(&next, self.jwks()).unwrap();
            std::fs::rename(next, keys).unwrap();
        }
    }
}

impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

fn keys_in(folder: &Path) -> PathBuf {
    folder.join("keys.json")
}

async fn serve(listener: TcpListener, issuer: Arc<Mutex<Issuer>>, state: Arc<ServerState>) {
    let tls = TlsAcceptor::from(pki::shared().server(&[pki::HTTP1]));
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        if state.is_away.load(Ordering::Relaxed) {
            continue;
        }
        let Ok(mut stream) = tls.accept(socket).await else {
            continue;
        };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n")
            && stream.read_buf(&mut head).await.is_ok_and(|len| len > 0)
        {}
        state.fetches.fetch_add(1, Ordering::Relaxed);
        let keys = issuer.lock().jwks();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{keys}",
            keys.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}
