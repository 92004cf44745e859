//! Credit of one stream in one direction, as the receiver keeps it: what was granted, what arrived, what was consumed.
//!
//! The window starts small and doubles while its reader takes half of it in less than a round trip, for then the path could
//! carry more: it settles at about twice what path and reader can use. Memory is what lies unread, never the window itself.

use crate::{Moment, config::MAX_CREDIT};

#[derive(Debug)]
pub(crate) struct Window {
    size: u32,
    granted: u64,
    received: u64,
    consumed: u64,
    last_grant: Moment,
}

impl Window {
    pub(crate) fn new(size: u32, now: Moment) -> Self {
        Self {
            size,
            granted: size.into(),
            received: 0,
            consumed: 0,
            last_grant: now,
        }
    }

    /// Counts data that arrived; false when there was no credit for it.
    #[must_use]
    pub(crate) fn receive(&mut self, bytes: u64) -> bool {
        self.received += bytes;
        self.received <= self.granted
    }

    /// Counts bytes that the reader took, and says how much credit to give for them now. Half a window is worth a frame.
    pub(crate) fn consume(&mut self, bytes: u64) -> Option<u32> {
        self.consumed += bytes;
        let promised = self.granted - self.consumed;
        (promised <= u64::from(self.size) / 2).then(|| {
            let credit = u64::from(self.size) - promised;
            self.granted += credit;
            u32::try_from(credit).expect("a credit is never larger than the window, a u32")
        })
    }

    /// Whether the reader keeps up with more than the window lets through. Asked at each grant.
    pub(crate) fn is_too_small(&mut self, round_trip: Option<Moment>, now: Moment) -> bool {
        let taken = now.saturating_sub(self.last_grant);
        self.last_grant = now;
        round_trip.is_some_and(|round_trip| taken < round_trip)
    }

    /// Doubles, up to a limit; says by how many bytes. The next grant carries them.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_returns_on_consumption_in_halves() {
        let mut window = Window::new(100, Moment::ZERO);
        assert!(window.receive(100));
        assert_eq!(window.consume(49), None);
        assert_eq!(window.consume(1), Some(50));
        assert!(window.receive(50));
        assert!(!window.receive(1), "an overrun is seen");
    }

    #[test]
    fn a_window_grows_only_for_a_reader_faster_than_the_path() {
        let round_trip = Some(Moment::from_millis(50));
        let mut window = Window::new(100, Moment::ZERO);
        assert!(window.is_too_small(round_trip, Moment::from_millis(10)));
        assert!(!window.is_too_small(round_trip, Moment::from_millis(100)));
        assert!(
            !window.is_too_small(None, Moment::from_millis(101)),
            "an unknown path proves nothing"
        );
        assert_eq!(window.grow(150), 50);
        assert_eq!(window.grow(150), 0);
        assert!(window.receive(100));
        assert_eq!(window.consume(100), Some(150));
    }
}
