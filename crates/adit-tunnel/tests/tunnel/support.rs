//! A relay's and an agent's end, what they say on a stream, and what lies between them.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use adit_tunnel::{
    Options, Read, RequestBody, ResetReason, StreamError, Terms, Tunnel, TunnelStream, connect,
    testing,
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future};
use http::HeaderValue;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream},
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Both ends. The drivers and whatever serves the agent's end are among `tasks`.
pub(crate) struct Pair {
    pub(crate) relay: Tunnel,
    pub(crate) agent: Tunnel,
    pub(crate) tasks: JoinSet<()>,
}

pub(crate) async fn pair() -> Pair {
    pair_with(Options::default()).await
}

/// With a relay that is not the usual one.
pub(crate) async fn pair_with(relay: Options) -> Pair {
    pair_of(relay, Options::default()).await
}

pub(crate) async fn pair_of(relay: Options, agent: Options) -> Pair {
    let (relay, agent, driver) = testing::pair(relay, agent).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(driver);
    Pair {
        relay,
        agent,
        tasks,
    }
}

/// With an agent that answers each stream with its open bytes as the head and its body as the body.
pub(crate) async fn echoing_pair() -> Pair {
    let mut pair = pair().await;
    pair.serve(echo);
    pair
}

async fn echo(stream: TunnelStream, open: Bytes) -> Result<(), StreamError> {
    stream.send_head(open)?;
    loop {
        poll_fn(|cx| stream.poll_room(cx)).await?;
        match read(&stream).await? {
            Read::Data(data) => stream.write(data, false)?,
            Read::Trailers(trailers) => return stream.send_trailers(trailers),
            Read::End => return stream.write(Bytes::new(), true),
        }
    }
}

impl Pair {
    /// Has the agent's end serve each stream like this.
    pub(crate) fn serve<F, Fut>(&mut self, answer: F)
    where
        F: Fn(TunnelStream, Bytes) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), StreamError>> + Send + 'static,
    {
        let agent = self.agent.clone();
        self.tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Some((stream, open)) = agent.accept().await {
                streams.spawn(answer(stream, open));
            }
        });
    }

    /// Opens a stream without a request body.
    pub(crate) fn get(&self, open: &'static str) -> TunnelStream {
        self.relay
            .open(open.into(), RequestBody::Absent, Terms::default())
            .unwrap()
    }

    /// Opens a stream whose request body follows.
    pub(crate) fn post(&self, open: impl Into<Bytes>) -> TunnelStream {
        self.relay
            .open(open.into(), RequestBody::Follows, Terms::default())
            .unwrap()
    }

    /// The next stream, at the agent.
    pub(crate) async fn accepted(&self) -> TunnelStream {
        self.agent.accept().await.unwrap().0
    }
}

/// What lies between two ends: carries bytes until told to fall silent, and then keeps both ends open.
pub(crate) struct Wire {
    carrying: JoinSet<()>,
    ends: Arc<Mutex<(DuplexStream, DuplexStream)>>,
}

/// A pair with a wire of its own.
pub(crate) async fn wired_pair() -> (Pair, Wire) {
    let (near, left) = tokio::io::duplex(64 << 10);
    let (right, far) = tokio::io::duplex(64 << 10);
    let wire = Wire::between(left, right);
    (pair_over(near, far, &Options::default()).await, wire)
}

/// An echoing pair whose ends are so far apart, by a wire that is never full.
pub(crate) async fn distant_pair(each_way: Duration, options: &Options) -> Pair {
    let ends = || tokio::io::duplex(ENDLESS);
    let ((near, left), (right, far)) = (ends(), ends());
    let (from_left, to_left) = tokio::io::split(left);
    let (from_right, to_right) = tokio::io::split(right);
    let mut wires = JoinSet::new();
    wires.spawn(carry_late(from_left, to_right, each_way));
    wires.spawn(carry_late(from_right, to_left, each_way));
    let mut pair = pair_over(near, far, options).await;
    pair.serve(echo);
    pair.tasks
        .spawn(async move { while wires.join_next().await.is_some() {} });
    pair
}

