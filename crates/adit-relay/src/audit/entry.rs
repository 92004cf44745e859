//! One request's way, as it will be written down. `handle.rs` makes an [`Entry`] for each request, tells it what each stage found,
//! and lets it go with the answer's last byte: then the record is made, whatever happened.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use adit_authority::{Caller, Permit};
use adit_exchange::upgrade_asked;
use adit_identity::{
    ActAs, AgentId,
    operation::{Kind, Operation},
};
use adit_otlp::Span;
use adit_tunnel::StreamError;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::Frame;
use tokio::time::{Instant, timeout_at};

use super::{AuditConfig, OfConnection, WhenFull, json::Object, record};
use crate::{call::Call, refusal::Refusal};

mod open;

pub(crate) use open::Ended;
use open::{Open, Who};

/// What the API server calls a request in its own audit log.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Bytes that an operation's fields usually take.
const SOME_FIELDS: usize = 192;

/// The records of one request, none when there is no audit log; and its span, if it is traced. Dropping it makes the last.
pub(crate) struct Entry {
    open: Option<Box<Open>>,
    span: Option<Span>,
}

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// Once there is room for its records: [`Entry::room`].
    Waits,
}

impl Entry {
    /// For what has its record already.
    pub(crate) fn none() -> Self {
        Self {
            open: None,
            span: None,
        }
    }

    pub(crate) fn begin(call: &Call<'_>) -> Self {
        let open = |of: &Arc<OfConnection>| Open::new(Arc::clone(of), call);
        Self {
            open: call.connection.audit.as_ref().map(open).map(Box::new),
            span: None,
        }
    }

    /// It is traced from here on.
    pub(crate) fn traced(&mut self, span: Span) {
        if let Some(open) = &mut self.open {
            open.span = span.ids();
        }
        self.span = Some(span);
    }

    /// Where its stages belong.
    pub(crate) const fn span(&mut self) -> Option<&mut Span> {
        self.span.as_mut()
    }

    /// What is asked of an API server. Whatever an upgraded connection carries is not looked at, be it asked for by GET and lead to a
    /// subresource of somebody's own, such as a virtual machine's console: it may change something.
    pub(crate) fn asks<B>(&mut self, request: &Request<B>, operation: &Operation<'_>) {
        let Some(open) = &mut self.open else { return };
        let method = request.method();
        open.is_read = operation.is_read() && upgrade_asked(request).is_none();
        open.lasts = operation.kind != Kind::Short;
        open.operation.reserve(SOME_FIELDS);
        let mut fields = Object::fields(&mut open.operation);
        record::operation(&mut fields, method.as_str(), operation);
    }

    /// What is asked of the relay.
    pub(crate) fn asks_relay(&mut self, method: &Method, path: &str) {
        let Some(open) = &mut self.open else { return };
        open.is_read = true;
        let mut fields = Object::fields(&mut open.operation);
        record::path(&mut fields, method.as_str(), path);
    }

    /// Who asks, and for which agent.
    pub(crate) fn comes_from(&mut self, caller: &Caller, agent: Option<AgentId>) {
        if let Some(open) = &mut self.open {
            open.who = Who::Caller(caller.clone(), agent);
        }
    }

    /// As whom, and where. `headers` are those of the request.
    pub(crate) fn permitted(&mut self, permit: &Arc<Permit>, headers: &HeaderMap) {
        if let Some(span) = &mut self.span {
            span.tell("adit.agent.id", permit.agent().0.to_string());
        }
        let Some(open) = &mut self.open else { return };
        let mut own = Vec::new();
        if *permit.act_as() == ActAs::Agent {
            record::agent_itself(&mut Object::fields(&mut own), headers);
        }
        open.who = Who::Permitted(open.of.permitted(permit), own);
    }

