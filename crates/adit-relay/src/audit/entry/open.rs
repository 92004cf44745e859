//! What is known of one request so far, and the records that are made of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use adit_authority::Caller;
use adit_identity::AgentId;
use adit_otlp::{SpanId, TraceId};
use adit_tunnel::{Cause, ResetReason, StreamError};
use http::StatusCode;
use tokio::time::Instant;

use super::super::{
    OfConnection,
    json::Object,
    queue::{Behalf, Room},
    record,
};
use crate::{
    call::{Call, RequestId},
    client::Client,
    forward::facts_of,
    refusal::{Facts, Refusal},
};

/// A request that is not over. Dropping it makes its last record.
pub(super) struct Open {
    pub(super) of: Arc<OfConnection>,
    pub(super) request: RequestId,
    client: Client,
    pub(super) began: Instant,
    /// Fields, as JSON.
    pub(super) operation: Vec<u8>,
    /// The same; empty unless the connection was upgraded.
    pub(super) upgrade: Vec<u8>,
    pub(super) who: Who,
    /// Its trace and its span, if it is traced.
    pub(super) span: Option<(TraceId, SpanId)>,
    pub(super) is_read: bool,
    /// Whether what is asked for lasts, if it is granted.
    pub(super) lasts: bool,
    /// Whether its first record is made, whose end the last will be.
    has_begun: bool,
    pub(super) room: Option<Room>,
    pub(super) ended: Ended,
    pub(super) status: Option<StatusCode>,
    pub(super) refused: Option<(Facts, &'static str)>,
    pub(super) audit_id: Box<str>,
    times: Times,
    pub(super) request_bytes: Option<Arc<AtomicU64>>,
    pub(super) answer_bytes: u64,
    pub(super) upgraded_bytes: Option<Arc<AtomicU64>>,
}

/// What is known of the caller.
pub(super) enum Who {
    Nobody,
    Caller(Caller, Option<AgentId>),
    /// Fields, as JSON: those of the permit, and those of this request alone.
    Permitted(Arc<[u8]>, Vec<u8>),
}

/// Microseconds since the beginning, or in a stage.
#[derive(Clone, Copy, Default)]
struct Times {
    authenticate: u64,
    audit: u64,
    turn: u64,
    route: u64,
    tunnel: u64,
    api_server: u64,
    answer: u64,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    /// Its answer was handed on to the last byte.
    Answered,
    /// The relay answered itself.
    Refused,
    /// The caller left first, or did not take an answer of the relay's own.
    Cancelled,
    /// The relay ended it, and why: its permit was over, or a bound was reached.
    Cut(Facts),
    /// An operator ended it, or the tunnel it ran on.
    CutByOperator,
    /// The agent or the API server ended it in the middle: which, and why.
    Broken(Facts),
}

/// What a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A whole request.
    Request,
    /// The beginning of something that lasts.
    Start,
    /// Its end.
    End,
}

impl Open {
    pub(super) fn new(of: Arc<OfConnection>, call: &Call<'_>) -> Self {
        Self {
            of,
            request: call.id,
            client: call.client,
            began: call.began,
            operation: Vec::new(),
            upgrade: Vec::new(),
            who: Who::Nobody,
            span: None,
            is_read: false,
            lasts: false,
            has_begun: false,
            room: None,
            ended: Ended::Cancelled,
            status: None,
            refused: None,
            audit_id: Box::default(),
            times: Times::default(),
            request_bytes: None,
            answer_bytes: 0,
            upgraded_bytes: None,
        }
    }

    pub(super) fn timed(&mut self, call: &Call<'_>, after: Duration) {
        self.times = Times {
            authenticate: call.took.authenticate.micros(),
            audit: call.took.audit.micros(),
            turn: call.took.turn.micros(),
            route: call.took.route.micros(),
            tunnel: call.took.tunnel.micros(),
            api_server: call.took.api_server.micros(),
            answer: micros(after),
        };
    }

    /// It lasts, and has begun.
    pub(super) fn begins(&mut self) {
        self.has_begun = true;
        self.make(Event::Start);
    }