/// Bytes arrive so much later than they were sent.
async fn carry_late(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    later: Duration,
) {
    let (sent, mut arriving) = mpsc::channel(ENDLESS >> 10);
    let sending = async move {
        let mut bytes = BytesMut::new();
        while matches!(from.read_buf(&mut bytes).await, Ok(1..)) {
            let _ = sent.send((Instant::now() + later, bytes.split())).await;
        }
    };
    let delivering = async {
        while let Some((due, bytes)) = arriving.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(sending, delivering);
}

async fn pair_over(near: DuplexStream, far: DuplexStream, options: &Options) -> Pair {
    let token = HeaderValue::from_static("Bearer t");
    let dialled = connect(far, "relay.test", &token, options.clone());
    let accepted = testing::accept(near, options.clone());
    let ((relay, serving), dialled) = future::join(accepted, dialled).await;
    let (agent, _, dialling) = dialled.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(serving.map(drop));
    tasks.spawn(dialling.map(drop));
    Pair {
        relay,
        agent,
        tasks,
    }
}

/// More than anybody sends here.
const ENDLESS: usize = 1 << 30;

impl Wire {
    fn between(left: DuplexStream, right: DuplexStream) -> Self {
        let ends = Arc::new(Mutex::new((left, right)));
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

    pub(crate) async fn fall_silent(&mut self) {
        self.carrying.shutdown().await;
        let _open = self.ends.lock().await;
    }
}

pub(crate) async fn head(stream: &TunnelStream) -> Result<Bytes, StreamError> {
    poll_fn(|cx| stream.poll_head(cx)).await
}

pub(crate) async fn read(stream: &TunnelStream) -> Result<Read, StreamError> {
    poll_fn(|cx| stream.poll_read(cx)).await
}

/// How a stream ends by accident.
pub(crate) async fn failure(stream: &TunnelStream) -> StreamError {
    poll_fn(|cx| stream.poll_failure(cx)).await
}

pub(crate) fn has_not_failed(stream: &TunnelStream) -> bool {
    let cx = Context::from_waker(Waker::noop());
    stream.poll_failure(&cx).is_pending()
}

/// Fails unless the peer reset the stream for this reason.
#[track_caller]
pub(crate) fn assert_reset(error: &StreamError, expected: ResetReason) {
    assert!(
        matches!(error, StreamError::Reset { reason, .. } if *reason == expected),
        "{error:?}"
    );
}

/// The whole of the peer's half.
pub(crate) async fn read_all(stream: &TunnelStream) -> Result<Bytes, StreamError> {
    let mut all = BytesMut::new();
    loop {
        match read(stream).await? {
            Read::Data(data) => all.extend_from_slice(&data),
            Read::Trailers(_) => {}
            Read::End => return Ok(all.freeze()),
        }
    }
}

/// The whole of this half.
pub(crate) async fn write_all(stream: &TunnelStream, mut data: Bytes) -> Result<(), StreamError> {
    while !data.is_empty() {
        poll_fn(|cx| stream.poll_room(cx)).await?;
        let piece = data.split_to(data.len().min(32 << 10));
        stream.write(piece, false)?;
    }
    stream.write(Bytes::new(), true)
}

/// Sends a body, and gives what comes back meanwhile.
pub(crate) async fn send_and_read(stream: &TunnelStream, body: Bytes) -> Bytes {
    let (sent, received) = tokio::join!(write_all(stream, body), read_all(stream));
    sent.unwrap();
    received.unwrap()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future)
        .await
        .expect("a test takes less than a minute")
}

/// Bytes that show when some are missing or change places. Copied from one period: hundreds of MiB made byte by byte would keep an
/// unoptimised test from answering pings.
pub(crate) fn pattern(bytes: usize) -> Bytes {
    let period: Vec<_> = (0..251_usize).map(|at| (at * 31 % 251) as u8).collect();
    let mut whole = period.repeat(bytes.div_ceil(period.len()));
    whole.truncate(bytes);
    whole.into()
}