    /// Makes sure that there will be room for its records, as far as configured.
    pub(crate) fn admitted(&mut self, config: &AuditConfig) -> Result<Admission, Refusal> {
        let Some(open) = &mut self.open else {
            return Ok(Admission::Granted);
        };
        let when_full = config.when_full(open.is_read);
        if when_full != WhenFull::Drop {
            open.room = open.of.queue.promise();
        }
        match when_full {
            WhenFull::Drop => Ok(Admission::Granted),
            WhenFull::Refuse | WhenFull::Block if open.room.is_some() => Ok(Admission::Granted),
            WhenFull::Refuse => Err(Refusal::AuditFull),
            WhenFull::Block => Ok(Admission::Waits),
        }
    }

    /// Waits for that room, until `ends` at most, if there is an end. Cancel-safe.
    pub(crate) async fn room(&mut self, ends: Option<Instant>) -> Result<(), Refusal> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let room = open.of.queue.room();
        let room = match ends {
            Some(ends) => timeout_at(ends, room)
                .await
                .map_err(|_| Refusal::PermitEnded)?,
            None => room.await,
        };
        open.room = Some(room);
        Ok(())
    }

    /// Where the bytes of the request's body, or of an upgraded connection, are to be counted.
    pub(crate) fn request_bytes(&mut self) -> Option<Arc<AtomicU64>> {
        let open = self.open.as_mut()?;
        Some(Arc::clone(open.request_bytes.get_or_insert_default()))
    }

    /// The same for the other direction of an upgraded connection; those of a body are counted by [`Entry::sent`].
    pub(crate) fn answer_bytes(&mut self) -> Option<Arc<AtomicU64>> {
        let open = self.open.as_mut()?;
        Some(Arc::clone(open.upgraded_bytes.get_or_insert_default()))
    }

    /// The relay answers itself. The record is made at once: whether the caller reads that answer is of no interest.
    pub(crate) fn refused(mut self, refusal: &Refusal, call: &Call<'_>, after: Duration) {
        let facts = refusal.facts();
        if let Some(span) = &mut self.span {
            span.answered(facts.status);
            span.failed(facts.reason);
        }
        let Some(open) = &mut self.open else { return };
        open.ended = Ended::Refused;
        open.status = Some(facts.status);
        open.refused = Some((facts, refusal.detail()));
        open.timed(call, after);
    }

    /// The answer has begun. What lasts has its first record now.
    pub(crate) fn answered<B>(
        &mut self,
        answer: &Response<B>,
        is_whole: bool,
        call: &Call<'_>,
        after: Duration,
    ) {
        let status = answer.status();
        if let Some(span) = &mut self.span {
            span.answered(status);
        }
        let Some(open) = &mut self.open else { return };
        open.status = Some(status);
        open.timed(call, after);
        if let Some(id) = answer.headers().get(AUDIT_ID) {
            open.audit_id = id.to_str().unwrap_or_default().into();
        }
        if is_whole || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            open.ended = Ended::Answered;
        }
        let is_upgraded = status == StatusCode::SWITCHING_PROTOCOLS;
        if is_upgraded {
            let mut fields = Object::fields(&mut open.upgrade);
            record::upgrade(&mut fields, answer.headers());
        }
        if is_upgraded || open.lasts && status.is_success() {
            open.begins();
        }
    }

    /// A piece of the answer's body is on its way, or is not.
    pub(crate) fn sent(
        &mut self,
        frame: Option<&Result<Frame<Bytes>, StreamError>>,
        is_last: impl FnOnce() -> bool,
    ) {
        if let Some(Err(error)) = frame {
            self.ended(Ended::of(error));
        }
        let Some(open) = &mut self.open else { return };
        match frame {
            Some(Ok(frame)) => {
                open.answer_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if frame.is_trailers() || is_last() {
                    open.ended = Ended::Answered;
                }
            }
            Some(Err(_)) => {}
            None => open.ended = Ended::Answered,
        }
    }

    /// It is over, and so.
    pub(crate) fn ended(&mut self, ended: Ended) {
        if let (Some(span), Some(why)) = (&mut self.span, ended.failure()) {
            span.failed(why);
        }
        if let Some(open) = &mut self.open {
            open.ended = ended;
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Entry");
        if let Some(open) = &self.open {
            shown
                .field("request", &open.request)
                .field("ended", &open.ended);
        }
        shown.finish_non_exhaustive()
    }
}
