//! The context that a request comes with and takes along, as the headers `traceparent` and `tracestate` have it. Used by [`super::Traces`]
//! and [`super::Span`]. Invariant: what cannot be read is as if it were not there (Trace Context, section 3.2.2.5).

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SamplingDecision, SamplingResult,
};

/// Where a request's span belongs; nowhere, where nobody said so.
pub(crate) fn read(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Came(headers))
}

/// Says where the spans of whoever is asked next belong.
pub(crate) fn write(context: &SpanContext, headers: &mut HeaderMap) {
    let context = Context::new().with_remote_span_context(context.clone());
    TraceContextPropagator::new().inject_context(&context, &mut Goes(headers));
}

/// The ids of a new span, and of its trace.
pub(crate) fn begin(parent: &Context) -> (SpanId, TraceId) {
    let ids = RandomIdGenerator::default();
    let parent = parent.span().span_context().clone();
    let trace = if parent.is_valid() {
        parent.trace_id()
    } else {
        ids.new_trace_id()
    };
    (ids.new_span_id(), trace)
}

/// The context of a span that is told; `None` for one that is not.
pub(crate) fn sampled(sampled: SamplingResult, trace: TraceId, id: SpanId) -> Option<SpanContext> {
    match sampled.decision {
        SamplingDecision::RecordAndSample => Some(SpanContext::new(
            trace,
            id,
            TraceFlags::SAMPLED,
            false,
            sampled.trace_state,
        )),
        SamplingDecision::RecordOnly | SamplingDecision::Drop => None,
    }
}

/// Of a span in the same trace.
pub(crate) fn beneath(parent: &SpanContext) -> SpanContext {
    SpanContext::new(
        parent.trace_id(),
        RandomIdGenerator::default().new_span_id(),
        parent.trace_flags(),
        false,
        parent.trace_state().clone(),
    )
}

struct Came<'a>(&'a HeaderMap);

impl Extractor for Came<'_> {
    /// A field that stands there twice says nothing.
    fn get(&self, key: &str) -> Option<&str> {
        let mut all = self.0.get_all(key).iter();
        let one = all.next()?;
        all.next().is_none().then_some(())?;
        one.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Goes<'a>(&'a mut HeaderMap);

impl Injector for Goes<'_> {
    /// What cannot be a header is none: a state comes from one.
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::try_from(key);
        match (name, HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) if !value.is_empty() => {
                // New each time: HPACK's table is to hold what is not.
                value.set_sensitive(true);
                self.0.insert(name, value);
            }
            (Ok(name), _) => {
                self.0.remove(name);
            }
            (Err(_), _) => {}
        }
    }
}
