//! The audit log's way to a collector: each line becomes a record of a log, and they are sent in their order, some hundred at a time.
//!
//! Made with the sink, used by the writer's thread, which owns the runtime that it needs. Invariant: a line is gone only once the collector
//! has taken it, or has said that it never will.

use std::{io, str::FromStr as _, time::Duration};

use adit_otlp::{
    Collector, NotTaken, Retry, SpanId, TraceId,
    logs::{Logs, Record, Severity},
};
use adit_process::chain;
use prost_types::Timestamp;
use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

use super::{NotWritten, Written};
use crate::{audit::wake::Wake, seldom::Seldom};

/// A collector that lines are sent to.
#[derive(Debug)]
pub(crate) struct ToCollector {
    collector: Collector,
    /// Since the first line: of the thread that writes, which drops it, too.
    open: Option<Open>,
    retry: Retry,
    /// Records in the next call. Halved when a call is rejected and doubled when one is taken, so that a record which never will be
    /// goes alone in the end, and takes none with it.
    most: usize,
    rejections: Seldom,
}

#[derive(Debug)]
struct Open {
    logs: Logs,
    runtime: Runtime,
}

impl ToCollector {
    pub(super) fn new(collector: Collector) -> Self {
        Self {
            collector,
            open: None,
            retry: Retry::default(),
            most: MOST_RECORDS,
            rejections: Seldom::default(),
        }
    }

    /// Sends the first of `lines`, which are whole.
    pub(super) fn write(&mut self, lines: &[u8], wake: &Wake) -> Result<Written, NotWritten> {
        loop {
            let (bytes, records) = batch(lines, self.most);
            let count = records.len();
            let open = match self.open.take() {
                Some(open) => open,
                None => Open::new(self.collector.clone())?,
            };
            let rejected = match self.open.insert(open).send(records, wake) {
                Ok(rejected) => {
                    self.most = (2 * self.most).min(MOST_RECORDS);
                    if rejected > 0 {
                        self.tell(rejected, "it took the others");
                    }
                    rejected
                }
                Err(NotSent::Rejected(_)) if count > 1 => {
                    self.most = count / 2;
                    continue;
                }
                Err(NotSent::Rejected(why)) => {
                    self.tell(1, &chain(&why));
                    1
                }
                Err(NotSent::Later(error)) => return Err(error),
            };
            self.retry.reset();
            return Ok(Written { bytes, rejected });
        }
    }

    /// How long to wait before they are sent again.
    pub(super) fn pause(&mut self, why: &NotTaken) -> Duration {
        self.retry.after(why).unwrap_or_default()
    }

    fn tell(&self, records: u64, why: &str) {
        if let Some(unlogged) = self.rejections.told(Instant::now()) {
            tracing::error!(
                records,
                error = why,
                unlogged,
                "the collector throws audit records away (audit.otlp.endpoint)"
            );
        }
    }
}

/// Why records were not taken.
enum NotSent {
    /// They never will be.
    Rejected(NotTaken),
    /// They may be yet.
    Later(NotWritten),
}

impl Open {
    fn new(collector: Collector) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let logs = {
            let _inside = runtime.enter();
            Logs::new(collector)
        };
        Ok(Self { logs, runtime })
    }

    fn send(&mut self, records: Vec<Record>, wake: &Wake) -> Result<u64, NotSent> {
        let sending = self.logs.send(records);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                // What the collector did with them is not known then, and they count as lost.
                () = wake.given_up() => Err(NotSent::Later(io::Error::from(io::ErrorKind::TimedOut).into())),
                sent = sending => sent.map_err(NotSent::from),
            }
        })
    }
}

impl From<NotTaken> for NotSent {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Rejected(_) => Self::Rejected(why),
            NotTaken::Away { .. } | NotTaken::Late(_) | NotTaken::Denied(_) => {
                Self::Later(why.into())
            }
        }
    }
}

/// The first lines, as many as go into one call and `most` of them, and their bytes.
fn batch(lines: &[u8], most: usize) -> (usize, Vec<Record>) {
    let (mut bytes, mut records) = (0, Vec::new());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let is_full = records.len() == most || bytes + line.len() > MOST_BYTES;
        if is_full && !records.is_empty() {
            break;
        }
        bytes += line.len();
        records.push(record(line));
    }
    (bytes, records)
}

