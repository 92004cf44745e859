//! A collector of spans and of records of logs that keeps what it is sent: OTLP over gRPC, on loopback, with TLS or without.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, service::Routes};

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
    /// Who sent it: `adit-relay`, `adit-agent`, or `apiserver`.
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

/// A record of a log that it was sent.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Who sent it.
    pub service: String,
    /// Which of those that are called so.
    pub instance: String,
    pub event: String,
    pub severity: String,
    pub nanoseconds: u64,
    /// Empty without one.
    pub trace: String,
    pub span: String,
    pub attributes: BTreeMap<String, String>,
    pub body: serde_json::Value,
}

#[derive(Default)]
struct State {
    told: Mutex<Vec<Told>>,
    kept: Mutex<Vec<Kept>>,
    token: Mutex<Option<String>>,
    refusal: Mutex<Option<Status>>,
    /// Records that it will take and throw away.
    to_reject: Mutex<usize>,
    /// What no record may have in it.
    unwanted: Mutex<Option<String>>,
    is_away: watch::Sender<bool>,
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

    /// Takes none any more, and says so.
    pub fn refuse(&self, refusal: Status) {
        *self.state.refusal.lock() = Some(refusal);
    }

    /// Takes all that is sent from now on.
    pub fn accept(&self) {
        *self.state.refusal.lock() = None;
    }

    /// Throws so many records away that it is sent from now on.
    pub fn reject(&self, records: usize) {
        *self.state.to_reject.lock() = records;
    }

    /// Takes no call any more that has a record with this in it.
    pub fn refuse_calls_with(&self, unwanted: &str) {
        *self.state.unwanted.lock() = Some(unwanted.to_owned());
    }

    /// Breaks all connections and hangs up on those who come, or does not any more.
    pub fn be_away(&self, is_away: bool) {
        self.state.is_away.send_replace(is_away);
    }

    /// All records that it was sent.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        self.state.kept.lock().clone()
    }

    /// Waits until there are so many records.
    pub async fn until_kept(&self, count: usize) -> Vec<Kept> {
        until("the records have come", || self.kept().len() >= count).await;
        self.kept()
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
    let mut is_away = state.is_away.subscribe();
    let served = async {
        match tls {
            None => serve(socket, state, executor).await,
            Some(tls) => {
                if let Ok(io) = tls.accept(socket).await {
                    serve(io, state, executor).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        _ = is_away.wait_for(|is_away| *is_away) => {}
        () = served => {}
    }
}

async fn serve<IO>(io: IO, state: Arc<State>, executor: Executor)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let services = Routes::new(TraceServiceServer::from_arc(Arc::clone(&state)));
    let services = services.add_service(LogsServiceServer::from_arc(state));
    let service = TowerToHyperService::new(services);
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
        self.admit(&request)?;
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

#[tonic::async_trait]
impl LogsService for State {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.admit(&request)?;
        let logs = request.into_inner().resource_logs;
        if let Some(unwanted) = &*self.unwanted.lock()
            && format!("{logs:?}").contains(unwanted)
        {
            return Err(Status::invalid_argument("not with that one"));
        }
        let mut rejected = 0;
        for of_resource in logs {
            let resource = texts(of_resource.resource.unwrap().attributes);
            let logs = of_resource.scope_logs.into_iter();
            for record in logs.flat_map(|it| it.log_records) {
                let mut to_reject = self.to_reject.lock();
                if *to_reject > 0 {
                    *to_reject -= 1;
                    rejected += 1;
                    continue;
                }
                self.kept.lock().push(Kept::of(&resource, record));
            }
        }
        let partial_success = (rejected > 0).then(|| ExportLogsPartialSuccess {
            rejected_log_records: rejected,
            error_message: "not these".to_owned(),
        });
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}

impl State {
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let refusal = self.refusal.lock().clone();
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let shown = request.metadata().get("authorization");
        let shown = shown.map(|shown| shown.to_str().unwrap().to_owned());
        if shown != *self.token.lock() {
            return Err(Status::unauthenticated("not that token"));
        }
        Ok(())
    }
}

impl Kept {
    fn of(resource: &BTreeMap<String, String>, record: LogRecord) -> Self {
        Self {
            service: resource["service.name"].clone(),
            instance: resource["service.instance.id"].clone(),
            event: record.event_name,
            severity: record.severity_text,
            nanoseconds: record.time_unix_nano,
            trace: hex::encode(&record.trace_id),
            span: hex::encode(&record.span_id),
            attributes: texts(record.attributes),
            body: json(record.body.unwrap()),
        }
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
            nanoseconds: span
                .end_time_unix_nano
                .saturating_sub(span.start_time_unix_nano),
        }
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    // Of lists and the like, which adit does not tell, nobody asks.
    let text = |value| {
        if let Value::StringValue(text) = value {
            Some(text)
        } else if let Value::IntValue(number) = value {
            Some(number.to_string())
        } else if let Value::BoolValue(truth) = value {
            Some(truth.to_string())
        } else {
            None
        }
    };
    let pairs = attributes.into_iter();
    pairs
        .filter_map(|pair| Some((pair.key, text(pair.value?.value?)?)))
        .collect()
}

fn json(value: AnyValue) -> serde_json::Value {
    match value.value {
        Some(Value::StringValue(text)) => text.into(),
        Some(Value::IntValue(number)) => number.into(),
        Some(Value::BoolValue(is_so)) => is_so.into(),
        Some(Value::ArrayValue(array)) => array.values.into_iter().map(json).collect(),
        Some(Value::KvlistValue(list)) => {
            let fields = list.values.into_iter();
            let fields = fields.map(|field| (field.key, json(field.value.unwrap())));
            serde_json::Value::Object(fields.collect())
        }
        other => panic!("a record has no {other:?}"),
    }
}
