//! What a relay is told about its audit log.

use std::{fmt, path::PathBuf};

use adit_otlp::CollectorConfig;
use adit_process::whole;

/// Where records go, and what happens when they cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Default: nowhere. Records name people, so whoever wants them says where they may lie, and for how long.
    pub to: AuditTo,
    /// Bytes of records that wait to be written, in all shards together. Default 64 MiB: a minute of 1,000 requests a second.
    pub queue_bytes: usize,
    /// When the queue is full: requests that may change something, execs among them. Default: refuse them; what nobody can account for
    /// does not happen.
    pub changes_when_full: WhenFull,
    /// When the queue is full: requests that only read. Default: let them go on, and count the records that are missing.
    pub reads_when_full: WhenFull,
    /// Records in a second of requests without a valid token, in all shards together. Default 100: strangers must neither fill the queue
    /// nor push out what matters.
    pub strangers_per_second: u32,
}

/// Where records go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditTo {
    /// There are none.
    #[default]
    Nowhere,
    /// Standard output, on which a relay writes nothing else.
    Stdout,
    /// A file.
    File(FileConfig),
    /// A collector, by OTLP.
    Collector(CollectorConfig),
}

/// A file with its predecessors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Its path; `.1` and so on are appended for its predecessors.
    pub path: PathBuf,
    /// Size past which the next begins. Default 100 MiB.
    pub max_bytes: u64,
    /// Predecessors that are kept. Default 10.
    pub keep: u32,
}

/// What happens to a request whose records would find no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// It waits until there is room, or its token expires.
    Block,
    /// It is answered with 503.
    Refuse,
    /// It goes on, and its records are missing; that they are is counted, and told by the next record.
    Drop,
}

/// With the key that says so.
impl fmt::Display for AuditTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("nowhere (audit.to)"),
            Self::Stdout => f.write_str("standard output (audit.to)"),
            Self::File(file) => write!(f, "{} (audit.file)", whole(&file.path).display()),
            Self::Collector(collector) => write!(f, "{collector}"),
        }
    }
}

impl AuditTo {
    /// The collector, if there is one.
    pub(crate) const fn collector(&self) -> Option<&CollectorConfig> {
        match self {
            Self::Collector(collector) => Some(collector),
            Self::Nowhere | Self::Stdout | Self::File(_) => None,
        }
    }
}

impl AuditConfig {
    pub(super) fn when_full(&self, is_read: bool) -> WhenFull {
        if is_read {
            self.reads_when_full
        } else {
            self.changes_when_full
        }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            to: AuditTo::Nowhere,
            queue_bytes: 64 << 20,
            changes_when_full: WhenFull::Refuse,
            reads_when_full: WhenFull::Drop,
            strangers_per_second: 100,
        }
    }
}
