//! Connections that a test drives itself: HTTP/1.1 byte by byte, HTTP/2 stream by stream.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use http::Request;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{Setup, requests};

impl Setup {
    /// Writes a head and leaves the rest to the test.
    pub(crate) async fn raw_request(&self, method: &str, target: &str, fields: &str) -> TcpStream {
        self.write(&self.raw(method, target, fields)).await
    }

    /// GET under a token that lives so long.
    pub(crate) async fn raw_request_for(
        &self,
        lifetime: Duration,
        target: &str,
        fields: &str,
    ) -> TcpStream {
        let token = self.token_for(lifetime);
        self.write(&requests::raw(&token, "GET", target, fields))
            .await
    }

    async fn write(&self, head: &str) -> TcpStream {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        socket
    }

    pub(crate) async fn h2(&self) -> (SendRequest<Bytes>, Connection<TcpStream>) {
        let io = TcpStream::connect(&self.address).await.unwrap();
        h2::client::handshake(io).await.unwrap()
    }
}

/// A head for [`Setup::h2`].
pub(crate) fn h2_head<B>(request: Request<B>) -> Request<()> {
    absolute(request).map(drop)
}

/// With its target as HTTP/2 has it.
pub(super) fn absolute<B>(mut request: Request<B>) -> Request<B> {
    *request.uri_mut() = format!("http://relay{}", request.uri()).parse().unwrap();
    request
}

/// Reads up to the blank line, and no byte more.
pub(crate) async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Reads up to the end.
pub(crate) async fn rest(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut rest = String::new();
    socket.read_to_string(&mut rest).await.unwrap();
    rest
}

/// Puts a request that is whole; `None` when the connection is over.
pub(crate) async fn ask(
    send: &mut SendRequest<Bytes>,
    head: Request<()>,
) -> Option<(ResponseFuture, h2::SendStream<Bytes>)> {
    *send = send.clone().ready().await.ok()?;
    send.send_request(head, true).ok()
}

/// What `work` gives; the connection must outlive it.
pub(crate) async fn while_open<IO: AsyncRead + AsyncWrite + Unpin, T>(
    connection: Connection<IO>,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        biased;
        done = work => done,
        ended = connection => panic!("the connection goes on: {ended:?}"),
    }
}
