//! Credit of one stream in one direction, as the receiver keeps it: what was granted, what arrived, what was consumed.
//!
//! The window starts small and doubles while its reader takes a whole one in less than two round trips, for then the path could
//! carry more: it settles at two to four times what path and reader can use. A whole one, because whoever comes rarely finds a
//! whole one waiting and takes it in no time. Memory is what lies unread, never the window itself.

use crate::{Moment, config::MAX_CREDIT};

#[derive(Debug)]
pub(crate) struct Window {
    size: u32,
    granted: u64,
    received: u64,
    consumed: u64,
    /// Since when, and from which byte on, the reader's pace is being measured.
    measured_since: Moment,
    measured_from: u64,
}

impl Window {
    pub(crate) fn new(size: u32, now: Moment) -> Self {
        Self {
            size,
            granted: size.into(),
            received: 0,
            consumed: 0,
            measured_since: now,
            measured_from: 0,
        }
    }

    /// Counts data that arrived; false when there was no credit for it.
    #[must_use]
    pub(crate) fn receive(&mut self, bytes: u64) -> bool {
        self.received += bytes;
        self.received <= self.granted
    }

    /// Counts bytes that the reader took.
    pub(crate) fn consume(&mut self, bytes: u64) {
        self.consumed += bytes;
    }

    /// The credit to give now, if it is worth a frame.
    pub(crate) fn grant(&mut self) -> Option<u32> {
        let promised = self.granted - self.consumed;
        let credit = u64::from(self.size) - promised;
        (credit >= self.step().into()).then(|| {
            self.granted += credit;
            u32::try_from(credit).expect("a credit is never larger than the window, a u32")
        })
    }

    /// What is worth a frame: half of a small window, an eighth of a large one. What is held back of a large one is missing on
    /// a long path, while frames are few beside the data that causes them.
    fn step(&self) -> u32 {
        (self.size / 8).max(STEP).min(self.size.div_ceil(2))
    }

    /// Whether the reader keeps up with more than the window lets through. Asked whenever it took something.
    pub(crate) fn is_too_small(&mut self, round_trip: Option<Moment>, now: Moment) -> bool {
        if self.consumed - self.measured_from < self.size.into() {
            return false;
        }
        let taken = now.saturating_sub(self.measured_since);
        self.measured_since = now;
        self.measured_from = self.consumed;
        round_trip.is_some_and(|round_trip| taken < 2 * round_trip)
    }

    /// Doubles, up to a limit; says by how many bytes. A grant is due then.
    pub(crate) fn grow(&mut self, limit: u32) -> u32 {
        let before = self.size;
        self.size = before
            .saturating_mul(2)
            .min(limit)
            .min(MAX_CREDIT)
            .max(before);
        self.size - before
    }

    /// Bytes the peer may still have under way.
    pub(crate) fn outstanding(&self) -> u64 {
        self.granted.saturating_sub(self.received)
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// See `session/invariants.rs`.
    pub(crate) fn assert_invariants(&self) {
        assert!(self.consumed <= self.received, "consumed before it came");
        assert!(
            self.granted - self.consumed <= self.size.into(),
            "more promised than the window holds"
        );
    }
}

/// A frame for so much data costs next to nothing: a batch of the writer's.
const STEP: u32 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn consume(window: &mut Window, bytes: u64) -> Option<u32> {
        window.consume(bytes);
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
    fn a_window_grows_only_for_a_reader_faster_than_the_path() {
        let round_trip = Some(Moment::from_millis(50));
        let mut window = Window::new(100, Moment::ZERO);
        let mut takes = |bytes, round_trip, at| {
            window.consume(bytes);
            window.is_too_small(round_trip, Moment::from_millis(at))
        };
        assert!(!takes(99, round_trip, 10), "not a whole window yet");
        assert!(takes(1, round_trip, 99));
        assert!(!takes(100, round_trip, 199), "no faster than the path");
        assert!(!takes(100, None, 200), "an unknown path proves nothing");
    }

    #[test]
    fn growth_is_granted_at_once_and_stops_at_the_limit() {
        let mut window = Window::new(100, Moment::ZERO);
        assert!(window.receive(100));
        assert_eq!(consume(&mut window, 50), Some(50));
        assert_eq!(window.grow(150), 50);
        assert_eq!(window.grow(150), 0);
        assert_eq!(consume(&mut window, 25), Some(75));
    }
}
