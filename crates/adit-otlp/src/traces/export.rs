//! Sends spans to the collector, in batches. [`Exporter::start`] has that done beside what makes them.
//! Invariant: a collector that is slow, away or says no costs its spans and nothing else, and is complained of once until it takes some.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adit_process::chain;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::Channel;

use super::{Counts, Fate, Shared, Traces, TracesConfig};
use crate::Collector;
use crate::collector::{LONGEST, NotTaken, Retry, answer, rejected};

/// Sends what is made, beside what makes it. Ends at once when it is dropped.
#[derive(Debug)]
pub struct Sending {
    task: JoinSet<()>,
    stop: Arc<Notify>,
}

impl Sending {
    /// Sends what still waits, as long as that takes no longer than `grace`.
    pub async fn finish(mut self, grace: Duration) {
        self.stop.notify_one();
        let _: Result<_, _> = timeout(grace, self.task.join_next()).await;
    }
}

/// What takes spans out of the queue and sends them.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::Receiver<SpanData>,
    counts: Counts,
    collector: Collector,
}

impl Traces {
    /// Nothing is sent until the exporter runs.
    #[must_use]
    pub fn new(config: &TracesConfig, collector: Collector, counts: Counts) -> (Self, Exporter) {
        let (sender, queue) = mpsc::channel(config.queue);
        let by_share = Sampler::TraceIdRatioBased(config.sample);
        let shared = Shared {
            sampler: Sampler::ParentBased(Box::new(by_share)),
            queue: sender,
            counts: counts.clone(),
        };
        let exporter = Exporter {
            queue,
            counts,
            collector,
        };
        (Self(Arc::new(shared)), exporter)
    }
}

impl Exporter {
    /// Begins to send.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(self) -> Sending {
        let (mut task, stop) = (JoinSet::new(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        task.spawn(self.run(async move { stopped.notified().await }));
        Sending { task, stop }
    }

    async fn run(mut self, stopped: impl Future<Output = ()>) {
        let mut spans = Spans::new(self.collector.clone());
        let mut stopped = pin!(stopped);
        let mut heard = Heard::Nothing;
        loop {
            let mut batch = Vec::new();
            let has_stopped = tokio::select! {
                biased;
                () = self.gather(&mut batch) => false,
                () = &mut stopped => true,
            };
            if has_stopped {
                self.queue.close();
                while self.queue.recv_many(&mut batch, MOST_SPANS).await > 0 {}
            }
            let count = batch.len() as u64;
            if count > 0 {
                let sent = spans.send(batch).await;
                let lost = sent.as_ref().map_or(count, |rejected| *rejected);
                self.counts.0.of(Fate::Sent).inc_by(count - lost);
                self.counts.0.of(Fate::Failed).inc_by(lost);
                heard = heard.say(sent);
            }
            if has_stopped {
                return;
            }
        }
    }

    /// Waits for a span and then for more, until they are many or a second has gone. Cancel-safe: what it took is in `batch`.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) {
        if self.queue.recv_many(batch, MOST_SPANS).await == 0 {
            // Nobody can make one any more.
            std::future::pending::<()>().await;
        }
        let until = Instant::now() + GATHERED;
        while let Some(room @ 1..) = MOST_SPANS.checked_sub(batch.len()) {
            if timeout_at(until, self.queue.recv_many(batch, room))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// A collector that spans are sent to, one call after the other.
#[derive(Debug)]
pub struct Spans {
    collector: Collector,
    client: TraceServiceClient<Channel>,
}

impl Spans {
    /// Connects when there is something to send.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(collector: Collector) -> Self {
        let client = TraceServiceClient::new(collector.channel());
        Self { collector, client }
    }

    /// Asks whether the collector would take some.
    ///
    /// # Errors
    /// It would not.
    pub async fn ask(&mut self) -> Result<(), NotTaken> {
        let none = ExportTraceServiceRequest::default();
        self.call(none).await.map(drop)
    }

    /// Sends them, and again while that may help and takes no longer than a call may; says how many of them the collector took and threw
    /// away.
    async fn send(&mut self, batch: Vec<SpanData>) -> Result<u64, NotTaken> {
        let count = batch.len();
        let of_scope = ScopeSpans {
            scope: Some(self.collector.scope()),
            spans: batch.into_iter().map(Span::from).collect(),
            ..ScopeSpans::default()
        };
        let of_resource = ResourceSpans {
            resource: Some(self.collector.resource()),
            scope_spans: vec![of_scope],
            ..ResourceSpans::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![of_resource],
        };
        let (until, mut retry) = (Instant::now() + LONGEST, Retry::default());
        loop {
            let why = match self.call(request.clone()).await {
                Ok(said) => return Ok(rejected(said, count)),
                Err(why) => why,
            };
            match retry.after(&why) {
                Some(wait) if Instant::now() + wait < until => sleep(wait).await,
                Some(_) | None => return Err(why),
            }
        }
    }

    /// How many it says that it rejects.
    async fn call(&mut self, request: ExportTraceServiceRequest) -> Result<i64, NotTaken> {
        let request = self.collector.request(request);
        let said = answer(self.client.export(request)).await?.partial_success;
        Ok(said.map_or(0, |said| said.rejected_spans))
    }
}

/// What the collector said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Yes,
    No,
}

impl Heard {
    fn say(self, sent: Result<u64, NotTaken>) -> Self {
        match sent {
            Ok(0) => {
                if self == Self::No {
                    tracing::info!("the collector takes spans again");
                }
                Self::Yes
            }
            Ok(rejected) => {
                if self != Self::No {
                    tracing::warn!(
                        rejected,
                        "the collector throws spans away (traces.endpoint)"
                    );
                }
                Self::No
            }
            Err(error) => {
                if self != Self::No {
                    tracing::warn!(
                        error = chain(&error),
                        "the collector takes no spans: they are lost until it does (traces.endpoint)"
                    );
                }
                Self::No
            }
        }
    }
}

/// In one call.
const MOST_SPANS: usize = 512;
/// How long spans wait for others.
const GATHERED: Duration = Duration::from_secs(1);
