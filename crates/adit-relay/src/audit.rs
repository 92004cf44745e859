//! Decides what is written down of each request: who asked, where, as whom, for what, and what came of it. One JSON object per line,
//! one line per request, two for what lasts; `docs/audit.md` explains each field.
//!
//! `handle.rs` makes an [`Entry`] for each request; records gather per shard in `queue.rs`, and the thread of `writer.rs` takes them
//! to `sink.rs`. Invariant: a record holds no token, no body, and nothing of a query; when records are lost, the log says so itself.

use std::{io, sync::Arc};

use adit_authority::Permit;
use adit_process::ShardId;
use parking_lot::Mutex;

mod clock;
mod config;
mod cutting;
mod entry;
mod json;
mod queue;
mod record;
mod sink;
mod wake;
mod writer;

pub use config::{AuditConfig, AuditTo, FileConfig, WhenFull};
pub(crate) use cutting::{Cutting, Operator, What};
pub(crate) use entry::{Admission, Ended, Entry};
use json::Object;
pub(crate) use queue::Stats;
use queue::{Bounds, Queue};
pub(crate) use sink::{Sink, try_out};
use wake::Wake;
pub(crate) use writer::Writer;

use crate::{client::Client, metrics::AuditMetrics};

/// The audit log of a relay; without queues when there is none.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    queues: Arc<[Arc<Queue>]>,
}

impl Audit {
    /// Starts to write there, if it goes anywhere.
    pub(crate) fn start(
        sink: Option<Sink>,
        config: &AuditConfig,
        shards: usize,
        metrics: AuditMetrics,
    ) -> io::Result<(Self, Option<Writer>)> {
        let wake = Arc::new(Wake::default());
        let bounds = bounds(config, shards);
        let queue = |_| Queue::new(bounds, Arc::clone(&wake));
        let queues: Vec<_> = sink.iter().flat_map(|_| 0..shards).map(queue).collect();
        let writer = sink
            .map(|sink| Writer::start(queues.clone(), wake, sink, metrics))
            .transpose()?;
        let audit = Self {
            queues: queues.into(),
        };
        Ok((audit, writer))
    }

    /// Holds as much from now on as this says.
    pub(crate) fn bound(&self, config: &AuditConfig) {
        let bounds = bounds(config, self.queues.len());
        self.queues.iter().for_each(|queue| queue.bound(bounds));
    }

    /// What a shard's new connection keeps for its requests.
    pub(crate) fn connection(&self, shard: ShardId, client: Client) -> Option<Arc<OfConnection>> {
        let queue = self.queues.get(shard.0)?;
        Some(Arc::new(OfConnection {
            queue: Arc::clone(queue),
            client,
            client_text: client.to_string().into(),
            last_permit: Mutex::default(),
        }))
    }

    /// Of all shards together.
    pub(crate) fn stats(&self) -> Stats {
        self.queues.iter().map(|queue| queue.stats()).sum()
    }

    /// Bytes that may wait in all shards together; none without an audit log.
    pub(crate) fn most_bytes(&self) -> usize {
        self.queues.iter().map(|queue| queue.most()).sum()
    }
}

/// Of one of so many queues.
fn bounds(config: &AuditConfig, shards: usize) -> Bounds {
    let shards = shards.max(1);
    let all = u32::try_from(shards).unwrap_or(u32::MAX);
    Bounds {
        most: config.queue_bytes / shards,
        strangers_per_second: config.strangers_per_second.div_ceil(all),
    }
}

/// What the requests of one connection have in common.
#[derive(Debug)]
pub(crate) struct OfConnection {
    queue: Arc<Queue>,
    client: Client,
    /// The same, as it is written.
    client_text: Box<str>,
    /// The last permit of a request, and its fields as JSON: they are the same for all requests of a job.
    last_permit: Mutex<Option<Permitted>>,
}

/// A permit and its fields.
#[derive(Debug)]
struct Permitted {
    permit: Arc<Permit>,
    fields: Arc<[u8]>,
}

impl OfConnection {
    fn permitted(&self, permit: &Arc<Permit>) -> Arc<[u8]> {
        let mut last = self.last_permit.lock();
        if let Some(last) = &*last
            && Arc::ptr_eq(&last.permit, permit)
        {
            return Arc::clone(&last.fields);
        }
        let mut fields = Vec::new();
        record::permit(&mut Object::fields(&mut fields), permit);
        let fields: Arc<[u8]> = fields.into();
        *last = Some(Permitted {
            permit: Arc::clone(permit),
            fields: Arc::clone(&fields),
        });
        fields
    }
}
