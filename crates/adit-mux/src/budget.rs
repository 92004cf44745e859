//! The process-wide bound on bytes that lie unread in sessions. Shared by all sessions of a process; counts, never blocks.
//!
//! From seven eighths of the bound on, the session that holds most is called on to let go of some, whosever bytes came last. It
//! may run on another thread, and comes in a moment: for that the last eighth is kept. Past the bound itself a session lets go
//! of its own, so that one that never comes harms nobody but the late.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

/// How many bytes all sessions of a process may hold for readers that have not come for them.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    limit: usize,
    /// The sessions that can be called on.
    entries: Mutex<Vec<Arc<Entry>>>,
    /// Whether one has been called and has not come yet. Nobody else is called meanwhile.
    is_calling: AtomicBool,
    credit_stalls: AtomicU64,
    overloaded: AtomicU64,
}

/// What happened in all sessions of a [`Budget`] since its start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How often a stream had data and no credit.
    pub credit_stalls: u64,
    /// Streams that were reset because a bound on unread bytes was reached, the session's or the process's.
    pub overloaded: u64,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            limit,
            entries: Mutex::default(),
            is_calling: AtomicBool::new(false),
            credit_stalls: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
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

    /// What happened so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            credit_stalls: self.credit_stalls.load(Ordering::Relaxed),
            overloaded: self.overloaded.load(Ordering::Relaxed),
        }
    }

    /// Whether so many bytes held in all are so many that somebody has to let go.
    fn is_pressed(&self, held: usize) -> bool {
        held > self.limit - self.limit / 8
    }

    /// What one more holder does about so many bytes held in all.
    fn press(&self, own: &Entry, held: usize) -> Pressure {
        if held > self.limit {
            return Pressure::Own;
        }
        if !self.is_pressed(held) || self.is_calling.swap(true, Ordering::AcqRel) {
            return Pressure::None;
        }
        let entries = lock(&self.entries);
        let most = entries.iter().max_by_key(|entry| entry.held());
        match most.filter(|most| most.held() > own.held()) {
            Some(most) => {
                most.is_called.store(true, Ordering::Release);
                let driver = lock(&most.driver).clone();
                driver.map_or(Pressure::None, Pressure::Other)
            }
            None => {
                self.is_calling.store(false, Ordering::Release);
                Pressure::Own
            }
        }
    }
}

/// Whose turn it is to let go.
#[derive(Debug)]
pub(crate) enum Pressure {
    /// Nobody's, or it was told before.
    None,
    /// The asking session's.
    Own,
    /// Another's: its driver is to be woken.
    Other(Waker),
}

/// What others see of a session.
#[derive(Debug, Default)]
struct Entry {
    held: AtomicUsize,
    is_called: AtomicBool,
    driver: Mutex<Option<Waker>>,
}

impl Entry {
    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one session holds of a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    entry: Arc<Entry>,
    /// Whom the entry's waker wakes, to be compared without a lock.
    driver: Option<Waker>,
}

impl Account {
    pub(crate) fn open(budget: Arc<Budget>) -> Self {
        let entry = Arc::<Entry>::default();
        lock(&budget.entries).push(Arc::clone(&entry));
        Self {
            budget,
            entry,
            driver: None,
        }
    }

    /// Bytes that this session holds.
    pub(crate) fn held(&self) -> usize {
        self.entry.held()
    }

    /// Counts bytes that arrived.
    pub(crate) fn take(&mut self, bytes: usize) -> Pressure {
        self.entry.held.fetch_add(bytes, Ordering::Relaxed);
        let before = self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        self.budget.press(&self.entry, before.saturating_add(bytes))
    }

    /// Counts bytes that were consumed or dropped.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.entry.held.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Leaves a waker for when this session is called on.
    pub(crate) fn attend(&mut self, cx: &Context<'_>) {
        let is_known = |driver: &Waker| driver.will_wake(cx.waker());
        if !self.driver.as_ref().is_some_and(is_known) {
            self.driver = Some(cx.waker().clone());
            lock(&self.entry.driver).clone_from(&self.driver);
        }
    }

    /// Whether this session is called on to let go of some.
    pub(crate) fn is_called(&self) -> bool {
        self.entry.is_called.load(Ordering::Acquire)
    }

    /// This session has come: whether it was called. If it was, the next may be.
    pub(crate) fn come(&mut self) -> bool {
        let was_called = self.entry.is_called.swap(false, Ordering::AcqRel);
        if was_called {
            self.budget.is_calling.store(false, Ordering::Release);
        }
        was_called
    }

    /// Nobody drives the session any more: it cannot come.
    pub(crate) fn retire(&mut self) {
        lock(&self.budget.entries).retain(|entry| !Arc::ptr_eq(entry, &self.entry));
        self.come();
    }

    /// Counts a stream that has data and no credit.
    pub(crate) fn stalled(&self) {
        self.budget.credit_stalls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a stream that was reset because a bound was reached.
    pub(crate) fn overloaded(&self) {
        self.budget.overloaded.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether so much is held by all that somebody has to let go.
    pub(crate) fn is_pressed(&self) -> bool {
        self.budget.is_pressed(self.budget.held())
    }

    /// Whether so much is held by all that nothing new should be begun.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget.held() >= self.budget.limit
    }

    /// Whether windows may still grow: while less than half is held by all.
    pub(crate) fn is_roomy(&self) -> bool {
        self.budget.held() < self.budget.limit / 2
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.retire();
        self.give_back(self.held());
    }
}

/// Nothing panics while one of these is locked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
