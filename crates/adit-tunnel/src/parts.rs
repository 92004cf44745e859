//! Decides which parts of a task are polled when it is woken: those that something has woken, and no others.
//!
//! An HTTP/2 connection and the streams on it are polled by one task, which is fastest; but each wakes the other all the time. With one
//! waker for both, each of these would poll both of them once more, for nothing. `connect.rs` has a connection and its lane so, the relay's
//! front a connection and all its streams.
//! Invariant: a part that is woken is polled, in this turn of the task or in its next one.

use std::{
    array::from_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The parts of one task, by their numbers. All of them are due at first.
#[derive(Debug)]
pub struct Parts<const N: usize> {
    shared: Arc<Shared>,
    /// What wakes each.
    wakers: [Waker; N],
}

#[derive(Debug)]
struct Shared {
    /// A bit for each part that is due, and [`AT_WORK`].
    state: AtomicU32,
    task: AtomicWaker,
}

impl Shared {
    /// Without a word to the task where it will look by itself: it is at work, or was told already.
    fn call(&self, part: usize) {
        if self.state.fetch_or(bit(part), Ordering::SeqCst) == 0 {
            self.task.wake();
        }
    }

    fn take(&self, part: usize) -> bool {
        self.state.fetch_and(!bit(part), Ordering::SeqCst) & bit(part) != 0
    }

    /// Whether nothing is due; then whoever calls next wakes the task.
    fn rest(&self) -> bool {
        let rested = self
            .state
            .compare_exchange(AT_WORK, 0, Ordering::SeqCst, Ordering::SeqCst);
        rested.is_ok()
    }

    /// Stops, and has the task come again if something is due.
    fn stop(&self) {
        if self.state.fetch_and(!AT_WORK, Ordering::SeqCst) != AT_WORK {
            self.task.wake();
        }
    }
}

#[derive(Debug)]
struct Bell {
    shared: Arc<Shared>,
    part: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.call(self.part);
    }
}

impl<const N: usize> Default for Parts<N> {
    fn default() -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU32::new((0..N).map(bit).sum()),
            task: AtomicWaker::new(),
        });
        let waker = |part| {
            let shared = Arc::clone(&shared);
            Waker::from(Arc::new(Bell { shared, part }))
        };
        Self {
            wakers: from_fn(waker),
            shared,
        }
    }
}

impl<const N: usize> Parts<N> {
    /// Has this part polled, of which nothing else would say that it is due.
    pub fn call(&self, part: usize) {
        self.shared.call(part);
    }

    /// Polls the parts that are due, one after the other, until none is or one is ready. One task polls them, and no other.
    pub fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(usize, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.task.register(cx.waker());
        self.shared.state.fetch_or(AT_WORK, Ordering::SeqCst);
        for _ in 0..ROUNDS {
            for (part, waker) in self.wakers.iter().enumerate() {
                if self.shared.take(part)
                    && let Poll::Ready(outcome) = poll(part, &mut Context::from_waker(waker))
                {
                    self.shared.stop();
                    return Poll::Ready(outcome);
                }
            }
            if self.shared.rest() {
                return Poll::Pending;
            }
        }
        self.shared.stop();
        Poll::Pending
    }
}

const fn bit(part: usize) -> u32 {
    1 << part
}

/// The parts are being looked at: whoever calls one need not wake the task.
const AT_WORK: u32 = 1 << 31;

/// Parts that keep each other busy let other tasks have their turn after so many.
const ROUNDS: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A task that is never run, but counts how often it was to be.
    #[derive(Debug, Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct World {
        parts: Parts<2>,
        task: Arc<Task>,
        polled: Vec<usize>,
        wakers: [Option<Waker>; 2],
    }

    impl World {
        /// Whose parts have been polled once.
        fn new() -> Self {
            let mut world = Self {
                parts: Parts::default(),
                task: Arc::default(),
                polled: Vec::new(),
                wakers: [None, None],
            };
            assert_eq!(world.turn(|_, _| {}), [0, 1], "all are due at first");
            world
        }

        /// Which parts one turn of the task polls, each of which does `act`.
        fn turn(&mut self, mut act: impl FnMut(usize, &[Option<Waker>; 2])) -> Vec<usize> {
            let waker = Waker::from(Arc::clone(&self.task));
            let (wakers, polled) = (&mut self.wakers, &mut self.polled);
            let turn = self
                .parts
                .poll(&mut Context::from_waker(&waker), |part, cx| {
                    wakers[part] = Some(cx.waker().clone());
                    polled.push(part);
                    act(part, wakers);
                    Poll::<()>::Pending
                });
            assert!(turn.is_pending());
            std::mem::take(&mut self.polled)
        }

        fn wake(&self, part: usize) {
            self.wakers[part].as_ref().unwrap().wake_by_ref();
        }

        fn woken(&self) -> usize {
            self.task.0.swap(0, Ordering::SeqCst)
        }
    }

    fn wake(wakers: &[Option<Waker>; 2], part: usize) {
        wakers[part].as_ref().unwrap().wake_by_ref();
    }

    #[test]
    fn only_what_was_woken_is_polled() {
        let mut world = World::new();
        assert_eq!(world.turn(|_, _| {}), [0; 0]);
        world.wake(1);
        assert_eq!(world.woken(), 1);
        assert_eq!(world.turn(|_, _| {}), [1]);
        world.wake(1);
        world.wake(0);
        world.parts.call(0);
        assert_eq!(world.woken(), 1, "it was told already");
        assert_eq!(world.turn(|_, _| {}), [0, 1]);
    }

    #[test]
    fn what_parts_wake_is_polled_in_the_same_turn() {
        let mut world = World::new();
        world.wake(0);
        assert_eq!(world.woken(), 1);
        let mut others = vec![1, 0];
        let polled = world.turn(|_, wakers| {
            if let Some(other) = others.pop() {
                wake(wakers, other);
            }
        });
        assert_eq!(polled, [0, 0, 1]);
        assert_eq!(world.woken(), 0, "the task had no need to come again");
    }

    #[test]
    fn parts_that_never_rest_let_other_tasks_have_their_turn() {
        let mut world = World::new();
        world.wake(0);
        world.woken();
        let polled = world.turn(|part, wakers| wake(wakers, 1 - part));
        assert_eq!(polled.len(), 2 * ROUNDS);
        assert_eq!(world.woken(), 1);
        assert_eq!(world.turn(|_, _| {}), [0]);
    }

    #[test]
    fn what_is_due_when_a_part_is_ready_is_not_forgotten() {
        let mut world = World::new();
        world.wake(0);
        world.woken();
        let waker = Waker::from(Arc::clone(&world.task));
        let wakers = world.wakers.clone();
        let ready = world.parts.poll(&mut Context::from_waker(&waker), |_, _| {
            wake(&wakers, 1);
            Poll::Ready(())
        });
        assert!(ready.is_ready());
        assert_eq!(world.woken(), 1);
        assert_eq!(world.turn(|_, _| {}), [1]);
    }
}
