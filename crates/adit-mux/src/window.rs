//! Credit of one stream in one direction, as the receiver keeps it: what was granted, what arrived, what was consumed.
//!
//! The window starts small and settles at two to four times what path and reader can use; see `pace.rs`. Memory is what lies unread,
//! never the window itself.

use crate::{Moment, config::MAX_CREDIT, pace::Pace};

#[derive(Debug)]
pub(crate) struct Window {
    pace: Pace,
    granted: u64,
    received: u64,
    consumed: u64,
}

impl Window {
    pub(crate) fn new(size: u32, now: Moment) -> Self {
        Self {
            pace: Pace::new(size, now),
            granted: size.into(),
            received: 0,
            consumed: 0,
        }
    }

    /// Counts data that arrived; false when there was no credit for it.
    #[must_use]
    pub(crate) fn receive(&mut self, bytes: u64) -> bool {
        self.received += bytes;
        self.received <= self.granted
    }

    /// Counts bytes that the reader took, and fits the window to its pace, up to `most` bytes.
    pub(crate) fn consume(
        &mut self,
        bytes: u64,
        round_trip: Option<Moment>,
        now: Moment,
        most: u32,
    ) {
        self.consumed += bytes;
        self.pace.take(bytes, round_trip, now, most.min(MAX_CREDIT));
    }

    /// The credit to give now, if it is worth a frame.
    pub(crate) fn grant(&mut self) -> Option<u32> {
        let promised = self.promised();
        // Of one that was halved a moment ago more is promised than it holds.
        let credit = u64::from(self.size()).saturating_sub(promised);
        (credit >= self.step().into()).then(|| {
            self.granted += credit;
            u32::try_from(credit).expect("a credit is never larger than the window, a u32")
        })
    }

    /// What is worth a frame: half of a small window, an eighth of a large one. What is held back of a large one is missing on
    /// a long path, while frames are few beside the data that causes them.
    fn step(&self) -> u32 {
        (self.size() / 8).max(STEP).min(self.size().div_ceil(2))
    }

    /// Bytes the peer may still have under way.
    pub(crate) fn outstanding(&self) -> u64 {
        self.granted.saturating_sub(self.received)
    }

    pub(crate) fn size(&self) -> u32 {
        self.pace.width()
    }

    /// By how many bytes it is wider than so many, or was when the peer was last given credit.
    pub(crate) fn beyond(&self, start: u32) -> usize {
        let held = self.promised().max(self.size().into());
        usize::try_from(held.saturating_sub(start.into())).unwrap_or(usize::MAX)
    }

    /// What the peer may send, or has sent, and nobody has read.
    fn promised(&self) -> u64 {
        self.granted - self.consumed
    }

    /// See `session/invariants.rs`.
    pub(crate) fn assert_invariants(&self) {
        assert!(self.consumed <= self.received, "consumed before it came");
        assert!(
            self.promised() <= 2 * u64::from(self.size()),
            "more promised than the window held before it was halved"
        );
    }
}

/// A frame for so much data costs next to nothing: a batch of the writer's.
const STEP: u32 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Option<Moment> = Some(Moment::from_micros(500));

    /// By a reader whose pace suits the window.
    fn consume(window: &mut Window, bytes: u64) -> Option<u32> {
        window.consume(bytes, None, Moment::ZERO, 0);
        window.grant()
    }

    #[test]
    fn credit_returns_on_consumption_in_halves() {
        let mut window = Window::new(100, Moment::ZERO);
        assert!(window.receive(100));
        assert_eq!(consume(&mut window, 49), None);
        assert_eq!(consume(&mut window, 1), Some(50));
        assert!(window.receive(50));
        assert!(!window.receive(1), "an overrun is seen");
    }

    #[test]
    fn a_large_window_is_granted_in_small_steps() {
        for (size, step) in [(64, 32), (128, 64), (512, 64), (1024, 128), (16384, 2048)] {
            let (size, step): (u32, u32) = (size << 10, step << 10);
            let mut window = Window::new(size, Moment::ZERO);
            assert!(window.receive(size.into()));
            assert_eq!(consume(&mut window, u64::from(step) - 1), None, "{size}");
            assert_eq!(consume(&mut window, 1), Some(step), "{size}");
        }
    }

    #[test]
    fn growth_is_granted_at_once_and_stops_at_the_limit() {
        let mut window = Window::new(100, Moment::ZERO);
        assert!(window.receive(100));
        window.consume(100, ROUND_TRIP, Moment::ZERO, 150);
        assert_eq!((window.size(), window.grant()), (150, Some(150)));
        assert!(window.receive(150));
        window.consume(150, ROUND_TRIP, Moment::ZERO, 150);
        assert_eq!((window.size(), window.grant()), (150, Some(150)));
    }

    #[test]
    fn one_that_was_halved_gives_nothing_until_that_much_is_used_up() {
        let mut window = Window::new(128 << 10, Moment::ZERO);
        let (mut now, mut granted) = (Moment::ZERO, 128 << 10);
        for (takes, grants) in [(64, Some(64)), (64, None), (31, None), (1, Some(32))] {
            assert!(window.receive(takes << 10));
            now += Moment::from_secs(1);
            window.consume(takes << 10, ROUND_TRIP, now, 1 << 20);
            window.assert_invariants();
            let credit = window.grant();
            assert_eq!(credit, grants.map(|grants: u32| grants << 10), "{takes}");
            granted += credit.unwrap_or_default();
        }
        assert_eq!(window.size(), 64 << 10);
        assert!(!window.receive(u64::from(granted)), "an overrun is seen");
    }
}
