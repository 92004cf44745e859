//! The rows of the page's tables: what the report says, and beside it what is told in other words.

use super::{
    super::{Agent, REASONS, Replica, Stream},
    spoken,
};

/// A stream.
#[derive(Debug)]
pub(super) struct StreamRow<'a> {
    pub(super) of: &'a Stream,
    pub(super) age: String,
    pub(super) request_bytes: String,
    pub(super) answer_bytes: String,
}

/// An agent.
#[derive(Debug)]
pub(super) struct AgentRow<'a> {
    pub(super) of: &'a Agent,
    /// Since when it is, if it is.
    pub(super) away: String,
    pub(super) replicas: Vec<ReplicaRow<'a>>,
}

/// A replica.
#[derive(Debug)]
pub(super) struct ReplicaRow<'a> {
    pub(super) of: &'a Replica,
    pub(super) since: String,
    pub(super) round_trip: String,
}

/// A reason of refusals.
#[derive(Debug)]
pub(super) struct RefusalRow<'a> {
    pub(super) reason: &'a str,
    pub(super) count: u64,
    /// What it means, what to do.
    pub(super) means: String,
}

impl<'a> StreamRow<'a> {
    pub(super) fn of(stream: &'a Stream) -> Self {
        Self {
            of: stream,
            age: spoken::age(stream.age),
            request_bytes: spoken::size(stream.request_bytes as f64),
            answer_bytes: spoken::size(stream.answer_bytes as f64),
        }
    }
}

impl<'a> AgentRow<'a> {
    pub(super) fn of(agent: &'a Agent) -> Self {
        let since = agent.offline_since.as_deref();
        Self {
            of: agent,
            away: since.map_or_else(
                || "not connected since the relay started".to_owned(),
                |since| format!("offline since {}", moment(since)),
            ),
            replicas: agent.replicas.iter().map(ReplicaRow::of).collect(),
        }
    }
}

impl<'a> ReplicaRow<'a> {
    fn of(replica: &'a Replica) -> Self {
        Self {
            of: replica,
            since: moment(&replica.since),
            round_trip: spoken::millis(replica.round_trip_ms),
        }
    }
}

impl<'a> RefusalRow<'a> {
    pub(super) fn of((reason, count): (&'a String, &u64)) -> Self {
        let known = REASONS.iter().find(|known| known.name == reason);
        Self {
            reason,
            count: *count,
            means: known.map_or_else(String::new, |known| plain(known.meaning)),
        }
    }
}

/// What Markdown says, without its signs: of a link the words, as what it leads to is not on this port.
fn plain(markdown: &str) -> String {
    let mut pieces = markdown.split("](");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(piece.split_once(')').map_or(piece, |(_, after)| after));
    }
    text.replace(['[', '`'], "")
}

/// `2026-11-25T20:00:00Z` without its letters.
pub(super) fn moment(since: &str) -> String {
    since.replace('T', " ").replace('Z', "")
}