fn record(line: &[u8]) -> Record {
    let body = serde_json::from_slice(line)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(line).into_owned()));
    let text = |name| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let event = text("event");
    let severity = if event == "gap" {
        Severity::Warn
    } else {
        Severity::Info
    };
    let span = TraceId::from_hex(text("trace_id")).ok();
    let span = span.zip(SpanId::from_hex(text("span_id")).ok());
    let attributes = ATTRIBUTES.iter().filter_map(|(name, place)| {
        let value = body.pointer(place)?;
        if *name != STATUS
            && let Value::Number(id) = value
        {
            // As a span has it.
            return Some((*name, Value::String(id.to_string())));
        }
        Some((*name, value.clone()))
    });
    Record {
        nanoseconds: nanoseconds(text("time")),
        severity,
        event: format!("adit.audit.{event}"),
        attributes: attributes.collect(),
        span,
        body,
    }
}

fn nanoseconds(time: &str) -> u64 {
    let since = Timestamp::from_str(time).unwrap_or_default();
    let seconds = u64::try_from(since.seconds).unwrap_or_default();
    let part = u64::try_from(since.nanos).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(part)
}

/// What a request's span has, too, by the same names, and where it stands in a record.
const ATTRIBUTES: [(&str, &str); 8] = [
    ("adit.request.id", "/request_id"),
    ("adit.agent.id", "/agent/id"),
    ("cicd.pipeline.run.id", "/job/pipeline"),
    ("cicd.pipeline.task.run.id", "/job/id"),
    ("http.request.method", "/operation/method"),
    (STATUS, "/status"),
    ("k8s.namespace.name", "/operation/namespace"),
    ("error.type", "/refusal"),
];
const STATUS: &str = "http.response.status_code";
/// In one call.
const MOST_RECORDS: usize = 512;
/// The same, in bytes of lines: a collector takes 4 MiB, if nobody told it otherwise, and a record has up to twice its line.
const MOST_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn line_becomes_a_record_that_is_found_as_its_span_is() {
        let line = json!({
            "time": "2026-11-25T18:04:48.000042Z", "event": "request", "request_id": "5b0c9e7d21f4a386",
            "job": { "id": 9001, "pipeline": 880 }, "agent": { "id": 7 }, "status": 403, "refusal": "not_permitted",
            "operation": { "method": "GET", "namespace": "shop" },
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
        });
        let record = record(line.to_string().as_bytes());
        assert_eq!(record.nanoseconds, 1_795_629_888_000_042_000);
        assert_eq!(
            (record.event.as_str(), record.severity),
            ("adit.audit.request", Severity::Info)
        );
        let (trace, span) = record.span.unwrap();
        assert_eq!(trace.to_string(), line["trace_id"]);
        assert_eq!(span.to_string(), line["span_id"]);
        let attributes: Value = record
            .attributes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(
            attributes,
            json!({
                "adit.request.id": "5b0c9e7d21f4a386", "adit.agent.id": "7",
                "cicd.pipeline.run.id": "880", "cicd.pipeline.task.run.id": "9001",
                "http.request.method": "GET", "http.response.status_code": 403,
                "k8s.namespace.name": "shop", "error.type": "not_permitted",
            })
        );
        assert_eq!(record.body, line);
    }

    #[test]
    fn gap_is_odd_and_has_no_span() {
        let record = record(b"{\"event\":\"gap\",\"dropped\":3}\n");
        assert_eq!((record.severity, record.span), (Severity::Warn, None));
        assert_eq!((record.attributes.len(), record.nanoseconds), (0, 0));
    }

    #[test]
    fn calls_have_whole_lines_and_an_end() {
        let line = b"{\"event\":\"request\"}\n";
        let (bytes, records) = batch(&line.repeat(MOST_RECORDS + 1), MOST_RECORDS);
        assert_eq!(
            (bytes, records.len()),
            (line.len() * MOST_RECORDS, MOST_RECORDS)
        );
        let long = format!("{{\"event\":\"{}\"}}\n", "x".repeat(MOST_BYTES));
        let (bytes, records) = batch(long.repeat(2).as_bytes(), MOST_RECORDS);
        assert_eq!((bytes, records.len()), (long.len(), 1));
    }
}