    fn make(&self, event: Event) {
        let behalf = match (&self.room, &self.who) {
            (Some(_), _) => Behalf::Promised,
            (None, Who::Nobody) => Behalf::Stranger,
            (None, Who::Caller(..) | Who::Permitted(..)) => Behalf::Known,
        };
        let fill = |record: &mut Object<'_>| self.fill(event, record);
        self.of.queue.add(behalf, fill);
    }

    fn fill(&self, event: Event, record: &mut Object<'_>) {
        record.text("event", event.as_str());
        record.text("request_id", self.request.as_str());
        if self.client == self.of.client {
            record.text("client", &self.of.client_text);
        } else {
            record.text("client", &self.client.to_string());
        }
        match &self.who {
            Who::Nobody => {}
            Who::Caller(caller, agent) => record::caller(record, caller, *agent),
            Who::Permitted(shared, own) => {
                record.more(shared);
                record.more(own);
            }
        }
        record.more(&self.operation);
        if let Some(status) = self.status {
            record.number("status", status.as_u16().into());
        }
        record.more(&self.upgrade);
        if let Some((facts, detail)) = &self.refused {
            record.text("refusal", facts.reason);
            record.text("hop", facts.hop.as_str());
            if *detail != facts.reason {
                record.text("detail", detail);
            }
        }
        if event == Event::Start {
            self.fill_times(record, None);
        } else {
            record.text("ended", self.ended.as_str());
            if let Ended::Cut(facts) | Ended::Broken(facts) = self.ended {
                record.text("refusal", facts.reason);
                record.text("hop", facts.hop.as_str());
            }
            record.number("request_bytes", counted(self.request_bytes.as_ref()));
            let answer_bytes = self.answer_bytes + counted(self.upgraded_bytes.as_ref());
            record.number("answer_bytes", answer_bytes);
            self.fill_times(record, Some(self.began.elapsed()));
        }
        record.some_text("audit_id", &self.audit_id);
        if let Some((trace, span)) = &self.span {
            record.text("trace_id", &trace.to_string());
            record.text("span_id", &span.to_string());
        }
    }

    fn fill_times(&self, record: &mut Object<'_>, total: Option<Duration>) {
        record.object("microseconds", |fields| {
            let stages = [
                ("authenticate", self.times.authenticate),
                ("audit", self.times.audit),
                ("turn", self.times.turn),
                ("route", self.times.route),
                ("tunnel", self.times.tunnel),
                ("api_server", self.times.api_server),
                ("answer", self.times.answer),
            ];
            for (stage, micros) in stages {
                if micros > 0 {
                    fields.number(stage, micros);
                }
            }
            if let Some(total) = total {
                fields.number("total", micros(total));
            }
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.make(if self.has_begun {
            Event::End
        } else {
            Event::Request
        });
    }
}

impl Ended {
    /// At the end of the permit.
    pub(crate) fn with_its_permit() -> Self {
        Self::Cut(Refusal::PermitEnded.facts())
    }

    /// For an exchange whose stream failed.
    pub(crate) fn of(error: &StreamError) -> Self {
        match error {
            StreamError::Cut {
                reason: ResetReason::CutByOperator,
                ..
            } => Self::CutByOperator,
            StreamError::Cut { .. } => Self::Cut(facts_of(error)),
            StreamError::SessionEnded(why) if why.cause() == Cause::CutByOperator => {
                Self::CutByOperator
            }
            StreamError::Reset { .. } | StreamError::SessionEnded(_) => {
                Self::Broken(facts_of(error))
            }
        }
    }

    /// What went wrong, if anything did.
    pub(super) const fn failure(self) -> Option<&'static str> {
        match self {
            Self::Answered | Self::Cancelled => None,
            Self::Cut(facts) | Self::Broken(facts) => Some(facts.reason),
            Self::Refused | Self::CutByOperator => Some(self.as_str()),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Cut(_) => "cut",
            Self::CutByOperator => "cut_by_operator",
            Self::Broken(_) => "broken",
        }
    }
}

impl Event {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

fn counted(bytes: Option<&Arc<AtomicU64>>) -> u64 {
    bytes.map_or(0, |bytes| bytes.load(Ordering::Relaxed))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
