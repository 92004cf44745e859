//! Decides how far the API server may be ahead of an answer's reader at most. [`crate::kube::pool`] asks once per request;
//! [`super::ahead`] decides how much of it is used.
//! Invariant: what all answers together may be ahead is bounded before the first byte comes: the windows wider than the least
//! are counted against a limit as long as their requests live, whether they are filled or not.
//!
//! HTTP/2 has one initial window for all streams of a connection, and the library never widens a single one (RFC 9113
//! section 6.9.2). So connections differ: each has one of three windows, and a request goes onto one whose window it got.

use adit_process::label;
use adit_process::metrics::{Held, Label};
use http::uri::PathAndQuery;

use crate::metrics::Metrics;

label! {
    /// How many bytes of one answer the API server may send before they are read. Ordered by width.
    #[derive(PartialOrd, Ord)]
    pub(crate) enum Window: "window" {
        /// What everybody gets, however many ask: 16 KiB, enough for most answers, and 16 MB/s over 1 ms.
        Least = "least",
        /// 128 KiB.
        Middle = "middle",
        /// 1 MiB: 1 GB/s over 1 ms to an API server that is near.
        Wide = "wide",
    }
}

/// What all windows of a process may take together.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    metrics: Metrics,
    /// For each of the two wider windows, so that neither takes the other's place.
    max_each: usize,
}

/// One answer's window, as long as its request lives.
#[derive(Debug)]
pub(crate) struct Share {
    window: Window,
    _held: Option<Held>,
}

impl Window {
    pub(crate) const fn bytes(self) -> u32 {
        match self {
            Self::Least => 16 << 10,
            Self::Middle => 128 << 10,
            Self::Wide => 1 << 20,
        }
    }

    /// What would do for an answer of its kind. Watches and followed logs live long and bring little at a time: they shall
    /// not keep the wide ones from downloads.
    pub(crate) fn wished(target: &PathAndQuery) -> Self {
        let is_long = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            matches!(key, "watch" | "follow") && !matches!(value, "false" | "0")
        };
        if target.query().unwrap_or_default().split('&').any(is_long) {
            Self::Middle
        } else {
            Self::Wide
        }
    }
}

impl ReadAhead {
    /// At most so many bytes beside the least windows.
    pub(crate) const fn new(metrics: Metrics, max_bytes: usize) -> Self {
        Self {
            metrics,
            max_each: max_bytes / 2,
        }
    }

    /// The widest window there is room for, up to the one that is wished for.
    pub(crate) fn share(&self, wished: Window) -> Share {
        let hold = |window: Window| {
            let max = if window == Window::Least {
                usize::MAX
            } else {
                self.max_each
            };
            let gauge = self.metrics.read_ahead(window);
            Held::within(gauge, window.bytes() as usize, max)
        };
        for window in Window::ALL.iter().copied().rev() {
            if window <= wished
                && let Some(held) = hold(window)
            {
                return Share {
                    window,
                    _held: Some(held),
                };
            }
        }
        Share {
            window: Window::Least,
            _held: None,
        }
    }
}

impl Share {
    pub(crate) const fn window(&self) -> Window {
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_as_requests_come_and_grow_again_when_they_end() {
        let ahead = ReadAhead::new(Metrics::default(), 4 << 20);
        let mut shares: Vec<_> = (0..100).map(|_| ahead.share(Window::Wide)).collect();
        let of = |shares: &[Share], window| {
            let those = shares.iter().filter(|share| share.window() == window);
            those.count()
        };
        assert_eq!(of(&shares, Window::Wide), 2);
        assert_eq!(of(&shares, Window::Middle), 16);
        let bytes: u32 = shares.iter().map(|share| share.window().bytes()).sum();
        assert!(bytes <= (4 << 20) + 100 * Window::Least.bytes(), "{bytes}");
        shares.remove(0);
        assert_eq!(ahead.share(Window::Wide).window(), Window::Wide);
    }

    #[test]
    fn watches_leave_the_wide_windows_to_downloads() {
        let ahead = ReadAhead::new(Metrics::default(), 4 << 20);
        let watch = Window::wished(&"/api/v1/pods?limit=5&watch=1".parse().unwrap());
        let watches: Vec<_> = (0..10_000).map(|_| ahead.share(watch)).collect();
        assert!(watches.iter().all(|share| share.window() < Window::Wide));
        let download = Window::wished(&"/api/v1/pods?watch=false".parse().unwrap());
        assert_eq!(ahead.share(download).window(), Window::Wide);
    }
}
