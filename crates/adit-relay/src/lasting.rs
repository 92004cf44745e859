//! Which exchanges run now and last: watches, logs that are followed, exec, port-forward, and whatever was upgraded. For operators, who
//! see them by `status.rs`.
//!
//! `forward.rs` enters one when its answer has begun. Shared by all shards. Invariant: an entry is there as long as its exchange. A
//! short request has none: that would cost it more than all counting together.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};

use adit_authority::Permit;
use adit_tunnel::Cutter;
use http::Method;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{call::RequestId, target::Target};

/// All of them. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lasting(Arc<Mutex<Entries>>);

/// By the order in which they began.
#[derive(Debug, Default)]
struct Entries {
    running: BTreeMap<u64, Arc<Exchange>>,
    next: u64,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: RequestId,
    pub(crate) began: Instant,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) permit: Arc<Permit>,
    pub(crate) cutter: Cutter,
    pub(crate) request_bytes: Arc<AtomicU64>,
    pub(crate) answer_bytes: Arc<AtomicU64>,
}

impl Lasting {
    /// It is there until the guard is dropped.
    pub(crate) fn enter(&self, exchange: Exchange) -> Entered {
        let exchange = Arc::new(exchange);
        let mut entries = self.0.lock();
        let place = entries.next;
        entries.next += 1;
        entries.running.insert(place, Arc::clone(&exchange));
        drop(entries);
        Entered {
            exchange,
            place,
            of: self.clone(),
        }
    }

    /// The oldest, so many at most, and how many there are.
    pub(crate) fn oldest(&self, most: usize) -> (Vec<Arc<Exchange>>, usize) {
        let entries = self.0.lock();
        let oldest = entries.running.values().take(most).map(Arc::clone);
        (oldest.collect(), entries.running.len())
    }

    /// The one with this id. It looks at each: operators ask that, requests do not.
    pub(crate) fn find(&self, request: &str) -> Option<Arc<Exchange>> {
        let entries = self.0.lock();
        let mut running = entries.running.values();
        let found = running.find(|exchange| exchange.request.as_str() == request);
        found.map(Arc::clone)
    }
}

/// Keeps an exchange among those that last.
#[derive(Debug)]
pub(crate) struct Entered {
    exchange: Arc<Exchange>,
    place: u64,
    of: Lasting,
}

impl Entered {
    /// Where the bytes of the request's body, or of an upgraded connection, are to be counted.
    pub(crate) fn request_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.exchange.request_bytes)
    }

    /// The same for the answer.
    pub(crate) fn answer_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.exchange.answer_bytes)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let gone = self.of.0.lock().running.remove(&self.place);
        // Not while others wait for the lock.
        drop(gone);
    }
}
