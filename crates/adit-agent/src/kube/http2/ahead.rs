//! Decides how far the API server may be ahead of one answer's reader, within the window that HTTP/2 gave its stream. Kept by
//! [`super::exchange`].
//! Invariant: what was read is given back, but for as much as the window is wider than the path and its reader can use.
//!
//! HTTP/2 cannot narrow a window that it has opened (RFC 9113 section 6.9.2), but nobody has to give back at once what was
//! read. Where answers are many and the cores are few, what a wide window lets through arrives in long bursts, and each small
//! answer waits behind some of them.

use std::time::Duration;

use adit_tunnel::{Distance, Pace};

use super::window::Window;

/// Of one answer, in bytes.
#[derive(Debug)]
pub(crate) struct Ahead {
    window: u32,
    pace: Pace,
    /// Read, and not given back.
    kept: usize,
}

impl Ahead {
    /// Times are since the connection was opened.
    pub(crate) fn new(window: Window, distance: &Distance, now: Duration) -> Self {
        let window = window.bytes();
        let first = if distance.is_short() {
            FIRST_BYTES.min(window)
        } else {
            window
        };
        Self {
            window,
            pace: Pace::new(first, now),
            kept: 0,
        }
    }

    /// So many bytes were read; says how many to give back.
    pub(crate) fn read(&mut self, bytes: usize, distance: &Distance, now: Duration) -> usize {
        let round_trip = distance.round_trip();
        self.pace.take(bytes as u64, round_trip, now, self.window);
        self.kept += bytes;
        let too_wide = self.window - self.pace.width();
        let due = self.kept.saturating_sub(too_wide as usize);
        self.kept -= due;
        due
    }
}

/// On a short path, as a tunnel's streams begin.
const FIRST_BYTES: u32 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(round_trip: Duration) -> Distance {
        let mut distance = Distance::default();
        distance.measured(round_trip, Duration::ZERO);
        distance
    }

    fn near() -> Distance {
        at(Duration::from_micros(500))
    }

    /// What the API server may send, in KiB, when it has sent all that it might so many times, each read after so many milliseconds.
    fn window_after(times: usize, milliseconds: u64, distance: &Distance) -> usize {
        let mut ahead = Ahead::new(Window::Wide, distance, Duration::ZERO);
        let (mut now, mut open) = (Duration::ZERO, Window::Wide.bytes() as usize);
        for _ in 0..times {
            now += Duration::from_millis(milliseconds);
            open = ahead.read(open, distance, now);
        }
        open >> 10
    }

    #[test]
    fn a_window_is_as_wide_as_its_reader_can_use() {
        let near = near();
        assert_eq!(window_after(1, 2, &near), 64, "as it begins");
        assert_eq!(window_after(9, 0, &near), 1024, "faster than the path");
        assert_eq!(window_after(9, 9, &near), 32, "slower");
        let unknown = Distance::default();
        assert_eq!(window_after(9, 9, &unknown), 1024, "nobody knows");
        let far = at(Duration::from_millis(1));
        assert_eq!(window_after(9, 9, &far), 1024, "a long path");
    }

    #[test]
    fn a_small_window_is_given_back_whole() {
        let near = near();
        let mut ahead = Ahead::new(Window::Least, &near, Duration::ZERO);
        for second in 0..9 {
            let now = Duration::from_secs(second);
            assert_eq!(ahead.read(16 << 10, &near, now), 16 << 10);
        }
    }
}
