//! What an HTTP exchange costs between relay and agent: heads, bodies, the session and HTTP/2 under it, over memory instead of TLS
//! and TCP, on one thread. `README.md` says how to run it and how to compare.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench fails by panicking"
)]

use std::sync::Arc;

use adit_benches::{
    body::{self, Body},
    shape::Shape,
};
use adit_exchange::{Ask, Asked, HeadLimits, answer, ask};
use adit_identity::{ActAs, AgentId, JobIdentity};
use adit_tunnel::{Options, Terms, Tunnel, TunnelStream, testing};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Request, Response};
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
        let came = self.ask(Request::get("/"), bytes, body::pieces(0)).await;
        assert_eq!(came, bytes as u64);
    }

    async fn upload(&self, bytes: usize) {
        self.ask(Request::put("/"), 0, body::pieces(bytes)).await;
    }

    /// Asks as the relay does for a job's kubectl, and counts what is answered.
    async fn ask(&self, request: http::request::Builder, answered: usize, body: Body) -> u64 {
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
        body::length(answer.unwrap().into_body()).await.unwrap()
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
    body::length(asked.body(&stream)).await.unwrap();
    let bytes = asked.target.path().trim_start_matches('/').parse().unwrap();
    answer(&stream, Response::new(body::pieces(bytes)), None)
        .await
        .unwrap();
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
