//! The HTTP proxy of a company: it opens connections for those who ask with CONNECT and the right password.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{Raw, raw::field};

/// A running proxy.
pub struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl ConnectProxy {
    /// Wants this `Proxy-Authorization`.
    pub async fn start(authorization: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(
            listener,
            authorization.to_owned(),
            Arc::clone(&asked),
        ));
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Heads of all requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

async fn accept(listener: TcpListener, authorization: String, asked: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (authorization, asked) = (authorization.clone(), Arc::clone(&asked));
        connections.spawn(async move {
            let mut near = Raw::new(socket);
            let Some(head) = near.head().await else {
                return;
            };
            asked.lock().push(head.clone());
            if field(&head, "proxy-authorization") != Some(&authorization) {
                let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
                let _ = near.write(answer).await;
                return;
            }
            let Some(to) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
                return;
            };
            let Ok(mut far) = TcpStream::connect(to).await else {
                let _ = near.write("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
                return;
            };
            if near.write("HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                let _ = copy_bidirectional(&mut near.io, &mut far).await;
            }
        });
    }
}
