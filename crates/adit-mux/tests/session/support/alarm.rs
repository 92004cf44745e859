//! A waker that remembers whether it was called: who was told to wait is to be woken before waiting can have an end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use adit_mux::Session;

/// One waiter. Asleep from a `Pending` until its waker is called.
#[derive(Debug)]
pub(crate) struct Alarm {
    rung: Arc<Rung>,
    waker: Waker,
    is_asleep: bool,
}

#[derive(Debug)]
struct Rung(AtomicBool);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Default for Alarm {
    fn default() -> Self {
        let rung = Arc::new(Rung(AtomicBool::new(false)));
        Self {
            waker: Waker::from(Arc::clone(&rung)),
            rung,
            is_asleep: false,
        }
    }
}

impl Alarm {
    /// Whether its waker was called since it was last polled.
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.0.load(Ordering::Relaxed)
    }

    /// Polls, wakes whom the session wants woken, and fails when there was something to find although nobody woke this waiter.
    pub(crate) fn poll<T>(
        &mut self,
        session: &mut Session,
        poll: impl FnOnce(&mut Session, &Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let was_rung = self.rung.0.swap(false, Ordering::Relaxed);
        let polled = poll(session, &Context::from_waker(&self.waker));
        assert!(
            polled.is_pending() || !self.is_asleep || was_rung,
            "a waiter was not woken"
        );
        self.is_asleep = polled.is_pending();
        ring(session);
        polled
    }
}

/// Calls the wakers that are due.
pub(crate) fn ring(session: &mut Session) {
    session.take_wakes().into_iter().for_each(Waker::wake);
}
