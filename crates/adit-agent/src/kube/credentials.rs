//! Decides what the agent shows the API server as its own credential, beside a client certificate. [`super::Kube`] asks
//! for the header once per request, so it lies ready: renewing it happens aside.
//! Invariant: the request path never reads a file or waits for a plugin, and a token that cannot be renewed stays in use,
//! since clusters may take a token file away after start (kubernetes/kubernetes#68164).

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use adit_process::secret_file::is_token;
use adit_process::{chain, whole};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Empty;
use kube_client::client::middleware::AuthLayer;
use kube_client::client::{AuthError, ConfigExt};
use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use secrecy::zeroize::Zeroize;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// The agent's own credential for the API server.
pub(crate) struct Credentials {
    current: RwLock<Option<HeaderValue>>,
    source: Source,
    /// The API server did not accept it.
    doubted: Notify,
    failures: Counter,
}

enum Source {
    /// A client certificate, or nothing at all.
    None,
    /// A service account's token, which is replaced before it expires.
    File(PathBuf),
    /// A token in the kubeconfig, a user and password, or a plugin: kube's client library knows them.
    Kube(Box<Library>),
}

/// Kube's client library as a source. It runs a plugin when its layer is made, and again shortly before what the plugin
/// gave expires.
struct Library {
    config: kube_client::Config,
    layer: tokio::sync::Mutex<Option<AuthLayer>>,
}

/// Whether what was got before, and has not expired, will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Valid,
    New,
}

/// What renewing gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewed {
    Same,
    Other,
}

/// Why there is no credential. Shows no token and nothing that a plugin printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("cannot read the token file {}", whole(path).display())]
    ReadFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the token is not one line of visible ASCII characters")]
    NotAToken,
    #[error("the kubeconfig's credential plugin failed with {0}")]
    Plugin(ExitStatus),
    #[error("the credential plugin cannot be started")]
    PluginStart(#[source] std::io::Error),
    #[error(
        "the credentials in the kubeconfig cannot be used, or its plugin answered something else than an ExecCredential"
    )]
    Unusable,
}

impl Credentials {
    /// Gets the first one.
    pub(crate) async fn load(
        kube: &kube_client::Config,
        failures: Counter,
    ) -> Result<Self, CredentialError> {
        let credentials = Self {
            current: RwLock::new(None),
            source: Source::of(kube),
            doubted: Notify::new(),
            failures,
        };
        credentials.renew(Want::New).await?;
        Ok(credentials)
    }

    /// The whole `Authorization` value; `None` with a client certificate.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        self.current.read().clone()
    }

    /// The API server answered 401: perhaps the token was replaced a moment ago.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Renews the credential for ever: each half minute, and soon after a doubt. The owner runs it.
    pub(crate) async fn keep_fresh(&self) {
        let mut by_clock = tokio::time::interval(RENEW_EVERY);
        by_clock.reset();
        let (mut is_doubted, mut heeded, mut apart) = (false, Instant::now(), LEAST_APART);
        loop {
            let want = tokio::select! {
                () = self.doubted.notified(), if !is_doubted => {
                    is_doubted = true;
                    continue;
                }
                () = tokio::time::sleep_until(heeded + apart), if is_doubted => Want::New,
                _ = by_clock.tick() => Want::Valid,
            };
            if want == Want::New {
                tracing::info!("the API server answered 401, renewing the agent's credential");
            }
            let renewed = self.renew(want).await;
            if let Err(error) = &renewed {
                self.failures.inc();
                tracing::warn!(
                    error = chain(error),
                    "cannot renew the agent's Kubernetes credential, the last one stays in use"
                );
            }
            if want == Want::New {
                (is_doubted, heeded) = (false, Instant::now());
                // The same again is of no use so soon: whatever the API server dislikes, it is not the credential's age.
                apart = (apart * 2).min(MOST_APART);
            }
            if matches!(renewed, Ok(Renewed::Other)) {
                apart = LEAST_APART;
            }
        }
    }

    async fn renew(&self, want: Want) -> Result<Renewed, CredentialError> {
        let fresh = match &self.source {
            Source::None => None,
            Source::File(path) => Some(read(path)?),
            Source::Kube(library) => library.authorization(want).await?,
        };
        let mut current = self.current.write();
        if *current == fresh {
            return Ok(Renewed::Same);
        }
        *current = fresh;
        Ok(Renewed::Other)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Source {
    fn of(kube: &kube_client::Config) -> Self {
        let auth = &kube.auth_info;
        let has_other =
            auth.auth_provider.is_some() || auth.token.is_some() || auth.username.is_some();
        match &auth.token_file {
            Some(file) if !has_other => Self::File(PathBuf::from(file)),
            None if !has_other && auth.exec.is_none() => Self::None,
            _ => Self::Kube(Box::new(Library {
                config: kube.clone(),
                layer: tokio::sync::Mutex::new(None),
            })),
        }
    }
}

impl CredentialError {
    /// Takes from kube's errors what is safe to show.
    pub(crate) fn from_kube(error: kube_client::Error) -> Self {
        if let kube_client::Error::Auth(error) = error {
            return Self::from_auth(error);
        }
        Self::Unusable
    }

    fn from_auth(error: AuthError) -> Self {
        // Its command line may hold secrets as well as its output.
        if let AuthError::AuthExecRun { out, .. } = &error {
            return Self::Plugin(out.status);
        }
        if let AuthError::AuthExecStart(error) = error {
            return Self::PluginStart(error);
        }
        Self::Unusable
    }
}

fn read(path: &PathBuf) -> Result<HeaderValue, CredentialError> {
    let read = std::fs::read_to_string(path);
    let mut token = read.map_err(|source| CredentialError::ReadFile {
        path: path.clone(),
        source,
    })?;
    let value = bearer(token.trim());
    token.zeroize();
    value
}

/// An `Authorization` value that no `Debug` shows.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, CredentialError> {
    if !is_token(token) {
        return Err(CredentialError::NotAToken);
    }
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| CredentialError::NotAToken)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Library {
    /// What the library puts into a request: one is sent through its layer to a service that only looks.
    async fn authorization(&self, want: Want) -> Result<Option<HeaderValue>, CredentialError> {
        let mut kept = self.layer.lock().await;
        if want == Want::New || kept.is_none() {
            let config = self.config.clone();
            // It runs plugins, and waits for them.
            let made = tokio::task::spawn_blocking(move || config.auth_layer()).await;
            *kept = made
                .map_err(|_| CredentialError::Unusable)?
                .map_err(CredentialError::from_kube)?;
        }
        let Some(layer) = &*kept else { return Ok(None) };
        let mut service = layer.layer(Look);
        let looked = service.call(Request::new(Empty::new())).await;
        looked
            .map(Response::into_body)
            .map_err(|error| match error.downcast::<AuthError>() {
                Ok(error) => CredentialError::from_auth(*error),
                Err(_) => CredentialError::Unusable,
            })
    }
}

/// Answers a request with its own `Authorization`.
#[derive(Clone, Debug)]
struct Look;

impl Service<Request<Empty<Bytes>>> for Look {
    type Response = Response<Option<HeaderValue>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        std::future::ready(Ok(Response::new(
            request.headers().get(header::AUTHORIZATION).cloned(),
        )))
    }
}

/// Kubernetes wants a token file reread at least once a minute.
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// So that a flood of answers with 401 does not run a plugin as often.
const LEAST_APART: Duration = Duration::from_secs(5);
/// How seldom it becomes while renewing changes nothing.
const MOST_APART: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
