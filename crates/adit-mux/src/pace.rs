//! How wide a window should be, by how fast its reader takes a whole one, and how far away the sender is. For windows of streams
//! here, and for whoever keeps others that fill and empty in the same way.
//!
//! A window doubles while its reader takes a whole one in less than two round trips, for then the path could carry more. It halves
//! while that takes more than four: what lies on the way beyond that arrives no sooner, and everything else on the same connection
//! waits behind it. A whole one, because whoever comes rarely finds a whole one waiting and takes it in no time.

use crate::Moment;

/// One window's width, in bytes.
#[derive(Clone, Debug)]
pub struct Pace {
    width: u32,
    /// Since when the reader's pace is being measured, and how many bytes it has taken since.
    since: Moment,
    taken: u64,
}

impl Pace {
    /// Measured from `now` on.
    #[must_use]
    pub fn new(width: u32, now: Moment) -> Self {
        Self {
            width,
            since: now,
            taken: 0,
        }
    }

    /// In bytes.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The reader has taken so many bytes. The window may double up to `most` bytes then, or halve down to 32 KiB. Without a known
    /// round trip it stays as it is.
    pub fn take(&mut self, bytes: u64, round_trip: Option<Moment>, now: Moment, most: u32) {
        self.taken += bytes;
        if self.taken < self.width.into() {
            return;
        }
        let took = now.saturating_sub(self.since);
        (self.since, self.taken) = (now, 0);
        let Some(round_trip) = round_trip else { return };
        let round_trip = round_trip.max(WAKING);
        let width = self.width;
        if took < 2 * round_trip {
            self.width = width.saturating_mul(2).min(most).max(width);
        } else if took > 4 * round_trip {
            self.width = (width / 2).max(NARROWEST).min(width);
        }
    }
}

/// How far away the sender is: the least round trip of the last five to ten minutes. What waits on a busy path is in each single one, and
/// windows that were judged by it would only make more wait.
#[derive(Clone, Debug, Default)]
pub struct Distance {
    least: Option<Moment>,
    least_before: Option<Moment>,
    since: Moment,
}

impl Distance {
    /// A round trip that was measured at `now`.
    pub fn measured(&mut self, round_trip: Moment, now: Moment) {
        if now.saturating_sub(self.since) >= REMEMBERED {
            self.since = now;
            self.least_before = self.least.take();
        }
        self.least = Some(self.least.map_or(round_trip, |least| least.min(round_trip)));
    }

    /// `None` before the first was measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Moment> {
        self.least.into_iter().chain(self.least_before).min()
    }
}

/// A path is no shorter than this, whatever a ping says: both ends have to be woken, and narrower windows mean to be woken more often.
const WAKING: Moment = Moment::from_micros(200);

/// Two turns of the writer: below it each frame costs more than its bytes.
const NARROWEST: u32 = 32 << 10;

/// As long as Linux remembers a connection's least round trip (`tcp_min_rtt_wlen`), at least.
const REMEMBERED: Moment = Moment::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Option<Moment> = Some(Moment::from_millis(50));

    fn after(pace: &mut Pace, bytes: u32, round_trip: Option<Moment>, milliseconds: u64) -> u32 {
        let now = Moment::from_millis(milliseconds);
        pace.take(bytes.into(), round_trip, now, 512 << 10);
        pace.width() >> 10
    }

    #[test]
    fn a_whole_window_is_judged() {
        let mut pace = Pace::new(64 << 10, Moment::ZERO);
        assert_eq!(after(&mut pace, (64 << 10) - 1, ROUND_TRIP, 10), 64);
        assert_eq!(after(&mut pace, 1, ROUND_TRIP, 99), 128, "within two");
        assert_eq!(after(&mut pace, 128 << 10, ROUND_TRIP, 199), 128, "two");
        assert_eq!(after(&mut pace, 128 << 10, ROUND_TRIP, 399), 128, "four");
        assert_eq!(after(&mut pace, 128 << 10, ROUND_TRIP, 600), 64, "longer");
        assert_eq!(after(&mut pace, 64 << 10, None, 601), 64, "unknown");
    }

    #[test]
    fn it_stays_within_bounds() {
        let mut pace = Pace::new(256 << 10, Moment::ZERO);
        for _ in 0..2 {
            assert_eq!(after(&mut pace, 512 << 10, ROUND_TRIP, 1), 512);
        }
        let widths = (1..=6).map(|n| after(&mut pace, 512 << 10, ROUND_TRIP, n * 1000));
        assert_eq!(widths.collect::<Vec<_>>(), [256, 128, 64, 32, 32, 32]);
        let mut small = Pace::new(100, Moment::ZERO);
        assert_eq!(after(&mut small, 100, ROUND_TRIP, 1000), 0);
        assert_eq!(small.width(), 100, "one that began smaller stays");
        small.take(100, ROUND_TRIP, Moment::from_millis(1001), 50);
        assert_eq!(small.width(), 100, "no room to grow is no reason to halve");
    }

    #[test]
    fn the_shortest_path_counts_as_one() {
        let near = Some(Moment::from_micros(20));
        let mut pace = Pace::new(64 << 10, Moment::ZERO);
        pace.take(64 << 10, near, Moment::from_micros(399), 1 << 20);
        assert_eq!(pace.width(), 128 << 10);
        pace.take(128 << 10, near, Moment::from_micros(399 + 800), 1 << 20);
        assert_eq!(pace.width(), 128 << 10);
    }

    #[test]
    fn what_waits_on_the_way_is_no_distance_and_an_old_one_is_forgotten() {
        let (near, far) = (Moment::from_millis(1), Moment::from_millis(40));
        let mut distance = Distance::default();
        assert_eq!(distance.round_trip(), None);
        let mut at = |seconds, round_trip| {
            distance.measured(round_trip, Moment::from_secs(seconds));
            distance.round_trip()
        };
        assert_eq!(at(0, far), Some(far));
        assert_eq!(at(1, near), Some(near));
        assert_eq!(at(299, far), Some(near));
        assert_eq!(at(599, far), Some(near));
        assert_eq!(at(901, far), Some(far), "the path has changed");
    }
}
