//! What is told to a collector by [OTLP](https://opentelemetry.io/docs/specs/otlp/): spans of requests ([`traces`]), and records of the
//! audit log ([`logs`]). How a collector is named, reached and understood is the same for both ([`Collector`]).

mod collector;
mod config;
mod token;

pub mod logs;
pub mod traces;

pub use opentelemetry::trace::{SpanId, TraceId};

pub use collector::{Collector, Instance, NotTaken, Retry, Said, StartError};
pub use config::{CollectorConfig, Keys, RawCollector};
pub use token::{NoToken, Token};
pub use traces::{Counts, Exporter, RawTraces, Sending, Span, Spans, Traces, TracesConfig};
