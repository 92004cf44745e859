//! A connection for generated gRPC clients: HTTP/2, with its task owned by whoever holds it.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tonic::body::Body;

use crate::tasks::Tasks;

/// What a client sends its requests over; clones share it.
#[derive(Clone)]
pub struct Grpc {
    sender: http2::SendRequest<Body>,
    origin: Uri,
    _tasks: Tasks,
}

impl Grpc {
    /// # Panics
    ///
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        // As gRPC's own libraries do; a call waits for the acknowledgement of the one before otherwise.
        socket.set_nodelay(true).unwrap();
        Self::over(socket).await
    }

    /// Over a connection that is there.
    ///
    /// # Panics
    ///
    /// When no HTTP/2 is spoken there.
    pub async fn over<IO>(io: IO) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tasks = Tasks::default();
        let (sender, connection) = http2::Builder::new(tasks.executor())
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(io))
            .await
            .unwrap();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        Self {
            sender,
            origin: Uri::from_static("http://double.test"),
            _tasks: tasks,
        }
    }

    /// What clients are made with, beside this.
    #[must_use]
    pub fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

impl tower_service::Service<Request<Body>> for Grpc {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, hyper::Result<Response<Incoming>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
