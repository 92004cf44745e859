//! Traces: what a request met on its way, as spans.
//!
//! Relay and agent each make a span of their own for a request and one for each stage ([`Span`]), which continue the
//! [W3C context](https://www.w3.org/TR/trace-context/) that the request came with and hand theirs on. [`Traces`] decides which requests are
//! told of, [`Exporter`] sends them. Invariant: nobody waits for a collector. Spans wait in a queue with an end, and what finds no place
//! there is lost and counted. No token, path, query or body is ever told.

mod config;
mod context;
mod export;
mod span;

use std::sync::Arc;

use adit_process::label;
use adit_process::metrics::Each;
use http::HeaderMap;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{Sampler, ShouldSample as _, SpanData};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use config::{RawTraces, TracesConfig};
pub use export::{Exporter, Sending, Spans};
pub use span::Span;

/// Decides which requests are told of, and takes their spans. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sampler: Sampler,
    queue: mpsc::Sender<SpanData>,
    counts: Counts,
}

label! {
    /// What became of a span.
    enum Fate: "outcome" {
        /// The collector took it.
        Sent = "sent",
        /// The collector did not, or cannot be reached.
        Failed = "failed",
        /// The queue was full.
        Dropped = "dropped",
    }
}

/// What became of spans, `adit_spans_total{outcome}`; counted from the start, also where none are made.
#[derive(Clone, Debug, Default)]
pub struct Counts(Each<Fate, Counter>);

impl Counts {
    /// Makes and registers it.
    pub fn register(registry: &mut Registry) -> Self {
        let counts = Self::default();
        let help = "Spans of traces, by what became of them";
        registry.register("adit_spans", help, counts.0.clone());
        counts
    }
}

impl Traces {
    /// The span of a request that came with these headers and began then, if it is told of: as whoever sent it decided, or by the
    /// configured share where nobody did. `what` becomes the span's name and is only asked then.
    pub fn request(
        &self,
        headers: &HeaderMap,
        began: Instant,
        what: impl FnOnce() -> String,
    ) -> Option<Span> {
        let parent = context::read(headers);
        let (id, trace) = context::begin(&parent);
        let sampled =
            self.0
                .sampler
                .should_sample(Some(&parent), trace, "", &SpanKind::Server, &[], &[]);
        let context = context::sampled(sampled, trace, id)?;
        Some(Span::new(self.clone(), context, &parent, what().into()).since(began))
    }
}

#[cfg(test)]
mod tests {
    use adit_identity::mistakes::Mistakes;

    use super::*;
    use crate::{Collector, Instance};

    #[tokio::test]
    async fn share_is_traced_of_what_nobody_has_decided() {
        let raw = RawTraces {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            sample: Some(0.25),
            ..RawTraces::default()
        };
        let mut mistakes = Mistakes::default();
        let config = TracesConfig::check(raw, &mut mistakes).unwrap();
        let instance = Instance {
            service: "adit-relay",
            version: "1.2.3",
            id: String::new(),
        };
        let collector = Collector::new(&config.collector, None, instance).unwrap();
        let (traces, _exporter) = Traces::new(&config, collector, Counts::default());
        let undecided = HeaderMap::new();
        let begin = |_: &i32| traces.request(&undecided, Instant::now(), || "get".to_owned());
        let traced = (0..4000).filter(|one| begin(one).is_some()).count();
        // Thirty standard deviations are 820.
        assert!((180..1820).contains(&traced), "{traced} of 4000");
    }
}
