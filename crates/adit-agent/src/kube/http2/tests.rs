//! A connection over memory: our client, and h2's server in the test's hands.

mod bodies;
mod connection;
mod ends;
mod expectation;

use std::convert::Infallible;

use adit_tunnel::{ResetReason, StreamError};
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use super::exchange::{Receiving, call};
use super::upload::{Expectation, Upload};
use super::*;
use crate::fake::soon;
use crate::kube::{CallError, RequestBody};

const LIMITS: PoolLimits = PoolLimits::DEFAULT;

type Server = server::Connection<DuplexStream, Bytes>;

/// A connection whose driver runs.
struct Client {
    connection: Arc<Connection>,
    driver: JoinSet<Loss>,
}

async fn pair(builder: &server::Builder) -> (Client, Server) {
    pair_with(builder, Window::Wide).await
}

async fn pair_with(builder: &server::Builder, window: Window) -> (Client, Server) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let (opened, server) =
        soon(async { tokio::join!(open(near, LIMITS, window), builder.handshake(far)) }).await;
    let (connection, client) = opened.unwrap();
    let connection = Arc::new(connection);
    let mut driver = JoinSet::new();
    driver.spawn(drive(client, Arc::clone(connection.load()), LIMITS));
    (Client { connection, driver }, server.unwrap())
}

impl Client {
    /// Sends a request, and lets the server take it; the server's connection must be driven on.
    async fn call(
        &self,
        body: Option<RequestBody>,
    ) -> Result<(Response<Receiving>, Upload), CallError> {
        let request = request(&body);
        call(
            self.connection.lease().unwrap(),
            request,
            body,
            Expectation::None,
            |_, _| {},
        )
        .await
    }
}

fn request(body: &Option<RequestBody>) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = "https://kube/api".parse().unwrap();
    *request.method_mut() = if body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    request
}

fn body(frames: Vec<Result<Frame<Bytes>, StreamError>>) -> RequestBody {
    RequestBody::new(StreamBody::new(futures_util::stream::iter(frames)))
}

fn text(text: &'static str) -> RequestBody {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body that never gives anything.
fn silent() -> RequestBody {
    RequestBody::new(StreamBody::new(futures_util::stream::pending()))
}

async fn accept(server: &mut Server) -> (Request<RecvStream>, SendResponse<Bytes>) {
    soon(server.accept()).await.unwrap().unwrap()
}

/// Drives the server's connection beside `work`, which holds what it accepted.
async fn while_served<T>(server: &mut Server, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    soon(poll_fn(|cx| {
        let _ = server.poll_accept(cx);
        work.as_mut().poll(cx)
    }))
    .await
}

/// What the client's part gives, while the server does its own and then only drives its connection. What that part returns is held
/// to the end: a stream that is dropped is reset.
async fn beside<Kept, T>(
    mut server: Server,
    part: impl AsyncFnOnce(&mut Server) -> Kept,
    client: impl Future<Output = T>,
) -> T {
    let serving = async {
        let _kept = part(&mut server).await;
        while_served(&mut server, std::future::pending::<Infallible>()).await
    };
    tokio::select! {
        done = soon(client) => done,
        never = serving => match never {},
    }
}

async fn read_all(mut recv: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(data) = recv.data().await {
        let data = data.unwrap();
        recv.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    (bytes, recv.trailers().await.unwrap())
}
