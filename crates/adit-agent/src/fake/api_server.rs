//! An API server: TLS with an authority of its own, HTTP/2 or HTTP/1.1 as the test wants, answers by a closure.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::{KubernetesConfig, PoolLimits};
use crate::kube::Kube;
use crate::metrics::Metrics;

pub(crate) type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// How it speaks.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) alpn: &'static [&'static [u8]],
    pub(crate) max_streams: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            alpn: &[adit_process::tls::H2, adit_process::tls::HTTP_1_1],
            max_streams: 100,
        }
    }
}

impl Terms {
    pub(crate) fn http1() -> Self {
        Self {
            alpn: &[adit_process::tls::HTTP_1_1],
            ..Self::default()
        }
    }
}

pub(crate) struct ApiServer {
    pub(crate) addr: SocketAddr,
    pub(crate) dir: TempDir,
    connections: Arc<AtomicUsize>,
    /// Send true: connections finish what runs and take no more.
    leave: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl ApiServer {
    pub(crate) async fn start<H, F>(terms: Terms, handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let dir = tempfile::tempdir().unwrap();
        let acceptor = acceptor(&dir, terms.alpn);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (connections, (leave, left)) = (Arc::new(AtomicUsize::new(0)), watch::channel(false));
        let mut tasks = JoinSet::new();
        let counted = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(
                    acceptor.clone(),
                    tcp,
                    terms,
                    handler.clone(),
                    left.clone(),
                ));
            }
        });
        let server = Self {
            addr,
            dir,
            connections,
            leave,
            _tasks: tasks,
        };
        std::fs::write(
            server.kubeconfig(),
            server.kubeconfig_text("token: agent-secret"),
        )
        .unwrap();
        server
    }

    /// Connections since the start.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// GOAWAY on all connections there are now.
    pub(crate) fn go_away(&self) {
        self.leave.send_replace(true);
        self.leave.send_replace(false);
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    pub(crate) fn kubeconfig_text(&self, user: &str) -> String {
        let (addr, ca) = (self.addr, self.dir.path().join("ca.pem"));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{ name: c, context: {{ cluster: k, user: u }} }}]\n\
             clusters: [{{ name: k, cluster: {{ server: 'https://{addr}', certificate-authority: '{}' }} }}]\n\
             users: [{{ name: u, user: {{ {user} }} }}]\n",
            ca.display()
        )
    }

    pub(crate) fn config(&self) -> KubernetesConfig {
        KubernetesConfig {
            kubeconfig: Some(self.kubeconfig()),
            context: None,
            connect_timeout: Duration::from_secs(5),
            pool: PoolLimits {
                max_connections: 4,
                max_upgrades: 2,
                ..PoolLimits::DEFAULT
            },
        }
    }

    pub(crate) async fn kube(&self) -> Kube {
        Kube::load(&self.config(), Metrics::default())
            .await
            .unwrap()
    }
}

async fn serve<H, F>(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    terms: Terms,
    handler: H,
    mut left: watch::Receiver<bool>,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let Ok(tls) = acceptor.accept(tcp).await else {
        return;
    };
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler(request).await) }
    });
    let is_http2 = tls.get_ref().1.alpn_protocol() == Some(adit_process::tls::H2);
    let io = TokioIo::new(tls);
    left.mark_unchanged();
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut connection = std::pin::pin!(
            builder
                .max_concurrent_streams(terms.max_streams)
                .serve_connection(io, service)
        );
        tokio::select! {
            _ = &mut connection => {}
            _ = left.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .with_upgrades()
            .await;
    }
}

fn acceptor(dir: &TempDir, alpn: &[&[u8]]) -> TlsAcceptor {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(adit_process::tls::provider());
    let config = config
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let mut config = config
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

pub(crate) fn full(text: impl Into<Bytes>) -> Reply {
    Response::new(Full::new(text.into()).boxed_unsync())
}

pub(crate) fn empty() -> Reply {
    Response::new(Empty::new().boxed_unsync())
}
