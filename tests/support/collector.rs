//! A collector of traces that keeps what it is sent: OTLP over gRPC, on loopback, with TLS or without.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status};

use crate::{
    hex, pki,
    tasks::{Executor, accept},
    until,
};

/// A running collector.
pub struct Collector {
    state: Arc<State>,
    address: SocketAddr,
    folder: TempDir,
    _tasks: JoinSet<()>,
}

/// A span that it was sent.
#[derive(Clone, Debug)]
pub struct Told {
    /// Who sent it: `adit-relay` or `adit-agent`.
    pub service: String,
    pub trace: String,
    pub id: String,
    /// Empty for the first of a trace.
    pub parent: String,
    pub name: String,
    pub kind: SpanKind,
    pub is_error: bool,
    pub attributes: BTreeMap<String, String>,
    pub nanoseconds: u64,
}

#[derive(Default)]
struct State {
    told: Mutex<Vec<Told>>,
    token: Mutex<Option<String>>,
    is_sick: AtomicBool,
}

impl Collector {
    /// Without TLS.
    pub async fn start() -> Self {
        Self::of(None).await
    }

    /// With TLS; believed are those that `ca` names.
    pub async fn start_with_tls() -> Self {
        let tls = pki::shared().server(&[pki::HTTP2]);
        Self::of(Some(tls.into())).await
    }

    async fn of(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let mut tasks = JoinSet::new();
        let served = Arc::clone(&state);
        tasks.spawn(accept(listener, move |socket, executor| {
            connection(socket, tls.clone(), Arc::clone(&served), executor)
        }));
        Self {
            state,
            address,
            folder: tempfile::tempdir().unwrap(),
            _tasks: tasks,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with whom it is vouched by.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        pki::shared().write_ca(self.folder.path())
    }

    /// Takes spans of those alone that show this token; says where it stands, too.
    #[must_use]
    pub fn demand(&self, token: &str) -> PathBuf {
        *self.state.token.lock() = Some(format!("Bearer {token}"));
        self.folder.path().join("token")
    }

    /// Takes none, or some again.
    pub fn be_sick(&self, is_sick: bool) {
        self.state.is_sick.store(is_sick, Ordering::Relaxed);
    }

    /// All that it was sent.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.state.told.lock().clone()
    }

    /// Waits for a span like that.
    pub async fn until_told(&self, what: &str, is_it: impl Fn(&Told) -> bool) -> Told {
        let find = || self.told().into_iter().find(|told| is_it(told));
        until(what, || find().is_some()).await;
        find().unwrap()
    }
}

async fn connection(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    executor: Executor,
) {
    match tls {
        None => serve(socket, state, executor).await,
        Some(tls) => {
            if let Ok(io) = tls.accept(socket).await {
                serve(io, state, executor).await;
            }
        }
    }
}

async fn serve<IO>(io: IO, state: Arc<State>, executor: Executor)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(TraceServiceServer::from_arc(state));
    let _ = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service)
        .await;
}

#[tonic::async_trait]
impl TraceService for State {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.is_sick.load(Ordering::Relaxed) {
            return Err(Status::internal("sick"));
        }
        let shown = request.metadata().get("authorization");
        let shown = shown.map(|shown| shown.to_str().unwrap().to_owned());
        if shown != *self.token.lock() {
            return Err(Status::unauthenticated("not that token"));
        }
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.unwrap();
            let service = texts(resource.attributes).remove("service.name").unwrap();
            let spans = of_resource.scope_spans.into_iter().flat_map(|it| it.spans);
            let told = spans.map(|span| Told::of(&service, span));
            self.told.lock().extend(told);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Told {
    fn of(service: &str, span: Span) -> Self {
        Self {
            service: service.to_owned(),
            trace: hex::encode(&span.trace_id),
            id: hex::encode(&span.span_id),
            parent: hex::encode(&span.parent_span_id),
            kind: span.kind(),
            is_error: span
                .status
                .is_some_and(|status| status.code() == StatusCode::Error),
            name: span.name,
            attributes: texts(span.attributes),
            nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
        }
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| {
        if let Value::StringValue(text) = value {
            text
        } else if let Value::IntValue(number) = value {
            number.to_string()
        } else {
            panic!("adit tells no {value:?}")
        }
    };
    let pairs = attributes.into_iter();
    pairs
        .filter_map(|pair| Some((pair.key, text(pair.value?.value?))))
        .collect()
}
