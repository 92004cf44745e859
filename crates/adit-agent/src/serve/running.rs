//! Which requests are being served, as whom they act, and what they do, so that those can be ended that a lower ceiling no longer covers.
//! Entered by [`super::Service`] before the request may leave. Invariant: an entry is there as long as its request is served.

use std::sync::{Arc, Weak};

use adit_tunnel::{ResetReason, TunnelStream};
use http::HeaderMap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::impersonate::{Acting, Ceiling, Deed};

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    all: FxHashMap<u64, Entry>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    stream: Weak<TunnelStream>,
    acting: Acting,
    /// Whom a caller names that acts as the agent itself.
    named: HeaderMap,
    deed: Arc<Deed>,
}

impl Running {
    /// It is there until the guard is dropped.
    pub(super) fn enter(
        &self,
        stream: &Arc<TunnelStream>,
        acting: &Acting,
        headers: &HeaderMap,
        deed: &Arc<Deed>,
    ) -> Entered<'_> {
        let entry = Entry {
            stream: Arc::downgrade(stream),
            acting: acting.clone(),
            named: acting.named(headers),
            deed: Arc::clone(deed),
        };
        let mut entries = self.0.lock();
        let place = entries.next;
        entries.next += 1;
        entries.all.insert(place, entry);
        drop(entries);
        Entered { of: self, place }
    }

    /// Resets those that this ceiling does not cover, and says how many that were.
    pub(crate) fn lower(&self, ceiling: &Arc<Ceiling>) -> usize {
        let beyond = |entry: &Entry| {
            let why = entry
                .acting
                .covered_by(ceiling, &entry.named, &entry.deed)
                .err()?;
            Some((entry.stream.upgrade()?, why))
        };
        // Not judged while others wait for the lock.
        let all: Vec<_> = self.0.lock().all.values().cloned().collect();
        let beyond: Vec<_> = all.iter().filter_map(beyond).collect();
        for (stream, why) in &beyond {
            stream.reset(ResetReason::BeyondCeiling, &why.to_string());
        }
        beyond.len()
    }
}

/// Keeps a request among those that are served.
#[derive(Debug)]
pub(super) struct Entered<'a> {
    of: &'a Running,
    place: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let gone = self.of.0.lock().all.remove(&self.place);
        // Not while others wait for the lock.
        drop(gone);
    }
}
