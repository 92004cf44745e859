//! What is told to a collector by [OTLP](https://opentelemetry.io/docs/specs/otlp/): spans of requests ([`traces`]). How a collector is
//! named, reached and understood stands apart from that ([`Collector`]).

mod collector;
mod config;
mod token;

pub mod traces;

pub use opentelemetry::trace::{SpanId, TraceId};

pub use collector::{Collector, Instance, NotTaken, Retry, StartError};
pub use config::{CollectorConfig, Keys, RawCollector};
pub use token::{NoToken, Token};
pub use traces::{Counts, Exporter, RawTraces, Sending, Span, Spans, Traces, TracesConfig};
