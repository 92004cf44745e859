//! Upgraded connections at the API server: whatever the protocol is called, bytes are sent back as they come, and when the
//! client's half has ended `bye` is sent and then this half ends, so that half-closing is seen in both directions.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, rt::Executor as _};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{State, answers::status};
use crate::{
    body::{self, Body},
    tasks::Executor,
};

pub(super) fn answer(
    mut request: Request<Incoming>,
    state: &Arc<State>,
    executor: &Executor,
) -> Response<Body> {
    let Some(protocol) = request.headers().get(header::UPGRADE).cloned() else {
        return status(StatusCode::BAD_REQUEST);
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let mut open = state.open();
    executor.execute(async move {
        if let Ok(upgraded) = upgrade.await
            && send_back(TokioIo::new(upgraded)).await.is_ok()
        {
            open.over();
        }
    });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, protocol);
    response.headers_mut().insert(
        "x-stream-protocol-version",
        HeaderValue::from_static("v4.channel.k8s.io"),
    );
    response
}

pub(super) async fn send_back(mut io: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let len = io.read(&mut bytes).await?;
        if len == 0 {
            break;
        }
        io.write_all(&bytes[..len]).await?;
        io.flush().await?;
    }
    io.write_all(b"bye").await?;
    io.shutdown().await
}
