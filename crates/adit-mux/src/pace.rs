//! How wide a window should be, by how fast a whole one is taken, and how far away the sender is. For the windows of streams here, and
//! for whoever keeps others that fill and empty in the same way. Invariant: without a measured round trip no window changes.
//!
//! A window doubles while a whole one is taken in less than two round trips, for then the path could carry more. On a short path it
//! halves while that takes more than four: what lies on the way beyond that arrives no sooner, and everything else on the same
//! connection waits behind it. A whole one, because whoever comes rarely finds a whole one waiting and takes it in no time.
//!
//! On a long path a window never halves: a round trip varies there by itself, and may become longer for good.

use crate::Moment;

/// One window's width, in bytes.
#[derive(Clone, Debug)]
pub struct Pace {
    width: u32,
    /// Since when it is being measured, and how many bytes were taken since.
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

    /// So many bytes were taken. The window may double up to `most` bytes then, or halve down to 32 KiB.
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
        } else if took > 4 * round_trip && round_trip < LONG {
            self.width = (width / 2).max(NARROWEST).min(width);
        }
    }
}

/// How far away a peer is, by pings.
///
/// On a short path it is the least round trip of the last five to ten minutes: what waits on a busy one is in each single one, and windows
/// that were judged by it would only make more wait. On a long path it is the least of the last four.
#[derive(Clone, Debug, Default)]
pub struct Distance {
    /// Newest first.
    last: [Option<Moment>; 4],
    least: Option<Moment>,
    least_before: Option<Moment>,
    since: Moment,
}

impl Distance {
    /// A round trip that was measured at `now`.
    pub fn measured(&mut self, round_trip: Moment, now: Moment) {
        self.last.rotate_right(1);
        if let Some(newest) = self.last.first_mut() {
            *newest = Some(round_trip);
        }
        if now.saturating_sub(self.since) >= REMEMBERED {
            self.since = now;
            self.least_before = self.least.take();
        }
        self.least = Some(self.least.map_or(round_trip, |least| least.min(round_trip)));
    }

    /// What windows are judged by; `None` before the first was measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Moment> {
        let least = self.least.into_iter().chain(self.least_before).min();
        least
            .filter(|least| *least < LONG)
            .or_else(|| self.recent())
    }

    /// Whether windows halve there.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.round_trip()
            .is_some_and(|round_trip| round_trip < LONG)
    }

    /// The least of the last four, with whatever waits on the way now.
    #[must_use]
    pub fn recent(&self) -> Option<Moment> {
        self.last.iter().flatten().min().copied()
    }
}

/// A path is no shorter than this, whatever a ping says: both ends have to be woken, and narrower windows mean to be woken more often.
const WAKING: Moment = Moment::from_micros(200);

/// From here on a path is long. Below it both ends are at one site.
const LONG: Moment = Moment::from_millis(1);

/// Two turns of the writer: below it each frame costs more than its bytes.
const NARROWEST: u32 = 32 << 10;

/// As long as Linux remembers a connection's least round trip (`tcp_min_rtt_wlen`), at least.
const REMEMBERED: Moment = Moment::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Moment = Moment::from_micros(500);

    /// What it is then, in KiB, when it was 128 KiB and a whole one was taken within so many round trips.
    fn after(round_trips: f64, round_trip: Option<Moment>) -> u32 {
        let mut pace = Pace::new(128 << 10, Moment::ZERO);
        let now = round_trip.unwrap_or(SHORT).mul_f64(round_trips);
        pace.take((128 << 10) - 1, round_trip, now, 512 << 10);
        assert_eq!(pace.width(), 128 << 10, "not a whole one yet");
        pace.take(1, round_trip, now, 512 << 10);
        pace.width() >> 10
    }

    #[test]
    fn a_whole_window_is_judged_by_the_round_trip() {
        let long = Some(LONG);
        assert_eq!(
            [1.9, 2.0, 4.0, 4.1].map(|n| after(n, Some(SHORT))),
            [256, 128, 128, 64]
        );
        assert_eq!(
            [1.9, 2.0, 4.0, 400.0].map(|n| after(n, long)),
            [256, 128, 128, 128]
        );
        assert_eq!([0.0, 4.1].map(|n| after(n, None)), [128, 128]);
    }

    #[test]
    fn a_window_doubles_and_halves_within_bounds() {
        let mut pace = Pace::new(128 << 10, Moment::ZERO);
        let mut take = |milliseconds| {
            let now = Moment::from_millis(milliseconds);
            pace.take(512 << 10, Some(SHORT), now, 400 << 10);
            pace.width() >> 10
        };
        assert_eq!([0, 0, 0].map(&mut take), [256, 400, 400]);
        assert_eq!([9, 19, 29, 39, 49].map(&mut take), [200, 100, 50, 32, 32]);
        let mut small = Pace::new(100, Moment::ZERO);
        small.take(100, Some(SHORT), Moment::from_secs(1), 1 << 20);
        assert_eq!(small.width(), 100, "one that began smaller stays");
        small.take(100, Some(SHORT), Moment::from_secs(1), 50);
        assert_eq!(small.width(), 100, "no room to grow is no reason to halve");
    }

    #[test]
    fn the_shortest_path_counts_as_one_that_takes_waking() {
        let near = Some(Moment::from_micros(20));
        let mut pace = Pace::new(64 << 10, Moment::ZERO);
        pace.take(64 << 10, near, Moment::from_micros(399), 1 << 20);
        assert_eq!(pace.width(), 128 << 10);
        pace.take(128 << 10, near, Moment::from_micros(399 + 800), 1 << 20);
        assert_eq!(pace.width(), 128 << 10);
    }

    /// Of round trips, each at a second and in microseconds: what windows are judged by after it.
    fn judged_by<const N: usize>(measured: [(u64, u64); N]) -> [u64; N] {
        let mut distance = Distance::default();
        assert_eq!(distance.round_trip(), None);
        measured.map(|(at, micros)| {
            distance.measured(Moment::from_micros(micros), Moment::from_secs(at));
            u64::try_from(distance.round_trip().unwrap().as_micros()).unwrap()
        })
    }

    #[test]
    fn on_a_short_path_what_waits_is_no_distance() {
        let measured = [(0, 900), (1, 200), (2, 9000), (299, 9000), (599, 9000)];
        assert_eq!(judged_by(measured), [900, 200, 200, 200, 200]);
        let moved = [(0, 200), (301, 9000), (302, 9000), (303, 9000), (602, 9000)];
        assert_eq!(judged_by(moved), [200, 200, 200, 200, 9000]);
    }

    #[test]
    fn on_a_long_path_the_last_round_trips_count() {
        let jitter = [
            (0, 45_000),
            (1, 20_000),
            (2, 60_000),
            (3, 50_000),
            (4, 45_000),
            (5, 47_000),
        ];
        assert_eq!(
            judged_by(jitter),
            [45_000, 20_000, 20_000, 20_000, 20_000, 45_000]
        );
    }
}
