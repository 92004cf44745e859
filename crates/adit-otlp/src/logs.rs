//! Records of a log, and how a collector is sent them. The audit log of a relay goes this way. Invariant: whoever sends hears what became
//! of it, and keeps what was not taken.

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use serde_json::{Number, Value};
use tonic::transport::Channel;

use crate::Collector;
use crate::collector::{NotTaken, answer, rejected};

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened, in nanoseconds since 1970.
    pub nanoseconds: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing happened: `event_name`.
    pub event: String,
    /// All that is known of it.
    pub body: Value,
    /// What of that is to be found by.
    pub attributes: Vec<(&'static str, Value)>,
    /// The span in which it happened, if that is told of.
    pub span: Option<(TraceId, SpanId)>,
}

/// How bad a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As things go.
    Info,
    /// Odd.
    Warn,
}

/// A collector that records are sent to, one call after the other.
#[derive(Debug)]
pub struct Logs {
    collector: Collector,
    client: LogsServiceClient<Channel>,
}

impl Logs {
    /// Connects when there is something to send.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(collector: Collector) -> Self {
        let client = LogsServiceClient::new(collector.channel());
        Self { collector, client }
    }

    /// Sends them, in their order, and says how many of them the collector took and threw away. None asks only whether it would take some.
    /// Whether it did is not known when this is dropped before its end.
    ///
    /// # Errors
    /// It took none of them.
    pub async fn send(&mut self, records: Vec<Record>) -> Result<u64, NotTaken> {
        let count = records.len();
        let of_scope = ScopeLogs {
            scope: Some(self.collector.scope()),
            log_records: records.into_iter().map(LogRecord::from).collect(),
            ..ScopeLogs::default()
        };
        let of_resource = ResourceLogs {
            resource: Some(self.collector.resource()),
            scope_logs: vec![of_scope],
            ..ResourceLogs::default()
        };
        let all = if count > 0 { vec![of_resource] } else { vec![] };
        let request = ExportLogsServiceRequest { resource_logs: all };
        let request = self.collector.request(request);
        let said = answer(self.client.export(request)).await?.partial_success;
        Ok(said.map_or(0, |said| rejected(said.rejected_log_records, count)))
    }
}

impl From<Record> for LogRecord {
    fn from(record: Record) -> Self {
        let (severity, text) = match record.severity {
            Severity::Info => (SeverityNumber::Info, "INFO"),
            Severity::Warn => (SeverityNumber::Warn, "WARN"),
        };
        let (trace_id, span_id) = record.span.map_or_else(Default::default, |(trace, span)| {
            (trace.to_bytes().to_vec(), span.to_bytes().to_vec())
        });
        let attributes = record.attributes.into_iter();
        Self {
            time_unix_nano: record.nanoseconds,
            observed_time_unix_nano: record.nanoseconds,
            severity_number: severity.into(),
            severity_text: text.to_owned(),
            event_name: record.event,
            body: Some(any(record.body)),
            attributes: attributes
                .map(|(key, value)| pair(key.to_owned(), value))
                .collect(),
            trace_id,
            span_id,
            ..Self::default()
        }
    }
}

fn any(value: Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(is_so) => Some(Any::BoolValue(is_so)),
        Value::Number(number) => Some(of_number(&number)),
        Value::String(text) => Some(Any::StringValue(text)),
        Value::Array(values) => {
            let values = values.into_iter().map(any).collect();
            Some(Any::ArrayValue(ArrayValue { values }))
        }
        Value::Object(fields) => {
            let values = fields.into_iter().map(|(key, value)| pair(key, value));
            Some(Any::KvlistValue(KeyValueList {
                values: values.collect(),
            }))
        }
    };
    AnyValue { value }
}

/// What is no whole number that the protocol has is told as its digits.
fn of_number(number: &Number) -> Any {
    match (number.as_i64(), number.is_f64()) {
        (Some(whole), _) => Any::IntValue(whole),
        (None, true) => Any::DoubleValue(number.as_f64().unwrap_or_default()),
        (None, false) => Any::StringValue(number.to_string()),
    }
}

fn pair(key: String, value: Value) -> KeyValue {
    KeyValue {
        key,
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_keep_their_kind_and_their_place() {
        let body = json!({ "a": "text", "b": [1, true], "c": { "d": u64::MAX, "e": null } });
        let text = |text: &str| AnyValue {
            value: Some(Any::StringValue(text.to_owned())),
        };
        let field = |key: &str, value: AnyValue| KeyValue {
            key: key.to_owned(),
            value: Some(value),
            ..KeyValue::default()
        };
        let list = |values: Vec<KeyValue>| AnyValue {
            value: Some(Any::KvlistValue(KeyValueList { values })),
        };
        let values = [Any::IntValue(1), Any::BoolValue(true)];
        let values = values.map(|value| AnyValue { value: Some(value) }).to_vec();
        let array = AnyValue {
            value: Some(Any::ArrayValue(ArrayValue { values })),
        };
        let inner = list(vec![
            field("d", text("18446744073709551615")),
            field("e", AnyValue { value: None }),
        ]);
        let expected = list(vec![
            field("a", text("text")),
            field("b", array),
            field("c", inner),
        ]);
        assert_eq!(any(body), expected);
    }

    #[test]
    fn record_without_a_span_has_no_ids() {
        let record = Record {
            nanoseconds: 7,
            severity: Severity::Warn,
            event: "an.event".to_owned(),
            body: Value::Null,
            attributes: vec![],
            span: None,
        };
        let with = Record {
            span: Some((TraceId::from(1), SpanId::from(2))),
            ..record.clone()
        };
        let (record, with) = (LogRecord::from(record), LogRecord::from(with));
        assert_eq!((record.trace_id.len(), record.span_id.len()), (0, 0));
        assert_eq!((with.trace_id.len(), with.span_id.len()), (16, 8));
        assert_eq!(
            (record.severity_number, record.severity_text.as_str()),
            (13, "WARN")
        );
    }
}
