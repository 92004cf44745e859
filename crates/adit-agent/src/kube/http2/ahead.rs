//! Decides how far the API server may be ahead of one answer's reader, within the window that HTTP/2 gave its stream. Kept by
//! [`super::exchange`].
//! Invariant: of what was read, as much is kept back as the window is wider than its reader can use, and everything else is given
//! back, so that the API server never waits for more than it can send.
//!
//! HTTP/2 cannot narrow a window that it has opened (RFC 9113 section 6.9.2), but nobody has to give back at once what was
//! read. Where answers are many and the cores are few, what a wide window lets through arrives in long bursts, and each small
//! answer waits behind some of them.

use adit_tunnel::Pace;

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
    pub(crate) fn new(window: Window, now: Moment) -> Self {
        let window = window.bytes();
        Self {
            window,
            pace: Pace::new(window.min(FIRST_BYTES), now),
            kept: 0,
        }
    }

    /// So many bytes were read; says how many to give back.
    pub(crate) fn read(&mut self, bytes: usize, round_trip: Option<Moment>, now: Moment) -> usize {
        self.pace.take(bytes as u64, round_trip, now, self.window);
        self.kept += bytes;
        let too_wide = self.window - self.pace.width();
        let due = self.kept.saturating_sub(too_wide as usize);
        self.kept -= due;
        due
    }
}

/// As a tunnel's streams begin.
const FIRST_BYTES: u32 = 64 << 10;

/// Since the connection was opened.
pub(crate) type Moment = std::time::Duration;

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Option<Moment> = Some(Moment::from_millis(1));

    /// What the API server may send now, when all that it may is read at once, each time after so many milliseconds.
    fn window_after(reads: usize, milliseconds: u64, round_trip: Option<Moment>) -> usize {
        let mut ahead = Ahead::new(Window::Wide, Moment::ZERO);
        let (mut now, mut open) = (Moment::ZERO, Window::Wide.bytes() as usize);
        for _ in 0..reads {
            now += Moment::from_millis(milliseconds);
            open = ahead.read(open, round_trip, now);
            assert!(open > 0, "the API server would wait for ever");
        }
        open >> 10
    }

    #[test]
    fn a_window_is_as_wide_as_its_reader_can_use() {
        assert_eq!(window_after(1, 3, None), 64, "as it begins");
        assert_eq!(window_after(9, 3, NEAR), 64, "as fast as the path");
        assert_eq!(window_after(9, 1, NEAR), 1024, "faster");
        assert_eq!(window_after(9, 9, NEAR), 32, "slower");
    }

    #[test]
    fn a_small_window_is_given_back_whole() {
        let mut ahead = Ahead::new(Window::Least, Moment::ZERO);
        for _ in 0..9 {
            assert_eq!(ahead.read(16 << 10, NEAR, Moment::ZERO), 16 << 10);
        }
    }
}
