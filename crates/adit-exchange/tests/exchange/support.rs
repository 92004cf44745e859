//! A relay's and an agent's end over an in-memory transport, and bodies that tests hold in their hands.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use adit_exchange::{Ask, AskError, Asked, HeadLimits, Question};
use adit_identity::{ActAs, Impersonation};
use adit_tunnel::{Options, StreamError, Tunnel, TunnelStream};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::{sync::mpsc, task::JoinSet};

pub(crate) struct Pair {
    pub(crate) relay: Tunnel,
    pub(crate) agent: Tunnel,
    _tasks: JoinSet<()>,
}

pub(crate) async fn pair() -> Pair {
    let (relay, agent, driver) =
        adit_tunnel::testing::pair(Options::default(), Options::default()).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(driver);
    Pair {
        relay,
        agent,
        _tasks: tasks,
    }
}

impl Pair {
    /// The next thing asked, at the agent.
    pub(crate) async fn asked(&self) -> (Asked, Arc<TunnelStream>) {
        let (stream, head) = self.agent.accept().await.unwrap();
        (
            Asked::read(&head, HeadLimits::default()).unwrap(),
            Arc::new(stream),
        )
    }

    /// Asks as the relay does, for a job.
    pub(crate) async fn ask<B>(
        &self,
        request: Request<B>,
    ) -> Result<http::Response<adit_exchange::AnswerBody>, AskError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
    {
        question(request)?
            .put(&self.relay, Default::default())
            .await
    }
}

/// The agent's part and the relay's, on a pair of their own. What the agent's returns is held until the relay's is over.
pub(crate) async fn side_by_side<Kept>(
    agent: impl AsyncFnOnce(&Pair) -> Kept,
    relay: impl AsyncFnOnce(&Pair),
) {
    within(async {
        let pair = pair().await;
        tokio::join!(agent(&pair), relay(&pair));
    })
    .await;
}

/// An answer's whole body.
pub(crate) async fn whole(response: http::Response<adit_exchange::AnswerBody>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

pub(crate) fn question<B>(mut request: Request<B>) -> Result<Question<B>, AskError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let uri = std::mem::take(request.uri_mut());
    let upgrade = adit_exchange::upgrade_asked(&request);
    let act_as = job();
    let ask = Ask {
        target: uri.path_and_query().unwrap().as_str(),
        act_as: &act_as,
        request_id: "r-1",
        upgrade: upgrade.as_ref(),
        limits: HeadLimits::default(),
    };
    Question::new(request, ask)
}

pub(crate) fn job() -> ActAs {
    let groups = vec!["gitlab:ci_job".to_owned()];
    ActAs::Impersonate(Impersonation::new("gitlab:ci_job:1".into(), None, groups, vec![]).unwrap())
}

type FrameResult = Result<Frame<Bytes>, &'static str>;

/// A body whose frames a test sends one by one; it ends when the sender is dropped.
pub(crate) struct Fed {
    frames: mpsc::Receiver<FrameResult>,
    polls: Arc<AtomicUsize>,
}

pub(crate) struct Feeder {
    pub(crate) frames: mpsc::Sender<FrameResult>,
    polls: Arc<AtomicUsize>,
}

pub(crate) fn fed() -> (Feeder, Fed) {
    let (send, frames) = mpsc::channel(1);
    let polls = Arc::new(AtomicUsize::new(0));
    (
        Feeder {
            frames: send,
            polls: Arc::clone(&polls),
        },
        Fed { frames, polls },
    )
}

impl Feeder {
    pub(crate) async fn data(&self, data: impl Into<Bytes>) {
        self.frames
            .send(Ok(Frame::data(data.into())))
            .await
            .unwrap();
    }

    pub(crate) async fn trailers(self, trailers: HeaderMap) {
        self.frames
            .send(Ok(Frame::trailers(trailers)))
            .await
            .unwrap();
    }

    pub(crate) async fn fail(self) {
        self.frames.send(Err("cut off")).await.unwrap();
    }

    pub(crate) fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<FrameResult>> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        self.frames.poll_recv(cx)
    }
}

/// Waits, at the agent, until a stream whose request has no body is over by accident.
pub(crate) async fn lost(stream: &TunnelStream) -> StreamError {
    poll_fn(|cx| stream.poll_head(cx)).await.unwrap_err()
}

/// The next data of a body.
pub(crate) async fn data<B: Body<Data = Bytes, Error: std::fmt::Debug> + Unpin>(
    body: &mut B,
) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

pub(crate) fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let future = pin!(future);
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("a test takes less than 20 s")
}
