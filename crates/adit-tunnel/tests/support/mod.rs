//! A relay's and an agent's end over an in-memory transport.

use std::{future::poll_fn, sync::Arc, time::Duration};

use adit_tunnel::{
    Driver, Options, Read, SendBuf, StreamError, Tunnel, TunnelStream, WINDOW, connect, serve,
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future::BoxFuture};
use http::HeaderValue;
use tokio::{io::DuplexStream, task::JoinSet};

pub struct Pair {
    pub relay: Tunnel,
    pub agent: Tunnel,
    pub tasks: JoinSet<()>,
    pub wire: Wire,
}

/// What lies between the two ends: carries bytes until told to fall silent, and then keeps both ends open.
pub struct Wire {
    carrying: JoinSet<()>,
    ends: Arc<tokio::sync::Mutex<(DuplexStream, DuplexStream)>>,
}

impl Wire {
    fn between(left: DuplexStream, right: DuplexStream) -> Self {
        let ends = Arc::new(tokio::sync::Mutex::new((left, right)));
        let mut carrying = JoinSet::new();
        let carried = Arc::clone(&ends);
        carrying.spawn(async move {
            let mut ends = carried.lock().await;
            let (left, right) = &mut *ends;
            let _ = tokio::io::copy_bidirectional(left, right).await;
            // A connection that ended at one side ends at the other.
            *ends = (tokio::io::duplex(1).0, tokio::io::duplex(1).0);
        });
        Self { carrying, ends }
    }

    pub async fn fall_silent(&mut self) {
        self.carrying.shutdown().await;
        let _open = self.ends.lock().await;
    }
}

pub async fn pair(relay: Options, agent: Options) -> Pair {
    let ((ours, left), (right, theirs)) =
        (tokio::io::duplex(64 << 10), tokio::io::duplex(64 << 10));
    let wire = Wire::between(left, right);
    let mut tasks = JoinSet::new();
    let (send, opened) = tokio::sync::oneshot::channel();
    tasks.spawn(serve_one(theirs, relay, send));
    let (agent, driver) = connect(
        ours,
        "relay.test",
        &HeaderValue::from_static("Bearer t"),
        agent,
    )
    .await
    .unwrap();
    tasks.spawn(driver.map(drop));
    let relay = opened.await.unwrap();
    Pair {
        relay,
        agent,
        tasks,
        wire,
    }
}

/// Serves the first call of one HTTP/2 connection as a tunnel.
pub async fn serve_one(
    io: DuplexStream,
    options: Options,
    opened: tokio::sync::oneshot::Sender<Tunnel>,
) {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, SendBuf>(io)
        .await
        .unwrap();
    let (request, respond) = connection.accept().await.unwrap().unwrap();
    let (opening, mut driver): (_, Driver) = serve(request, respond, options);
    let mut opening: Option<BoxFuture<'static, _>> = Some(opening.boxed());
    let mut opened = Some(opened);
    poll_fn(|cx| {
        loop {
            let closed = connection.poll_closed(cx);
            if let Some(future) = &mut opening
                && let std::task::Poll::Ready(tunnel) = future.poll_unpin(cx)
            {
                opening = None;
                if let (Ok(tunnel), Some(opened)) = (tunnel, opened.take()) {
                    let _ = opened.send(tunnel);
                }
                continue;
            }
            let driven = driver.poll_unpin(cx);
            let flushed = connection.poll_closed(cx);
            return match driven {
                std::task::Poll::Ready(_) => std::task::Poll::Ready(()),
                std::task::Poll::Pending if closed.is_ready() || flushed.is_ready() => {
                    std::task::Poll::Ready(())
                }
                std::task::Poll::Pending => std::task::Poll::Pending,
            };
        }
    })
    .await;
    // Lets the last words out.
    let _ = tokio::time::timeout(
        Duration::from_millis(50),
        poll_fn(|cx| connection.poll_closed(cx)),
    )
    .await;
}

pub async fn head(stream: &TunnelStream) -> Result<Bytes, StreamError> {
    poll_fn(|cx| stream.poll_head(cx)).await
}

pub async fn read(stream: &TunnelStream) -> Result<Read, StreamError> {
    poll_fn(|cx| stream.poll_read(cx)).await
}

/// How a stream ends by accident.
pub async fn failure(stream: &TunnelStream) -> StreamError {
    poll_fn(|cx| stream.poll_failure(cx)).await
}

/// The whole of the peer's half.
pub async fn read_all(stream: &TunnelStream) -> Result<Bytes, StreamError> {
    let mut all = BytesMut::new();
    loop {
        match read(stream).await? {
            Read::Data(data) => all.extend_from_slice(&data),
            Read::Trailers(_) => {}
            Read::End => return Ok(all.freeze()),
        }
    }
}

pub async fn write_all(
    stream: &TunnelStream,
    mut data: Bytes,
    end: bool,
) -> Result<(), StreamError> {
    while !data.is_empty() {
        poll_fn(|cx| stream.poll_room(cx)).await?;
        let piece = data.split_to(data.len().min(32 << 10));
        stream.write(piece, false)?;
    }
    if end {
        stream.write(Bytes::new(), true)
    } else {
        Ok(())
    }
}

/// Answers each stream with its open bytes as the head and its body as the body.
pub async fn echo(agent: Tunnel) {
    let mut streams = JoinSet::new();
    while let Some((stream, open)) = agent.accept().await {
        streams.spawn(async move {
            stream.send_head(open)?;
            loop {
                poll_fn(|cx| stream.poll_room(cx)).await?;
                match read(&stream).await? {
                    Read::Data(data) => stream.write(data, false)?,
                    Read::Trailers(trailers) => return stream.send_trailers(trailers),
                    Read::End => return stream.write(Bytes::new(), true),
                }
            }
        });
    }
}

pub fn options() -> Options {
    Options::default()
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("a test takes less than 30 s")
}

pub fn pattern(bytes: usize) -> Bytes {
    (0..bytes)
        .map(|at| (at * 31 % 251) as u8)
        .collect::<Vec<_>>()
        .into()
}
