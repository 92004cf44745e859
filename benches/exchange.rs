//! What an HTTP exchange costs between relay and agent: heads, bodies, the session and HTTP/2 under it, over memory instead of TLS
//! and TCP, on one thread. `README.md` says how to run it and how to compare.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench fails by panicking"
)]

use std::{convert::Infallible, sync::Arc};

use adit_benches::shape::Shape;
use adit_exchange::{Ask, Asked, HeadLimits, answer, ask};
use adit_identity::{ActAs, AgentId, JobIdentity};
use adit_tunnel::{Options, Terms, Tunnel, TunnelStream, testing};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{future::join_all, stream};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

criterion_main!(benches);
criterion_group!(benches, exchanges);

fn exchanges(criterion: &mut Criterion) {
    let small = |streams| Shape::of("exchange").streams(streams).body(2 << 10);
    let large = Shape::of("exchange").streams(1).body(16 << 20);
    for shape in [small(1), small(64), large] {
        let lane = Lane::open();
        let mut group = criterion.benchmark_group(shape.name());
        group.throughput(Throughput::Bytes(shape.bytes()));
        group.bench_function("download", |bencher| {
            bencher.iter(|| lane.run(&shape, Lane::download));
        });
        group.bench_function("upload", |bencher| {
            bencher.iter(|| lane.run(&shape, Lane::upload));
        });
    }
}

/// Both ends of a tunnel. The agent reads each request whole and answers with so many bytes as its path says.
struct Lane {
    runtime: Runtime,
    relay: Tunnel,
    act_as: ActAs,
    _tasks: JoinSet<()>,
}

impl Lane {
    fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut tasks = JoinSet::new();
        let pair = testing::pair(Options::default(), Options::default());
        let (relay, agent, driver) = runtime.block_on(pair);
        tasks.spawn_on(driver, runtime.handle());
        tasks.spawn_on(serve(agent), runtime.handle());
        let job = JobIdentity::example("https://gitlab.example", "group/app");
        let user = job.impersonation(AgentId(1), None).unwrap();
        Self {
            runtime,
            relay,
            act_as: ActAs::Impersonate(user),
            _tasks: tasks,
        }
    }

    /// All exchanges of a shape, at once.
    fn run(&self, shape: &Shape, exchange: impl AsyncFn(&Self, usize)) {
        let all = (0..shape.streams).map(|_| exchange(self, shape.body));
        self.runtime.block_on(join_all(all));
    }

    async fn download(&self, bytes: usize) {
        let came = self.ask(Request::get("/"), bytes, pieces(0)).await;
        assert_eq!(came, bytes);
    }

    async fn upload(&self, bytes: usize) {
        self.ask(Request::put("/"), 0, pieces(bytes)).await;
    }

    /// Asks as the relay does for a job's kubectl, and counts what is answered.
    async fn ask(
        &self,
        request: http::request::Builder,
        answered: usize,
        body: impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    ) -> usize {
        let mut request = request.body(body).unwrap();
        for (name, value) in FIELDS {
            let (name, value) = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            request.headers_mut().insert(name, value);
        }
        let how = Ask {
            target: &format!("/{answered}"),
            act_as: &self.act_as,
            request_id: "0123456789abcdef",
            upgrade: None,
            limits: HeadLimits::default(),
        };
        let answer = ask(&self.relay, request, how, Terms::default()).await;
        length(answer.unwrap().into_body()).await
    }
}

async fn serve(agent: Tunnel) {
    let mut streams = JoinSet::new();
    while let Some((stream, head)) = agent.accept().await {
        while streams.try_join_next().is_some() {}
        streams.spawn(serve_one(Arc::new(stream), head));
    }
}

async fn serve_one(stream: Arc<TunnelStream>, head: Bytes) {
    let asked = Asked::read(&head, HeadLimits::default()).unwrap();
    length(asked.body(&stream)).await;
    let bytes = asked.target.path().trim_start_matches('/').parse().unwrap();
    answer(&stream, Response::new(pieces(bytes))).await.unwrap();
}

/// Reads a body to its end.
async fn length<B: Body<Data = Bytes, Error: std::fmt::Debug> + Unpin>(mut body: B) -> usize {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    length
}

/// A body of so many bytes, in the pieces that a socket would give.
fn pieces(bytes: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    const PIECE: &[u8] = &[b'x'; 16 << 10];
    let sizes = (0..bytes)
        .step_by(PIECE.len())
        .map(move |at| (bytes - at).min(PIECE.len()));
    let frames = sizes.map(|size| Ok(Frame::data(Bytes::from_static(PIECE).slice(..size))));
    StreamBody::new(stream::iter(frames))
}

/// What kubectl sends.
const FIELDS: [(&str, &str); 3] = [
    (
        "accept",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    ),
    ("accept-encoding", "gzip"),
    (
        "user-agent",
        "kubectl/v1.37.0 (linux/amd64) kubernetes/0000000",
    ),
];
