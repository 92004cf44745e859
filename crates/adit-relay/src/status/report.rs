//! The words in which a relay tells operators what is happening: what `/status` answers, as JSON, and `adit status` reads.
//! Invariants: no token is in it, no body, and nothing that stands behind the `?` of a path. Whoever reads it may be newer than the relay,
//! or older: a field that has come since the first version may be missing, and one that is not known is passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of it, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The relay's version.
    pub version: String,
    /// When it started. Times are in UTC, as RFC 3339 has them.
    pub since: String,
    /// Whether it is stopping.
    pub draining: bool,
    /// Requests that run now, short ones among them.
    pub requests: usize,
    /// How many agents are connected, those among them that are not shown. Older relays do not say it: see [`Report::connected`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<usize>,
    /// By id; those that the configuration names, and those that were asked for since the start.
    pub agents: First<Agent>,
    /// What runs now and lasts, the oldest first.
    pub streams: First<Stream>,
    /// Answers of the relay's own within the last hour, by reason; reasons that did not occur are left out.
    pub refusals: BTreeMap<String, u64>,
    /// What should be looked after.
    pub problems: Vec<Problem>,
    /// What the last hour was like.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub history: History,
}

impl Report {
    /// How many agents are connected; of an older relay's, those that are shown.
    #[must_use]
    pub fn connected(&self) -> usize {
        let shown = self.agents.shown.iter();
        self.connected
            .unwrap_or_else(|| shown.filter(|agent| !agent.replicas.is_empty()).count())
    }
}

/// The last hour in pieces of equal length, the oldest first: each list has a value for each piece. Shorter after a start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// How long each is, in seconds.
    pub every: u64,
    /// Requests that API servers answered.
    pub answered: Vec<u64>,
    /// Requests that the relay answered itself.
    pub refused: Vec<u64>,
    /// Requests whose caller left before an answer.
    pub cancelled: Vec<u64>,
    /// Bytes from callers.
    pub request_bytes: Vec<u64>,
    /// Bytes to callers.
    pub answer_bytes: Vec<u64>,
    /// Within how many milliseconds half of the answers began, where there were any.
    pub median_ms: Vec<Option<f64>>,
    /// The same for 99 of 100.
    pub p99_ms: Vec<Option<f64>>,
}

impl History {
    /// Whether the relay has just started.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty()
    }
}

/// The first of a list that may be long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct First<T> {
    /// How many there are.
    pub count: usize,
    /// The first of them.
    pub shown: Vec<T>,
}

impl<T> First<T> {
    /// How many are not shown.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.count.saturating_sub(self.shown.len())
    }
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: u64,
    /// As in a context, `<project path>:<name>`; none for one that only GitLab knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who serves for it. None: it is offline.
    pub replicas: Vec<Replica>,
    /// When its last tunnel ended, if there is none now, and was one since the relay started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_since: Option<String>,
}

/// One process of an agent, by its tunnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// What it calls itself: its pod's name.
    pub replica: String,
    /// Its version.
    pub version: String,
    /// The version of its API server, if it knows.
    pub kubernetes: String,
    /// The tunnel's id, as both ends' logs have it.
    pub tunnel: String,
    /// When the tunnel was opened.
    pub since: String,
    /// To it and back, in milliseconds, once that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// Requests that run on it.
    pub streams: usize,
    /// Whether it is about to end, and takes nothing new.
    pub draining: bool,
}

/// A request that lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// As in both ends' logs and the audit log.
    pub request_id: String,
    /// The agent's id.
    pub agent: u64,
    /// The agent's name.
    pub agent_name: String,
    /// The CI job that asked; none when a person did, outside of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<u64>,
    /// The job's project: the path, or the id where the path is not known.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub project: String,
    /// The user it runs as, or who asked.
    pub login: String,
    /// What it does, in RBAC's words.
    pub verb: String,
    /// To what: `pods/exec`, or the path of what is no resource.
    pub resource: String,
    /// Where; empty for what stands in no namespace, and for all.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub namespace: String,
    /// To which; empty for many.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// `watch`, `log`, `exec`, `port_forward`; `short` for what was upgraded without being either.
    pub kind: String,
    /// For how long, in seconds.
    pub age: u64,
    /// Bytes from the caller.
    pub request_bytes: u64,
    /// Bytes to the caller.
    pub answer_bytes: u64,
}

/// What should be looked after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about, such as `readiness`, `configuration`, `secret`, `certificate`; docs/status.md has all.
    pub about: String,
    /// A sentence.
    pub message: String,
}
