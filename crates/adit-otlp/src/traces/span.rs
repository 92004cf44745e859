//! One span: what is told of a request or of one of its stages. Made by [`super::Traces`] and by the span above. Invariant: a span is
//! told when it is dropped, however that comes about.

use std::borrow::Cow;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceId};
use opentelemetry::{Context, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::time::Instant;

use super::{Fate, Traces, context};

/// What is told of a request, or of one of its stages, once it is dropped. One word: futures hold it that are many.
#[derive(Debug)]
pub struct Span(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` once it is told.
    data: Option<SpanData>,
    /// The stage that it is in.
    stage: Option<Span>,
    traces: Traces,
}

impl Span {
    /// Of a request.
    pub(crate) fn new(
        traces: Traces,
        context: SpanContext,
        parent: &Context,
        name: Cow<'static, str>,
    ) -> Self {
        let parent = parent.span().span_context().clone();
        Self::beneath(traces, context, &parent, SpanKind::Server, name)
    }

    fn beneath(
        traces: Traces,
        span_context: SpanContext,
        parent: &SpanContext,
        span_kind: SpanKind,
        name: Cow<'static, str>,
    ) -> Self {
        let data = SpanData {
            span_context,
            parent_span_id: parent.span_id(),
            parent_span_is_remote: parent.is_remote(),
            span_kind,
            name,
            start_time: SystemTime::now(),
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            // The collector is told that of all.
            instrumentation_scope: InstrumentationScope::default(),
        };
        Self(Box::new(Inner {
            data: Some(data),
            stage: None,
            traces,
        }))
    }

    /// By what it is found: its trace, and itself. Nothing once it is told.
    #[must_use]
    pub fn ids(&self) -> Option<(TraceId, SpanId)> {
        let context = &self.0.data.as_ref()?.span_context;
        Some((context.trace_id(), context.span_id()))
    }

    /// A stage of it begins now; the one before it has ended.
    pub fn enter(&mut self, stage: &'static str) {
        self.0.stage = self.part(stage, SpanKind::Internal);
    }

    /// The same for a stage that began then.
    pub fn enter_since(&mut self, stage: &'static str, began: Instant) {
        let part = self.part(stage, SpanKind::Internal);
        self.0.stage = part.map(|part| part.since(began));
    }

    /// Whoever is next is called now, with these headers, and continues there.
    pub fn call(&mut self, next: &'static str, headers: &mut HeaderMap) {
        self.0.stage = self.part(next, SpanKind::Client);
        let stage = self.0.stage.as_ref();
        if let Some(data) = stage.and_then(|stage| stage.0.data.as_ref()) {
            context::write(&data.span_context, headers);
        }
    }

    /// The stage that it is in ends now.
    pub fn leave(&mut self) {
        self.0.stage = None;
    }

    fn part(&self, name: &'static str, kind: SpanKind) -> Option<Self> {
        let above = &self.0.data.as_ref()?.span_context;
        Some(Self::beneath(
            self.0.traces.clone(),
            context::beneath(above),
            above,
            kind,
            name.into(),
        ))
    }

    /// It began then.
    #[must_use]
    pub(crate) fn since(mut self, began: Instant) -> Self {
        if let Some(data) = &mut self.0.data {
            data.start_time -= began.elapsed();
        }
        self
    }

    /// An attribute of it.
    pub fn tell(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(data) = &mut self.0.data {
            data.attributes.push(KeyValue::new(key, value));
        }
    }

    /// It was answered so.
    pub fn answered(&mut self, status: StatusCode) {
        self.leave();
        self.tell("http.response.status_code", i64::from(status.as_u16()));
        if let Some(data) = &mut self.0.data
            && status.is_server_error()
        {
            data.status = Status::error("");
        }
    }

    /// It did not go well, and why: a word of which there are few.
    pub fn failed(&mut self, why: &'static str) {
        self.tell("error.type", why);
        if let Some(data) = &mut self.0.data {
            data.status = Status::error(why);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stage = None;
        let Some(mut data) = self.data.take() else {
            return;
        };
        data.end_time = SystemTime::now();
        let shared = &self.traces.0;
        if shared.queue.try_send(data).is_err() {
            shared.counts.0.of(Fate::Dropped).inc();
        }
    }
}
