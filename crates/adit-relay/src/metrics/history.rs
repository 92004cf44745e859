//! What the last hour was like, ten seconds by ten seconds: requests, bytes, and how long answers took. For operators.
//!
//! Fed from the counts that there are, by a task of its own: nothing on a request's way knows of it. Invariant: it remembers an hour
//! and no more, however long the relay runs.

use std::{collections::VecDeque, sync::Arc};

use adit_process::metrics::Spread;
use parking_lot::Mutex;

use crate::status::History;

/// Seconds that one sample is about.
pub(super) const EVERY: u64 = 10;
/// Samples of an hour.
const HOUR: usize = 360;

/// The last hour. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    before: Option<Counts>,
    samples: VecDeque<Sample>,
}

/// What was counted up to a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) answered: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    pub(super) request_bytes: u64,
    pub(super) answer_bytes: u64,
    pub(super) took: Spread,
}

/// What came in ten seconds.
#[derive(Clone, Copy, Debug)]
struct Sample {
    answered: u64,
    refused: u64,
    cancelled: u64,
    request_bytes: u64,
    answer_bytes: u64,
    median_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl Past {
    /// Ten seconds have passed.
    pub(super) fn remember(&self, now: Counts) {
        let mut state = self.0.lock();
        if let Some(before) = state.before.replace(now) {
            if state.samples.len() >= HOUR {
                state.samples.pop_front();
            }
            state.samples.push_back(now.since(&before));
        }
    }

    pub(super) fn history(&self) -> History {
        let state = self.0.lock();
        let samples = || state.samples.iter();
        History {
            every: EVERY,
            answered: samples().map(|sample| sample.answered).collect(),
            refused: samples().map(|sample| sample.refused).collect(),
            cancelled: samples().map(|sample| sample.cancelled).collect(),
            request_bytes: samples().map(|sample| sample.request_bytes).collect(),
            answer_bytes: samples().map(|sample| sample.answer_bytes).collect(),
            median_ms: samples().map(|sample| sample.median_ms).collect(),
            p99_ms: samples().map(|sample| sample.p99_ms).collect(),
        }
    }
}

impl Counts {
    fn since(&self, before: &Self) -> Sample {
        let took = self.took.since(&before.took);
        Sample {
            answered: self.answered.saturating_sub(before.answered),
            refused: self.refused.saturating_sub(before.refused),
            cancelled: self.cancelled.saturating_sub(before.cancelled),
            request_bytes: self.request_bytes.saturating_sub(before.request_bytes),
            answer_bytes: self.answer_bytes.saturating_sub(before.answer_bytes),
            median_ms: took.within(0.5).map(millis),
            p99_ms: took.within(0.99).map(millis),
        }
    }
}

/// To a tenth: the buckets that it comes from tell no more.
fn millis(seconds: f64) -> f64 {
    (seconds * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_process::metrics::Durations;

    use super::*;

    #[test]
    fn an_hour_is_remembered_and_no_more() {
        let past = Past::default();
        let mut counts = Counts::default();
        past.remember(counts);
        assert!(past.history().is_empty());
        for answered in 0..HOUR as u64 + 5 {
            counts.answered += answered;
            past.remember(counts);
        }
        let history = past.history();
        assert_eq!(history.answered.len(), HOUR);
        assert_eq!(history.answered.first(), Some(&5));
        assert_eq!(history.answered.last(), Some(&(HOUR as u64 + 4)));
        assert_eq!(history.median_ms.last(), Some(&None));
    }

    #[test]
    fn half_of_the_answers_are_told_apart_from_nearly_all() {
        let (past, took) = (Past::default(), Durations::default());
        past.remember(Counts::default());
        for millis in [1, 1, 1, 100] {
            took.observe(Duration::from_millis(millis));
        }
        past.remember(Counts {
            took: took.spread(),
            ..Counts::default()
        });
        // The buckets are 0.8 to 1.6 ms, and 51.2 to 102.4 ms.
        let history = past.history();
        let within = |millis: &[Option<f64>]| millis[0].unwrap();
        let (median, most) = (within(&history.median_ms), within(&history.p99_ms));
        assert!((0.8..=1.6).contains(&median), "{median}");
        assert!((51.2..=102.4).contains(&most), "{most}");
    }
}
