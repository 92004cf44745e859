//! A relay's end of tunnels: accepts agents with the right token on loopback, without TLS, and hands their tunnels over.

use std::net::SocketAddr;

use adit_tunnel::{CloseReason, Options, SendBuf, Tunnel};
use http::{Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::soon;
use crate::config::{Config, RawConfig};

pub(crate) struct Relay {
    addr: SocketAddr,
    tunnels: mpsc::Receiver<Tunnel>,
    refused: mpsc::Receiver<()>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (give, tunnels) = mpsc::channel(8);
        let (refuse, refused) = mpsc::channel(8);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                serving.spawn(serve(tcp, give.clone(), refuse.clone()));
            }
        });
        Self {
            addr,
            tunnels,
            refused,
            _tasks: tasks,
        }
    }

    /// The next agent that connects.
    pub(crate) async fn tunnel(&mut self) -> Tunnel {
        soon(self.tunnels.recv()).await.unwrap()
    }

    /// The next agent whose token was refused.
    pub(crate) async fn refused(&mut self) {
        soon(self.refused.recv()).await.unwrap();
    }

    /// An agent of this relay, with the token it knows and no patience; calls the API server that `kubeconfig` names.
    pub(crate) fn agent(&self, kubeconfig: std::path::PathBuf) -> RawConfig {
        let mut raw = RawConfig::default();
        raw.relay.url = Some(format!("http://{}", self.addr));
        raw.relay.backoff_base = Some("10ms".into());
        raw.relay.backoff_cap = Some("10ms".into());
        raw.relay.healthy_after = Some("1ms".into());
        raw.kubernetes.kubeconfig = Some(kubeconfig);
        raw.admin.address = Some("127.0.0.1:0".into());
        raw.token = Some(TOKEN.into());
        raw
    }
}

/// The checked form.
pub(crate) fn checked(raw: RawConfig) -> Config {
    Config::try_from(raw).unwrap()
}

async fn serve(tcp: TcpStream, give: mpsc::Sender<Tunnel>, refuse: mpsc::Sender<()>) {
    let mut connection = h2::server::Builder::new()
        .handshake::<_, SendBuf>(tcp)
        .await
        .unwrap();
    let Some(Ok((request, mut respond))) = connection.accept().await else {
        return;
    };
    let mut tasks = JoinSet::new();
    if is_known(&request) {
        let (opening, driver) = adit_tunnel::serve(request, respond, Options::default());
        tasks.spawn(async move {
            driver.await;
        });
        tasks.spawn(async move {
            if let Ok(tunnel) = opening.await {
                let _ = give.send(tunnel.clone()).await;
                tunnel.drained().await;
                tunnel.close(CloseReason::Done, "drained");
            }
        });
    } else {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        respond.send_response(response, true).unwrap();
        let _ = refuse.send(()).await;
    }
    while let Some(Ok(_)) = connection.accept().await {}
    drop(connection);
    // What came last is still to be read.
    while tasks.join_next().await.is_some() {}
}

fn is_known(request: &Request<h2::RecvStream>) -> bool {
    request
        .headers()
        .get("authorization")
        .is_some_and(|value| value == &format!("Bearer {TOKEN}"))
}

pub(crate) const TOKEN: &str = "right-token";
