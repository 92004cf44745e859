//! An operator's cut of a stream or a tunnel, as it is written down: before it is made, or with why it was not.
//!
//! `status/cut.rs` makes one for each POST that asks for a cut. Invariant: what may not happen unrecorded does not; a cut is a change.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use adit_identity::AgentId;
use tokio::time::timeout;

use super::{
    Audit, WhenFull,
    json::Object,
    queue::{Behalf, Queue, Room},
};

/// Who wants to cut what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cutting<'a> {
    /// From where. Behind `kubectl port-forward` that is the machine itself.
    pub(crate) client: SocketAddr,
    pub(crate) what: What<'a>,
    /// None: whoever it is was not let in.
    pub(crate) operator: Option<Operator<'a>>,
}

/// Who was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator<'a> {
    /// By what.
    pub(crate) proof: &'static str,
    /// Whose certificate it was, and whose CA issued it, by their names; empty when none was shown.
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a str,
}

/// What is to be cut, by the name that the caller gave it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What<'a> {
    /// By its request's id.
    Stream(&'a str),
    /// By its session's id.
    Tunnel(&'a str),
}

impl<'a> What<'a> {
    pub(crate) const fn id(self) -> &'a str {
        match self {
            Self::Stream(id) | Self::Tunnel(id) => id,
        }
    }
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(id) => write!(f, "stream {id}"),
            Self::Tunnel(id) => write!(f, "tunnel {id}"),
        }
    }
}

/// There is no room for the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRoom;

impl Audit {
    /// Writes down that it is cut now, at this agent, if there is room, or otherwise as this says. Whoever calls cuts only afterwards.
    pub(crate) async fn cut(
        &self,
        cutting: &Cutting<'_>,
        agent: AgentId,
        when_full: WhenFull,
    ) -> Result<(), NoRoom> {
        let Some(queue) = self.queues.first() else {
            return Ok(());
        };
        let room = room(queue, when_full).await?;
        let behalf = room.as_ref().map_or(Behalf::Known, |_| Behalf::Promised);
        queue.add(behalf, |record| {
            cutting.begin(record);
            record.object("agent", |fields| fields.number("id", agent.0));
            record.text("result", "cut");
        });
        Ok(())
    }

    /// Writes down that an operator asked for what is not there, or no longer.
    pub(crate) fn unknown(&self, cutting: &Cutting<'_>) {
        self.add(Behalf::Known, |record| {
            cutting.begin(record);
            record.text("result", "unknown");
        });
    }

    /// Writes down that somebody was not let in, or did not say that it is meant.
    pub(crate) fn not_let(&self, cutting: &Cutting<'_>, why: &'static str) {
        let behalf = match cutting.operator {
            Some(_) => Behalf::Known,
            None => Behalf::Stranger,
        };
        self.add(behalf, |record| {
            cutting.begin(record);
            record.text("result", "refused");
            record.text("refusal", why);
        });
    }

    fn add(&self, behalf: Behalf, fill: impl FnOnce(&mut Object<'_>)) {
        if let Some(queue) = self.queues.first() {
            queue.add(behalf, fill);
        }
    }
}

async fn room(queue: &Arc<Queue>, when_full: WhenFull) -> Result<Option<Room>, NoRoom> {
    match when_full {
        WhenFull::Drop => Ok(None),
        WhenFull::Refuse => queue.promise().map(Some).ok_or(NoRoom),
        WhenFull::Block => {
            let room = timeout(PATIENCE, queue.room()).await;
            room.map(Some).map_err(|_| NoRoom)
        }
    }
}

impl Cutting<'_> {
    fn begin(&self, record: &mut Object<'_>) {
        record.text("event", "cut");
        match self.what {
            What::Stream(id) => record.text("request_id", id),
            What::Tunnel(id) => record.text("tunnel", id),
        }
        record.text("client", &self.client.to_string());
        if let Some(operator) = self.operator {
            record.text("by", "operator");
            record.text("proof", operator.proof);
            record.some_text("subject", operator.subject);
            record.some_text("issuer", operator.issuer);
        }
    }
}

/// How long an operator waits for room, where requests would until their token expires.
const PATIENCE: Duration = Duration::from_secs(5);
