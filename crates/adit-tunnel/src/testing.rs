//! Both ends of a tunnel without a network between them, for tests and benches of what stands on tunnels; nothing that is
//! released has this. Invariant: the ends speak as they do over TCP, HTTP/2 and all.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::future::poll_fn;

use futures_util::{FutureExt as _, future};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Driver, MAX_FRAME_BYTES, Options, SEND_BUFFER_BYTES, SendBuf, Tunnel, WINDOW, connect, serve,
};

/// The relay's end, then the agent's, of a tunnel over memory; and one driver for both.
///
/// # Panics
/// When no tunnel comes about.
pub async fn pair(
    relay: Options,
    agent: Options,
) -> (Tunnel, Tunnel, impl Future<Output = ()> + Send) {
    let (near, far) = tokio::io::duplex(2 * MAX_FRAME_BYTES as usize);
    let token = HeaderValue::from_static("Bearer token");
    let dialled = connect(far, "relay.test", &token, agent);
    let ((relay, serving), dialled) = future::join(accept(near, relay), dialled).await;
    let (agent, _, dialling) = dialled.expect("the relay's end takes every call");
    (relay, agent, future::join(serving, dialling).map(drop))
}

/// The relay's end over a transport with nothing else on it: the mirror of [`connect`]. Takes every token.
///
/// # Panics
/// When what comes is not a call.
pub async fn accept<IO>(io: IO, options: Options) -> (Tunnel, Driver)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    let handshake = builder.handshake::<_, SendBuf>(io).await;
    let mut connection = handshake.expect("the peer speaks HTTP/2");
    let call = connection.accept().await.expect("the peer calls");
    let (request, respond) = call.expect("its call is one");
    let (opening, driver) = serve(request, respond, options);
    // Until the peer hangs up: it has the last words by then.
    let closed = async move { poll_fn(|cx| connection.poll_closed(cx)).await };
    let driver: Driver = future::join(driver, closed).map(|(end, _)| end).boxed();
    match future::select(opening, driver).await {
        future::Either::Left((opened, driver)) => (opened.expect("the peer says Hello"), driver),
        future::Either::Right((end, _)) => panic!("the session ended: {end}"),
    }
}
