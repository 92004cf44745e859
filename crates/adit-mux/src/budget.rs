//! The process-wide bound on bytes that lie unread in sessions. Shared by all sessions of a process; counts, never blocks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many bytes all sessions of a process may hold for readers that have not come for them.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            limit,
        })
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The bound.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Counts bytes that arrived; false when the bound is passed, and somebody has to let go of some.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.held
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes)
            <= self.limit
    }

    /// Counts bytes that were consumed or dropped.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether so much is held that nothing new should be begun.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.held() >= self.limit
    }

    /// Whether windows may still grow: while less than half is held.
    pub(crate) fn is_roomy(&self) -> bool {
        self.held() < self.limit / 2
    }
}
